"""How many standard deviations is a count from its mean?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.detect.vectors import ByVector, Columns

#: What one more event than none is, on the logarithmic scale.
_ONE = float(np.log(2.0))


class ZScore(ByVector):
    """Score a sequence by its largest ``|x - mean| / sd`` over the counts of templates and the number of events.

    All on the scale ``ln(1 + count)``. Spreads are as if one more unit had differed by one event, so that a count that
    never varied has one too: with n units it makes one event more or fewer ``sqrt(n + 1)`` standard deviations.

    Args:
        templates: at most so many have a column of their own, those that most units hold; the others share one.
    """

    name: ClassVar[str] = "zscore"
    source: ClassVar[str] = "standard scores (Shewhart, 1931) of log counts, the baseline of the founding paper"
    looks_at: ClassVar[str] = "counts far from their mean"

    def __init__(self, templates: int = 1000) -> None:
        self.templates = templates

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        self.columns_ = Columns.fit(data, self.templates)
        total = float(data.weight.sum())
        mean, square = np.zeros(self.columns_.width + 1), np.zeros(self.columns_.width + 1)
        for part, counts in self.columns_.blocks(data):
            logs, weight = log_counts(counts), data.weight[part]
            mean += weight @ logs / total
            square += weight @ logs**2 / total
        self.mean_ = mean
        self.sd_ = np.sqrt((np.maximum(square - mean**2, 0.0) * total + _ONE**2) / (total + 1.0))

    def _z(self, counts: Floats) -> Floats:
        """Return the absolute standard scores of each row of counts and, last, of its sum; shape (n, width + 1)."""
        # Rounded, so that equals stay equal.
        return np.asarray(np.abs((log_counts(counts) - self.mean_) / self.sd_).round(9))

    def _of_counts(self, counts: Floats) -> Floats:
        return np.asarray(self._z(counts).max(axis=1))

    def _to_blame(self, counts: Floats) -> Ints:
        return np.asarray(self._z(counts).argmax(axis=1), dtype=np.int64)

    def state(self) -> State:
        """Return the mean and the spread of each column."""
        values = {"length": self.columns_.length, "sequences_seen": self.sequences_seen_}
        moments = pl.DataFrame({"mean": self.mean_, "sd": self.sd_})
        return State(values, {"templates": self.columns_.frame(), "moments": moments})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.mean_, self.sd_ = (state.frames["moments"][name].to_numpy() for name in ("mean", "sd"))
        return self


def log_counts(counts: Floats) -> Floats:
    """Return ``ln(1 + count)`` of each column and, last, of the number of events."""
    return np.asarray(np.log1p(np.column_stack((counts, counts.sum(axis=1)))))
