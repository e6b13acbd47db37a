"""How improbable is it that this template occurs so often?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.parts import ByTemplate
from offbeat.detect.ragged import Floats, Ints, Ragged


class Count(ByTemplate):
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
    in_nats: ClassVar[bool] = True

    def __init__(self, smoothing: float = 0.5, largest: int = 8) -> None:
        self.smoothing = smoothing
        self.largest = largest

    def bins(self, counts: Ints) -> Ints:
        """Return the bin of each count: itself, or beyond ``largest`` a power of two's."""
        high = np.log2(np.maximum(counts, 1) / max(self.largest, 1)).astype(np.int64)
        return np.where(counts <= self.largest, counts, self.largest + 1 + np.maximum(high, 0))

    def smallest(self, bins: Ints) -> Ints:
        """Return the smallest count of each bin."""
        beyond = max(self.largest, 1) * 2.0 ** np.maximum(bins - self.largest - 1, 0)
        return np.where(bins <= self.largest, bins, np.maximum(np.ceil(beyond), self.largest + 1)).astype(np.int64)

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

    def _of_presence(self, codes: Ints, counts: Ints) -> Floats:
        """Return the surprise at templates that are there so often."""
        table, never = self.surprise()
        bins = self.bins(counts)
        known = codes < len(table)
        seen = known & (bins < table.shape[1])
        out = np.full(len(codes), -np.log(self.smoothing / (self.total_ + self.smoothing)))
        out[known] = never[codes[known]]
        out[seen] = table[codes[seen], bins[seen]]
        return out

    def _of_absence(self) -> Floats:
        # Zero is a count too.
        return self.surprise()[0][:, 0]

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        _, codes, counts = data.cells
        here, cell, template = self._worst(data)
        # One row more stands for every template that training never saw: no unit holds it.
        table = np.vstack([self.table_, np.eye(1, self.table_.shape[1]) * self.total_])
        units = table[np.minimum(template, len(table) - 1)]
        usual = self.smallest(units.argmax(axis=1))
        # What is missing is told by how many units hold it at all, not by its usual count.
        share = np.where(here, units.max(axis=1), self.total_ - units[:, 0]) / self.total_
        place = data.first_places[cell] if len(codes) else np.zeros(len(data))
        return {
            "kind": np.where(here, "count", "missing event"),
            "template": template.astype(np.uint32),
            "event": pl.Series(place).cast(pl.UInt32).set(pl.Series(~here), None),
            "seen": np.where(here, counts[cell], 0).astype(float) if len(codes) else np.zeros(len(data)),
            "usual": usual.astype(float),
            "share": share,
        }

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
