"""How far is the mix of templates from the nearest one seen?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from offbeat.detect.base import State
from offbeat.detect.ragged import Floats, Ragged
from offbeat.detect.vectors import ByVector, Columns, distinct_rows, matrix_frame, matrix_of, nearest


class CountVector(ByVector):
    """Score a sequence by the distance of its count vector to the nearest one of training.

    Vectors hold ``ln(1 + count)`` of each template; the distance is Euclidean. On training data without anomalies few
    methods do better (nearest neighbour: LightAD, Yu et al., ICSE 2024; count vectors: Landauer et al., FSE 2024);
    with anomalies in it, whatever looks like one of them scores 0, which is why it is not the anchor.

    Args:
        vectors: at most so many distinct training vectors are kept, those of most units.
        templates: at most so many templates span the vectors, those of most units; the others count as one.
    """

    name: ClassVar[str] = "count-vector"
    source: ClassVar[str] = "nearest neighbour after Yu et al., ICSE 2024, and Landauer et al., FSE 2024"
    looks_at: ClassVar[str] = "the mix of templates as a whole"

    def __init__(self, vectors: int = 2000, templates: int = 1000) -> None:
        self.vectors = vectors
        self.templates = templates

    def _vectors(self, counts: Floats) -> Floats:
        """Return ``ln(1 + count)`` of the kept templates and, last, of all others; shape (n, kept + 1)."""
        return np.asarray(np.log1p(np.column_stack((counts[:, :-2], counts[:, -2:].sum(axis=1)))))

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        self.columns_ = Columns.fit(data, self.templates)
        distinct, weight = distinct_rows(self._vectors(self.columns_.counts(data)), data.weight)
        self.vectors_ = distinct[np.sort(np.argsort(-weight, kind="stable")[: self.vectors])]

    def _of_counts(self, counts: Floats) -> Floats:
        return nearest(self._vectors(counts), self.vectors_)[0]

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        column, usual = np.zeros(len(data), dtype=np.int64), np.zeros(len(data))
        for part, counts in self.columns_.blocks(data):
            asked = self._vectors(counts)
            near = self.vectors_[nearest(asked, self.vectors_)[1]]
            far = np.abs(asked - near)
            worst = far.argmax(axis=1)
            usual[part] = np.expm1(near[np.arange(len(near)), worst])
            # The last column stands for many templates: for new ones before others.
            worst = np.where((worst == far.shape[1] - 1) & (counts[:, -1] > 0), worst + 1, worst)
            column[part] = np.where(far.max(axis=1) > 0, worst, -1)
        return self.columns_.against(data, column, usual)

    def state(self) -> State:
        """Return the training vectors and the templates that span them."""
        shape = [int(n) for n in self.vectors_.shape]
        values = {"length": self.columns_.length, "shape": shape, "sequences_seen": self.sequences_seen_}
        return State(values, {"vectors": matrix_frame(self.vectors_), "templates": self.columns_.frame()})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.vectors_ = matrix_of(state.frames["vectors"], *state.values["shape"])
        return self
