"""How improbable is it that this event comes so long after the one before?"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.parts import ByEvent
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax
from offbeat.detect.tails import Tails

#: Steps of clocks, in seconds, coarsest first.
_STEPS: Final = (60.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)
#: Share of the time stamps that lie on a clock's steps.
_ON_STEP: Final = 0.999
#: Gaps within a factor of e to this are alike: the least scale of a tail, in natural logarithms.
_LEAST_SCALE: Final = 0.25
#: Codes are below this; a pair of them is one 64-bit number.
_CODES: Final = 2**31


class Timing(ByEvent):
    """Score a sequence by its most surprising pause before an event.

    Gaps between consecutive events on a logarithmic scale, by pair of templates; where a pair was seen too seldom, by
    the later template alone. The surprise of a gap is ``-ln P(at least so long)``, with a tail as heavy as the pair's
    own. A pair never seen, or a template never seen, has no usual gap: it counts as little more than the median unit,
    for other views say more about it.

    Args:
        least: gaps from which on a pair is judged by its own.
    """

    name: ClassVar[str] = "timing"
    needs: ClassVar[tuple[str, ...]] = ("timestamps",)
    source: ClassVar[str] = "offbeat; conformal tail of log gaps by pair of templates, with an exponential continuation"
    looks_at: ClassVar[str] = "pauses between events that are longer than usual"
    in_nats: ClassVar[bool] = True

    def __init__(self, least: int = 10) -> None:
        self.least = least

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        self.resolution_ = _resolution(data.extra["timestamps"])
        at, pair, x = self._gaps(data)
        weight = data.weight[data.rows[at]]
        self.pairs_ = Tails.fit(pair, x, weight, _LEAST_SCALE)
        self.templates_ = Tails.fit(data.ids[at], x, weight, _LEAST_SCALE)
        self.unknown_ = 0.0
        scores = self._score(data)
        order = np.argsort(scores, kind="stable")
        mass = np.cumsum(data.weight[order])
        half = np.searchsorted(mass, mass[-1] / 2 * (1 - 1e-12))
        self.unknown_ = float(scores[order][half]) + float(np.log(2))

    def _gaps(self, data: Ragged) -> tuple[Ints, Ints, Floats]:
        """Return the events that have a gap before them, the pair that each ends, and the gap's logarithm."""
        gap = np.diff(data.extra["timestamps"], prepend=np.nan)
        gap[data.offsets[:-1][data.lengths > 0]] = np.nan
        at = np.flatnonzero(np.isfinite(gap))
        # Events out of order are as close as can be.
        x = np.log(np.maximum(gap[at], 0.0) + self.resolution_)
        return at, data.ids[at - 1] * _CODES + data.ids[at], x

    def _judged(self, data: Ragged) -> tuple[Ints, Floats, Floats]:
        """Return the events that have a gap before them, its surprise, and the usual gap's logarithm (NaN: none)."""
        at, pair, x = self._gaps(data)
        surprise, usual = np.full(len(at), self.unknown_), np.full(len(at), np.nan)
        seen = self.pairs_.find(pair)
        own = self.pairs_.find(pair, self.least)
        alone = np.where(own < 0, self.templates_.find(data.ids[at]), -1)
        for tails, group in ((self.templates_, alone), (self.pairs_, own)):
            some = np.flatnonzero(group >= 0)
            surprise[some] = tails.surprise(group[some], x[some])
            usual[some] = tails.usual(group[some])
        return at, np.where(seen < 0, np.maximum(surprise, self.unknown_), surprise), usual

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        at, surprise, usual = self._judged(data)
        worst = segment_argmax(surprise, data.rows[at], len(data))
        some = pl.Series(worst >= 0)
        if not len(at):
            at, surprise, usual = np.zeros(1, dtype=np.int64), np.zeros(1), np.full(1, np.nan)
        event = at[worst]
        times = data.extra["timestamps"]
        seen = np.maximum(times[event] - times[event - 1], 0.0) if len(times) > 1 else np.zeros(len(data))
        expected = np.maximum(np.exp(usual[worst]) - self.resolution_, 0.0)
        ids = data.ids if len(data.ids) else np.zeros(1, dtype=np.int64)
        return {
            "kind": np.full(len(data), "latency"),
            "template": pl.Series(ids[event]).cast(pl.UInt32).set(~some, None),
            "event": pl.Series(event - data.offsets[:-1]).clip(0).cast(pl.UInt32).set(~some, None),
            "seen": np.where(worst >= 0, seen, 0.0),
            "usual": np.where(worst >= 0, np.nan_to_num(expected), 0.0),
            "share": np.where(worst >= 0, np.exp(-surprise[worst]), 1.0),
        }

    def state(self) -> State:
        """Return the tails by pair and by template."""
        values = {
            "sequences_seen": self.sequences_seen_,
            "resolution": self.resolution_,
            "unknown": self.unknown_,
        }
        return State(values, {"pairs": self.pairs_.to_frame(), "templates": self.templates_.to_frame()})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.resolution_ = float(state.values["resolution"])
        self.unknown_ = float(state.values["unknown"])
        self.pairs_, self.templates_ = (Tails.restore(state.frames, name) for name in ("pairs", "templates"))
        return self


def _resolution(times: Floats) -> float:
    """Return the step of the clock that wrote the times, in seconds."""
    micro = np.round(times[np.isfinite(times)] * 1e6)
    for step in _STEPS:
        if not len(micro) or np.mean(micro % round(step * 1e6) == 0) >= _ON_STEP:
            return step
    return _STEPS[-1]
