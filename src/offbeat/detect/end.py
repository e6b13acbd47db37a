"""How improbable is it that a sequence ends here?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import Detector, State
from offbeat.detect.ragged import Floats, Ragged

Words = NDArray[np.uint64]


class End(Detector):
    """Score a sequence by ``-ln P(it ends after its last events)``.

    The probability is counted for the last ``order`` events and interpolated with that for one event fewer, down to the
    share of ends among all events (Jelinek and Mercer, 1980, with a fixed prior). It is a view of its own, for mixed
    with the order of events it drowns that on logs whose sessions are cut off. A unit cut off by the end of the input
    is judged like any other; ``open_at_end`` tells it apart.

    Args:
        order: events looked back at.
        prior: how many counts the shorter context stands for.
    """

    name: ClassVar[str] = "end"
    source: ClassVar[str] = "offbeat; end of sequence by interpolated n-grams after Jelinek and Mercer, 1980"
    looks_at: ClassVar[str] = "after which events a unit ends"
    in_nats: ClassVar[bool] = True
    needs_ends: ClassVar[bool] = True

    def __init__(self, order: int = 3, prior: float = 1.0) -> None:
        self.order = order
        self.prior = prior

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        weight = data.weight
        # A sequence of n events could have ended in n + 1 places: after each event, and before the first.
        places = np.repeat(np.arange(len(data)), data.lengths + 1)
        upto = np.arange(len(places)) - np.repeat(data.offsets[:-1] + np.arange(len(data)), data.lengths + 1)
        ends = upto == data.lengths[places]
        contexts = self._contexts(data, data.offsets[places] + upto, upto)
        tables = []
        for k, words in enumerate(contexts):
            keys, index = np.unique(words, return_inverse=True)
            passed = np.bincount(index, weights=weight[places])
            ended = np.bincount(index, weights=weight[places] * ends)
            tables.append(
                pl.DataFrame({"events": np.full(len(keys), k), "key": keys, "passed": passed, "ended": ended})
            )
        self.table_ = pl.concat(tables)

    def _contexts(self, data: Ragged, at: NDArray[np.int64], upto: NDArray[np.int64]) -> list[Words]:
        """Return a hash of the last 0 to ``order`` events before each place.

        Args:
            data: the sequences.
            at: positions in ``data.ids``, one behind the last event read, shape (p,).
            upto: how many events the sequence has before it, shape (p,).
        """
        word = np.zeros(len(at), dtype=np.uint64)
        out = [word]
        ids = np.append(data.ids, 0)
        for k in range(1, self.order + 1):
            # Zero stands for what lies before the start, so that the start is a context too.
            code = np.where(upto >= k, ids[np.maximum(at - k, -1)] + 1, 0).astype(np.uint64)
            word = _mix(word + code * np.uint64(2) + np.uint64(1))
            out.append(word)
        return out

    def p_end(self, data: Ragged) -> Floats:
        """Return the probability of each sequence's end given its last events, shape (n,)."""
        p = np.full(len(data), 0.5)
        for k, words in enumerate(self._contexts(data, data.offsets[1:], data.lengths)):
            table = self.table_.filter(pl.col("events") == k)
            keys = table["key"].to_numpy()
            at = np.searchsorted(keys, words).clip(max=len(keys) - 1)
            found = keys[at] == words
            passed, ended = (np.where(found, table[name].to_numpy()[at], 0.0) for name in ("passed", "ended"))
            p = (ended + self.prior * p) / (passed + self.prior)
        return p

    def _score(self, data: Ragged) -> Floats:
        return -np.log(self.p_end(data))

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        some = data.lengths > 0
        last = np.append(data.ids, 0)[np.where(some, data.offsets[1:] - 1, -1)]
        return {
            "kind": np.full(len(data), "end"),
            "template": pl.Series(last).cast(pl.UInt32).set(pl.Series(~some), None),
            "event": pl.Series(np.maximum(data.lengths - 1, 0)).cast(pl.UInt32).set(pl.Series(~some), None),
            "seen": some.astype(float),
            "usual": np.zeros(len(data)),
            "share": self.p_end(data),
        }

    def state(self) -> State:
        """Return, for each context, how often it was passed and how often a sequence ended in it."""
        return State({"sequences_seen": self.sequences_seen_}, {"contexts": self.table_})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.table_ = state.frames["contexts"]
        return self


def _mix(words: Words) -> Words:
    """Scatter 64-bit words (the finaliser of SplitMix64; Steele, Lea and Flood, OOPSLA 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
