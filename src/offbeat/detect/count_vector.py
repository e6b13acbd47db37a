"""How far is the mix of templates from the nearest one seen?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import Detector, State
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax

#: Rows compared with the training vectors at a time, to bound memory.
_BLOCK = 4096


class CountVector(Detector):
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

    def _vectors(self, data: Ragged) -> Floats:
        """Return ``ln(1 + count)`` of the kept templates and, last, of all others; shape (n, kept + 1)."""
        rows, codes, counts = data.cells
        place = np.full(max(data.size, int(self.codes_.max(initial=-1)) + 1), len(self.codes_))
        place[self.codes_] = np.arange(len(self.codes_))
        out = np.zeros((len(data), len(self.codes_) + 1))
        np.add.at(out, (rows, place[codes]), counts)
        return np.log1p(out)

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        rows, codes, _ = data.cells
        units = np.bincount(codes, weights=data.weight[rows], minlength=data.size)
        self.codes_: Ints = np.sort(np.argsort(-units, kind="stable")[: self.templates])
        distinct, index = np.unique(self._vectors(data), axis=0, return_inverse=True)
        weight = np.bincount(index.ravel(), weights=data.weight)
        self.vectors_ = distinct[np.sort(np.argsort(-weight, kind="stable")[: self.vectors])]

    def _nearest(self, data: Ragged) -> tuple[Floats, Ints, Floats]:
        """Return each row's distance to the nearest training vector, that vector's place, and the row's own vector."""
        asked = self._vectors(data)
        norms = (self.vectors_**2).sum(axis=1)
        distance, place = np.zeros(len(asked)), np.zeros(len(asked), dtype=np.int64)
        for at in range(0, len(asked), _BLOCK):
            block = asked[at : at + _BLOCK]
            squared = norms - 2 * block @ self.vectors_.T
            place[at : at + _BLOCK] = squared.argmin(axis=1)
        # The product loses digits where vectors are equal, so the distance itself is taken from the difference.
        for at in range(0, len(asked), _BLOCK):
            part = slice(at, at + _BLOCK)
            distance[part] = np.sqrt(((asked[part] - self.vectors_[place[part]]) ** 2).sum(axis=1))
        return distance, place, asked

    def _score(self, data: Ragged) -> Floats:
        return self._nearest(data)[0]

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        _, place, asked = self._nearest(data)
        usual = np.expm1(self.vectors_[place])
        seen = np.expm1(asked)
        far = np.abs(asked - self.vectors_[place])
        # The last column stands for many templates; it is named only where nothing else differs.
        worst = far[:, :-1].argmax(axis=1) if far.shape[1] > 1 else np.zeros(len(asked), dtype=np.int64)
        each = np.arange(len(asked))
        codes = self.codes_[worst] if len(self.codes_) else np.zeros(len(asked), dtype=np.int64)
        own = far[each, -1] > far[each, worst]
        rows, met, counts = data.cells
        other = ~np.isin(met, self.codes_)
        cell = segment_argmax(np.where(other, counts, -1.0), rows, len(data))
        codes = np.where(own & (cell >= 0), met[cell] if len(met) else 0, codes)
        count = np.where(own & (cell >= 0), counts[cell] if len(met) else 0, np.rint(seen[each, worst]))
        first = pl.DataFrame({"row": rows, "template": met, "event": data.first_places})
        asked_for = pl.DataFrame({"row": each, "template": codes})
        event = asked_for.join(first, on=["row", "template"], how="left", maintain_order="left")["event"]
        return {
            "kind": pl.select(
                pl.when(event.is_null()).then(pl.lit("missing event")).otherwise(pl.lit("mix"))
            ).to_series(),
            "template": codes.astype(np.uint32),
            "event": event.cast(pl.UInt32),
            "seen": np.where(event.is_null().to_numpy(), 0.0, count.astype(float)),
            "usual": np.where(own, 0.0, np.rint(usual[each, worst])),
            "share": np.zeros(len(asked)),
        }

    def state(self) -> State:
        """Return the training vectors and the templates that span them."""
        rows, columns = np.nonzero(self.vectors_)
        cells = pl.DataFrame({"vector": rows, "column": columns, "value": self.vectors_[rows, columns]})
        values = {"sequences_seen": self.sequences_seen_, "shape": [int(n) for n in self.vectors_.shape]}
        return State(values, {"vectors": cells, "templates": pl.DataFrame({"template": self.codes_})})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.codes_ = state.frames["templates"]["template"].to_numpy()
        self.vectors_ = np.zeros(tuple(state.values["shape"]))
        cells = state.frames["vectors"]
        self.vectors_[cells["vector"].to_numpy(), cells["column"].to_numpy()] = cells["value"].to_numpy()
        return self
