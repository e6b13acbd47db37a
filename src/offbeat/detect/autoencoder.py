"""How well does a dense network that knows normal mixes of events write this one again?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import State
from offbeat.detect.features import EventTable
from offbeat.detect.histories import distinct_rows
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax
from offbeat.detect.reconstruction import LEAST_ERROR, ByReconstruction
from offbeat.detect.vectors import BLOCK, Columns, some, worst_column

#: Groups of the feature table that counts stand for already, or that are of single events alone.
_COUNTED: Final = ("template", "end", "count")
#: Columns are cut off at so many standard deviations, which are at least so large.
_MOST, _LEAST = 10.0, 0.1
#: Columns that differ by less are as usual.
_ALIKE: Final = 1e-6


@dataclass(eq=False, repr=False, kw_only=True)
class Autoencoder(ByReconstruction):
    """Score a unit by how badly a dense autoencoder reconstructs what is in it, whatever its order.

    The candidate beside the LSTM in the founding study. A unit is one vector: the logarithm of how often each template
    occurs, and the mean and the extreme of each further column of the feature table (``offbeat.detect.features``) over
    its events, standardised. The network learns normal units alone by the mean squared error, and the score is the mean
    over columns of the squared error divided by what the column had in validation (Mahalanobis with a diagonal
    covariance, after Malhotra et al., 2016).

    Args:
        hidden, code: sizes of the layers.
        templates: at most so many have a column of their own, those that most units hold; the others share one.
        deviations: ``threshold_`` is the mean of the scores in validation plus so many standard deviations.
        normal: share of the units in validation that ``quantile_`` leaves below.
        epochs, patience, learning_rate, batch: of training.
        units: at most so many units are learned from in all passes together.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "autoencoder"
    source: ClassVar[str] = "the founding study, 2024; autoencoder, Hinton and Salakhutdinov, Science 2006"
    looks_at: ClassVar[str] = "mixes of events and numbers that do not fit each other"

    hidden: int = 64
    code: int = 8
    templates: int = 500
    deviations: float = 3.0
    normal: float = 0.99
    epochs: int = 200
    patience: int = 20
    learning_rate: float = 2e-3
    batch: int = 32
    units: int = 2_000_000
    seed: int = 0
    checkpoint: str = ""

    def _fit(self, data: Ragged, y: NDArray[np.bool_] | None) -> None:
        from offbeat.detect.nets.dense import learn_vectors

        kept = data.merged()
        self.counted_ = Columns.fit(kept, self.templates)
        self.table_ = EventTable.learn(kept, self.texts)
        raw = np.concatenate([self._raw(kept.take(part)) for part in _parts(len(kept))])
        self.mean_of_ = np.average(raw, axis=0, weights=kept.weight)
        spread = np.sqrt(np.average((raw - self.mean_of_) ** 2, axis=0, weights=kept.weight))
        self.sd_of_ = np.maximum(spread, _LEAST)
        vectors = self._standardised(raw)
        first, index = distinct_rows(vectors)
        mass = np.bincount(index, weights=kept.weight, minlength=len(first)).astype(np.float64)
        limits = self._limits(self.units, plateau=5)
        network, self.history_, check = learn_vectors(
            vectors[first], mass, self.hidden, self.code, self.batch, limits, self.progress, self.checkpoint
        )
        self.networks_ = {"network": network}
        errors = self._run(["error"], {"vectors": vectors[first]})[0]
        self.usual_ = np.maximum(np.average(errors, axis=0, weights=check), LEAST_ERROR)
        self._keep_errors((errors / self.usual_).mean(axis=1), check)

    def _raw(self, data: Ragged) -> Floats:
        """Return what is in each unit, not yet standardised, shape (n, width)."""
        counts = np.log1p(self.counted_.counts(data))
        table = self.table_.rows(data, self.texts)
        pooled = []
        for i, column in enumerate(self.table_.columns):
            if column.group not in _COUNTED:
                x = table[:, i].astype(np.float64)
                pooled += [np.bincount(data.rows, x, len(data)) / np.maximum(data.lengths, 1)]
                pooled += [np.append(x, 0.0)[segment_argmax(np.abs(x), data.rows, len(data))] * (data.lengths > 0)]
        return np.column_stack([counts, *pooled])

    def _standardised(self, raw: Floats) -> NDArray[np.float32]:
        return np.clip((raw - self.mean_of_) / self.sd_of_, -_MOST, _MOST).astype(np.float32)

    def _of_vectors(self, vectors: NDArray[np.float32]) -> Floats:
        """Return the score of each vector: the mean of its errors, each over what is usual; (n, width) to (n,)."""
        errors = self._run(["error"], {"vectors": vectors})[0]
        return np.asarray((errors / self.usual_).mean(axis=1), dtype=np.float64)

    def _score(self, data: Ragged) -> Floats:
        out = np.zeros(len(data))
        for part in _parts(len(data)):
            out[part] = self._of_vectors(self._standardised(self._raw(data.take(part))))
        return out

    def _to_blame(self, data: Ragged) -> Ints:
        """Return the column that would lower each unit's score most if it were as usual, shape (n,)."""
        vectors = self._standardised(self._raw(data))
        usual = self.mean_of_.copy()
        usual[: self.counted_.width] = np.log1p(self.counted_.usual_counts)
        return worst_column(vectors, self._standardised(usual), self._of_vectors, alike=_ALIKE, decimals=4)

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        worst = np.concatenate([self._to_blame(data.take(part)) for part in _parts(len(data))])
        width = self.counted_.width
        found = self.counted_.evidence(data, np.where(worst < width, worst, -1))
        pooled = np.flatnonzero(worst >= width)
        if not len(pooled):
            return found
        rows = data.take(pooled)
        featured = [i for i, column in enumerate(self.table_.columns) if column.group not in _COUNTED]
        column = np.array(featured)[(worst[pooled] - width) // 2]
        value = np.abs(self.table_.rows(rows, self.texts))[np.arange(len(rows.ids)), column[rows.rows]]
        at = segment_argmax(value.astype(np.float64), rows.rows, len(rows))
        group = np.array([c.group for c in self.table_.columns], dtype=np.str_)[column]
        kind, seen, usual = self._numbers_blamed(rows, group, at)
        ids = np.append(rows.ids, 0)[at]
        mine = {"kind": kind, "template": some(ids, at >= 0), "event": some(at - rows.offsets[:-1], at >= 0)}
        mine |= {"seen": seen, "usual": usual, "share": self.share_as_bad(self._score(rows))}
        place = np.arange(len(data))
        place[pooled] = len(data) + np.arange(len(pooled))
        return {name: pl.concat([pl.Series(found[name]), pl.Series(mine[name])])[place] for name in found}

    def _learned(self) -> State:
        state = super()._learned()
        columns = pl.DataFrame({"mean": self.mean_of_, "sd": self.sd_of_})
        frames = {"templates": self.counted_.frame(), "columns": columns}
        return State(state.values | {"length": self.counted_.length}, state.frames | frames)

    def _take(self, state: State) -> None:
        super()._take(state)
        self.counted_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.mean_of_, self.sd_of_ = (state.frames["columns"][name].to_numpy() for name in ("mean", "sd"))


def _parts(n: int) -> list[Ints]:
    """Return positions of a few thousand units at a time."""
    return [np.arange(at, min(at + BLOCK, n)) for at in range(0, max(n, 1), BLOCK)]
