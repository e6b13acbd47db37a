"""Is the nearest mix of templates ever seen a normal or an anomalous one?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import State
from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.detect.vectors import NEW, ByVector, Columns, distinct_rows, matrix_frame, matrix_of, nearest, thinned
from offbeat.errors import OptionError

Bools = NDArray[np.bool_]


class NearestNeighbour(ByVector):
    """Score a sequence by its distance to the nearest normal and to the nearest anomalous count vector of training.

    With labels the score is ``d_normal / (d_normal + d_anomalous)``, from 0 to 1; on a vector that was seen it is the
    share of its units that are anomalous. Above a half the nearest neighbour is an anomaly, which is the paper's rule.
    Labels cannot teach what a template means that no labelled unit held; among equals a unit with one comes first.
    Without labels the score is ``d_normal`` alone, in which new templates count like others.

    Args:
        vectors: at most so many distinct vectors of either label are kept, drawn by weight.
        templates: at most so many have a column of their own, those that most units hold; the others share one.
        seed: of the draw.
    """

    name: ClassVar[str] = "nearest-neighbour"
    source: ClassVar[str] = "LightAD, Yu et al., ICSE 2024: 1-nearest neighbour on distinct count vectors"
    looks_at: ClassVar[str] = "whether the nearest mix of templates is a known anomaly"
    takes_labels: ClassVar[bool] = True
    boundary: ClassVar[float | None] = 0.5

    def __init__(self, vectors: int = 5000, templates: int = 1000, seed: int = 0) -> None:
        self.vectors = vectors
        self.templates = templates
        self.seed = seed

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        self.columns_ = Columns.fit(data, self.templates)
        if y is not None and y.all():
            raise OptionError("all labels are anomalous; normal sequences are needed", where=f"detector {self.name}")
        counts = self.columns_.counts(data)[:, :-1]
        rows, weight = distinct_rows(counts, data.weight)
        share = np.zeros(len(rows))
        if y is not None and y.any():
            index = np.unique(counts, axis=0, return_inverse=True)[1].ravel()
            share = np.bincount(index, weights=data.weight * y, minlength=len(rows)) / weight
        kept, _ = thinned(weight, share > 0.5, self.vectors, self.seed)
        self.vectors_, self.share_ = rows[kept], share[kept]

    def _nearest(self, counts: Floats) -> tuple[Floats, Ints, Floats]:
        """Return each row's distance to the nearest normal vector, that one's place, and the score."""
        known, new = counts[:, :-1], counts[:, -1]
        # Where nothing is mostly of one label, what is partly so must do.
        normal = self._with(self.share_ <= 0.5, self.share_ < 1)
        odd = self._with(self.share_ > 0.5, self.share_ > 0)
        near, place = nearest(known, self.vectors_[normal])
        if not len(odd):
            return near, normal[place], np.sqrt(near**2 + new**2)
        far, other = nearest(known, self.vectors_[odd])
        share = np.where(near == 0, self.share_[normal[place]], self.share_[odd[other]])
        score = np.where(np.minimum(near, far) == 0, share, near / np.maximum(near + far, 1e-300))
        return near, normal[place], np.where(new > 0, score + NEW * (1.0 - score), score)

    def _with(self, mostly: Bools, partly: Bools) -> Ints:
        return np.flatnonzero(mostly if mostly.any() else partly)

    def _of_counts(self, counts: Floats) -> Floats:
        return self._nearest(counts)[2]

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        column, usual = np.zeros(len(data), dtype=np.int64), np.zeros(len(data))
        for part, counts in self.columns_.blocks(data):
            near = np.column_stack((self.vectors_[self._nearest(counts)[1]], np.zeros(len(counts))))
            far = np.abs(counts - near)
            # What is new is named first: no neighbour has it.
            column[part] = np.where(counts[:, -1] > 0, counts.shape[1] - 1, far.argmax(axis=1))
            column[part] = np.where(far.max(axis=1) > 0, column[part], -1)
            usual[part] = near[np.arange(len(near)), column[part]]
        return self.columns_.against(data, column, usual)

    def state(self) -> State:
        """Return the training vectors, each with the share of its units that are anomalous."""
        shape = [int(n) for n in self.vectors_.shape]
        values = {"length": self.columns_.length, "shape": shape, "sequences_seen": self.sequences_seen_}
        share = pl.DataFrame({"share": self.share_})
        frames = {"templates": self.columns_.frame(), "vectors": matrix_frame(self.vectors_), "labels": share}
        return State(values, frames)

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.vectors_ = matrix_of(state.frames["vectors"], *state.values["shape"])
        self.share_ = state.frames["labels"]["share"].to_numpy()
        return self
