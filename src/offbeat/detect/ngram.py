"""How improbable is this event after the ones before it, counted rather than learned?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl

from offbeat.detect.base import Detector, State, order_evidence
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_max, starts_tell

#: What fewer sequences begin with hardly ever comes first.
_HARDLY_FIRST: Final = 0.01


class NGram(Detector):
    """Score a sequence by its least probable pair of consecutive events.

    ``P(next | last)`` is counted, with the share of ``next`` among all events as prior (one level of interpolation,
    Jelinek and Mercer, 1980). The start of a sequence is an event of its own, unless starts tell nothing: the first
    event of a window follows one that is not in it, and is not scored. Nor is the end.

    Args:
        prior: how many counts the prior stands for.

    Attributes:
        starts_: whether the first event of a sequence is scored; see ``ragged.starts_tell``.
    """

    name: ClassVar[str] = "ngram"
    source: ClassVar[str] = "Forrest et al., S&P 1996; interpolated bigrams after Jelinek and Mercer, 1980"
    looks_at: ClassVar[str] = "pairs of consecutive events"
    in_nats: ClassVar[bool] = True

    def __init__(self, prior: float = 0.5) -> None:
        self.prior = prior

    def _pairs(self, data: Ragged) -> tuple[Ints, Ints]:
        """Return each event's predecessor and itself, with 0 for the start and codes moved up by one."""
        size = self.size_
        codes = np.minimum(data.ids, size - 2) + 1
        before = np.concatenate(([0], codes[:-1]))[: len(codes)]
        before[data.offsets[:-1][data.lengths > 0]] = 0
        return before, codes

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        # One code beyond the vocabulary stands for every template met later.
        self.size_ = data.size + 2
        self.starts_ = starts_tell(data)
        before, codes = self._pairs(data)
        weight = data.weight[data.rows]
        keys, index = np.unique(before * self.size_ + codes, return_inverse=True)
        self.keys_ = keys
        self.counts_ = np.bincount(index, weights=weight).astype(np.float64)
        self.single_ = np.bincount(codes, weights=weight, minlength=self.size_).astype(np.float64)
        self.after_ = np.bincount(before, weights=weight, minlength=self.size_).astype(np.float64)

    def event_surprise(self, data: Ragged) -> Floats:
        """Return ``-ln P(event | the one before)`` of each event, shape (events,)."""
        before, codes = self._pairs(data)
        keys = before * self.size_ + codes
        at = np.searchsorted(self.keys_, keys).clip(0, max(len(self.keys_) - 1, 0))
        pair = np.where(self.keys_[at] == keys, self.counts_[at], 0.0) if len(self.keys_) else np.zeros(len(keys))
        share = (self.single_[codes] + 0.5) / (self.single_.sum() + 0.5 * self.size_)
        surprise = np.asarray(-np.log((pair + self.prior * share) / (self.after_[before] + self.prior)))
        if not self.starts_:
            surprise[data.offsets[:-1][data.lengths > 0]] = 0.0
        return surprise

    def expected(self, codes: Sequence[int], event: int, k: int = 3) -> list[tuple[int, float]]:
        """Return the ``k`` most likely events at place ``event`` of a sequence, with their shares there."""
        before = min(codes[event - 1], self.size_ - 2) + 1 if event else 0
        low, high = np.searchsorted(self.keys_, [before * self.size_, (before + 1) * self.size_])
        best = low + np.argsort(-self.counts_[low:high], kind="stable")[:k]
        return [(int(self.keys_[i]) % self.size_ - 1, float(self.counts_[i] / self.after_[before])) for i in best]

    def begins_late(self, codes: Sequence[int]) -> bool:
        """Whether a sequence begins with what is known and hardly ever comes first, as one that lacks its beginning."""
        if not self.starts_ or not len(codes):
            return False
        key = min(codes[0], self.size_ - 2) + 1
        at = np.flatnonzero(self.keys_ == key)
        return bool(self.single_[key] and self.counts_[at].sum() < _HARDLY_FIRST * self.after_[0])

    def _score(self, data: Ragged) -> Floats:
        return segment_max(self.event_surprise(data), data.rows, len(data))

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        return order_evidence(data, self.event_surprise(data))

    def state(self) -> State:
        """Return the counts of pairs and of single events."""
        pairs = pl.DataFrame({"key": self.keys_, "count": self.counts_})
        single = pl.DataFrame({"count": self.single_, "after": self.after_})
        values = {"size": self.size_, "starts": self.starts_, "sequences_seen": self.sequences_seen_}
        return State(values, {"pairs": pairs, "single": single})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.size_ = int(state.values["size"])
        self.starts_ = bool(state.values["starts"])
        self.keys_ = state.frames["pairs"]["key"].to_numpy()
        self.counts_ = state.frames["pairs"]["count"].to_numpy()
        self.single_ = state.frames["single"]["count"].to_numpy()
        self.after_ = state.frames["single"]["after"].to_numpy()
        return self
