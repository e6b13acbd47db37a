"""How improbable is it that this template occurs so often?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import Detector, State
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_max


class Count(Detector):
    """Score a sequence by its least probable count of a template.

    For each template a histogram of how often a unit holds it (zero included), with counts above ``largest`` in bins
    of powers of two; the score is the largest ``-ln P(count)`` over templates. A count never seen takes the smoothing
    mass of its bin, so that it is as improbable as the training data is large.

    Args:
        smoothing: pseudo-count of a bin.
        largest: counts up to this one have a bin of their own.
    """

    name: ClassVar[str] = "count"
    source: ClassVar[str] = "offbeat; smoothed histogram of each template's count a unit"
    looks_at: ClassVar[str] = "templates that occur more or less often than usual"

    def __init__(self, smoothing: float = 0.5, largest: int = 64) -> None:
        self.smoothing = smoothing
        self.largest = largest

    def bins(self, counts: Ints) -> Ints:
        """Return the bin of each count: itself, or beyond ``largest`` a power of two's."""
        high = np.log2(np.maximum(counts, 1) / max(self.largest, 1)).astype(np.int64)
        return np.where(counts <= self.largest, counts, self.largest + 1 + np.maximum(high, 0))

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        rows, codes, counts = data.cells
        bins = self.bins(counts)
        self.total_ = float(data.weight.sum())
        width = int(bins.max(initial=0)) + 1
        table = np.zeros((data.size, width))
        np.add.at(table, (codes, bins), data.weight[rows])
        table[:, 0] = self.total_ - table.sum(axis=1)
        self.table_ = table

    def surprise(self) -> tuple[Floats, Floats]:
        """Return ``-ln P(bin)`` of shape (templates, bins) and ``-ln P(bin never seen)`` of shape (templates,)."""
        kinds = (self.table_ > 0).sum(axis=1) + 1
        norm = self.total_ + self.smoothing * kinds
        never = -np.log(self.smoothing / norm)
        return np.where(self.table_ > 0, -np.log((self.table_ + self.smoothing) / norm[:, None]), never[:, None]), never

    def _score(self, data: Ragged) -> Floats:
        table, never = self.surprise()
        rows, codes, counts = data.cells
        bins = self.bins(counts)
        new = -np.log(self.smoothing / (self.total_ + self.smoothing))
        known = codes < len(table)
        seen = known & (bins < table.shape[1])
        of_cell = np.full(len(codes), new)
        of_cell[known] = never[codes[known]]
        of_cell[seen] = table[codes[seen], bins[seen]]
        score = segment_max(of_cell, rows, len(data))
        # Zero is a count too. Those whose absence surprises, most surprising first: few, so one column each.
        absent = np.flatnonzero(table[:, 0] > np.log(2))
        if len(absent):
            place = np.full(len(table), -1)
            place[absent] = np.arange(len(absent))
            here = np.zeros((len(data), len(absent)), dtype=bool)
            of_code = np.where(known, place[np.minimum(codes, len(table) - 1)], -1)
            here[rows[of_code >= 0], of_code[of_code >= 0]] = True
            score = np.maximum(score, np.where(here, 0.0, table[absent, 0]).max(axis=1))
        return score

    def state(self) -> State:
        """Return the histogram of each template."""
        codes, bins = np.nonzero(self.table_)
        frame = pl.DataFrame({"template": codes, "bin": bins, "units": self.table_[codes, bins]})
        shape = [int(n) for n in self.table_.shape]
        return State({"total": self.total_, "shape": shape, "sequences_seen": self.sequences_seen_}, {"counts": frame})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.total_ = float(state.values["total"])
        self.table_ = np.zeros(tuple(state.values["shape"]))
        frame = state.frames["counts"]
        self.table_[frame["template"].to_numpy(), frame["bin"].to_numpy()] = frame["units"].to_numpy()
        return self
