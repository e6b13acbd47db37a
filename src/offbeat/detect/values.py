"""How improbable is this number - a duration, a size, a code - among those that its template had before?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.parts import ByEvent
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax
from offbeat.detect.tails import Tails

#: Least scale of a tail, on the scale of ``_scaled``: about a tenth of the number.
_LEAST_SCALE: Final = 0.1
#: A template's numbers are linear below this share of its small ones' size, logarithmic above.
_LINEAR: Final = 0.5

#: Seconds in a unit of time and bytes in a unit of size, lower case (IEC 80000-13; logs mean the same by ``KB``).
_UNITS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0,
    "millisecond": 1e-3, "microsecond": 1e-6, "second": 1.0, "minute": 60.0, "hour": 3600.0,
    "b": 1.0, "byte": 1.0, "kb": 2.0**10, "kib": 2.0**10, "mb": 2.0**20, "mib": 2.0**20, "gb": 2.0**30, "gib": 2.0**30,
}  # fmt: skip
_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_WITH_UNIT: Final = (
    rf"(?i)(?:^|[\s=:(\[,]){_NUMBER} ?"
    r"(ns|us|µs|ms|s|secs?|min|milliseconds?|microseconds?|seconds?|minutes?|hours?|bytes?|[kmg]i?b)(?:$|[\s,;.)\]])"
)
_NAMED: Final = (
    r"(?i)(?:\b|_)(?:took|elapsed|duration|latency|response[_ ]time|runtime|delay|size|bytes|length|len|score|usage|"
    rf"cpu|memory|mem|load|depth|lag|count|attempts?|retries|status|code)[\"']?(?:[:=]\s?| (?:is |of )?)[\"']?{_NUMBER}"
    r"(?:$|[\s,;.)\]}%\"'])"
)
_FIELDS: Final = (
    re.compile(r"(?i)(?:^|[._-])(?:duration|latency|elapsed|took|response_?time|request_?time|rtt?$)"),
    re.compile(r"(?i)(?:^|[._-])(?:bytes|size|length)"),
    re.compile(r"(?i)(?:^|[._-])(?:status(?:_?code)?|code|count|usage|load|depth|lag)$"),
)


def value_field(kinds: Mapping[str, str]) -> str | None:
    """Return the field that holds the number of an event: a duration, else a size, else a code or a count.

    Args:
        kinds: names of fields with what they hold; only those that hold a ``number`` or a ``category`` count.
    """
    numbers = [name for name, kind in kinds.items() if kind in ("number", "category")]
    return next((name for pattern in _FIELDS for name in numbers if pattern.search(name)), None)


def main_values(messages: pl.Series, shapes: pl.Series) -> pl.Series:
    """Return the number of each message, Float64: durations in seconds, sizes in bytes; null where there is none.

    That is the first number with a unit, else the first after a word such as ``took``, ``size`` or ``status``. Each
    shape is tried on one of its messages first, so that messages without such a number cost next to nothing.

    Args:
        messages: String.
        shapes: what the messages have in common: Categorical, or codes from 0 on.
    """
    kinds = shapes.to_physical().to_numpy()
    n = len(kinds)
    first = np.full(int(kinds.max(initial=0)) + 1, n)
    first[kinds[::-1]] = np.arange(n - 1, -1, -1)
    met = np.flatnonzero(first < n)
    samples = messages.gather(first[met])
    with_unit, named = np.zeros(len(first), dtype=bool), np.zeros(len(first), dtype=bool)
    with_unit[met] = samples.str.contains(_WITH_UNIT).fill_null(False)
    named[met] = samples.str.contains(_NAMED).fill_null(False)
    out = np.full(n, np.nan)
    rows = np.flatnonzero(with_unit[kinds])
    if len(rows):
        parts = messages.gather(rows).str.extract_groups(_WITH_UNIT).struct.unnest()
        base = parts["2"].str.to_lowercase()
        plural = base.str.len_chars() > 2
        factor = (
            pl.select(pl.when(plural).then(base.str.strip_suffix("s")).otherwise(base))
            .to_series()
            .replace_strict(_UNITS, default=1.0, return_dtype=pl.Float64)
        )
        out[rows] = (parts["1"].cast(pl.Float64, strict=False) * factor).to_numpy()
    rows = np.flatnonzero((named & ~with_unit)[kinds])
    if len(rows):
        out[rows] = messages.gather(rows).str.extract(_NAMED).cast(pl.Float64, strict=False).to_numpy()
    return pl.Series("value", out).fill_nan(None)


class Values(ByEvent):
    """Score a sequence by its most surprising number.

    Numbers are compared with those that the same template had in training: the surprise is ``-ln P`` of being so
    large, or so small, with tails that are as heavy as the template's own (numbers are put on a scale that is
    logarithmic but near zero). A template that had no number in training counts as little more than the median unit.

    Args:
        least: numbers from which on a template is judged.
    """

    name: ClassVar[str] = "values"
    needs: ClassVar[tuple[str, ...]] = ("values",)
    source: ClassVar[str] = "offbeat; two-sided conformal tails of each template's numbers, continued exponentially"
    looks_at: ClassVar[str] = "durations, sizes and other numbers that are larger or smaller than usual"
    in_nats: ClassVar[bool] = True

    def __init__(self, least: int = 10) -> None:
        self.least = least

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        at = np.flatnonzero(np.isfinite(data.extra["values"]))
        code, value, weight = data.ids[at], data.extra["values"][at], data.weight[data.rows[at]]
        self.units_, self.unit_ = small_sizes(code, value)
        x = self._scaled(code, value)
        self.high_ = Tails.fit(code, x, weight, _LEAST_SCALE)
        self.low_ = Tails.fit(code, -x, weight, _LEAST_SCALE)
        self.unknown_ = 0.0
        scores = self._score(data)
        order = np.argsort(scores, kind="stable")
        mass = np.cumsum(data.weight[order])
        half = np.searchsorted(mass, mass[-1] / 2 * (1 - 1e-12))
        self.unknown_ = float(scores[order][half]) + float(np.log(2))

    def _scaled(self, code: Ints, value: Floats) -> Floats:
        """Return numbers on a scale that is linear near zero and logarithmic far from it, by template."""
        if not len(self.units_):
            return np.arcsinh(value)
        at = np.minimum(np.searchsorted(self.units_, code), len(self.units_) - 1)
        return np.arcsinh(value / np.where(self.units_[at] == code, self.unit_[at], 1.0))

    def _judged(self, data: Ragged) -> tuple[Ints, Floats, Floats]:
        """Return the events that have a number, its surprise, and the usual number (NaN: none)."""
        at = np.flatnonzero(np.isfinite(data.extra["values"]))
        code, value = data.ids[at], data.extra["values"][at]
        x = self._scaled(code, value)
        surprise, usual = np.full(len(at), self.unknown_), np.full(len(at), np.nan)
        group = self.high_.find(code, self.least)
        some = np.flatnonzero(group >= 0)
        high, low = (t.surprise(group[some], s * x[some]) for t, s in ((self.high_, 1.0), (self.low_, -1.0)))
        # Two tails were looked at.
        surprise[some] = np.maximum(np.maximum(high, low) - np.log(2), 0.0)
        unit = self.unit_[np.searchsorted(self.units_, code[some])]
        usual[some] = np.sinh(self.high_.usual(group[some])) * unit
        return at, surprise, usual

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        at, surprise, usual = self._judged(data)
        worst = segment_argmax(surprise, data.rows[at], len(data))
        some = worst >= 0
        if not len(at):
            at, surprise, usual = np.zeros(1, dtype=np.int64), np.zeros(1), np.full(1, np.nan)
        event = at[worst]
        ids, values = (x if len(x) else np.zeros(1, x.dtype) for x in (data.ids, data.extra["values"]))
        return {
            "kind": np.full(len(data), "value"),
            "template": pl.Series(ids[event]).cast(pl.UInt32).set(pl.Series(~some), None),
            "event": pl.Series(event - data.offsets[:-1]).clip(0).cast(pl.UInt32).set(pl.Series(~some), None),
            "seen": np.where(some, values[event], 0.0),
            "usual": np.where(some, np.nan_to_num(usual[worst]), 0.0),
            "share": np.where(some, np.exp(-surprise[worst]), 1.0),
        }

    def state(self) -> State:
        """Return both tails and the unit of each template's numbers."""
        units = pl.DataFrame({"template": self.units_, "unit": self.unit_})
        values = {"sequences_seen": self.sequences_seen_, "unknown": self.unknown_}
        return State(values, {"high": self.high_.to_frame(), "low": self.low_.to_frame(), "units": units})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.unknown_ = float(state.values["unknown"])
        self.units_ = state.frames["units"]["template"].to_numpy()
        self.unit_ = state.frames["units"]["unit"].to_numpy()
        self.high_, self.low_ = (Tails.restore(state.frames, name) for name in ("high", "low"))
        return self


def small_sizes(code: Ints, value: Floats) -> tuple[Ints, Floats]:
    """Return the templates that have numbers, increasing, and the size below which theirs are linear."""
    frame = pl.DataFrame({"code": code, "size": np.abs(value)}).unique()
    # Of distinct numbers, so that weights need not be known.
    small = pl.col("size").filter(pl.col("size") > 0).quantile(0.1, "lower").fill_null(1.0) * _LINEAR
    found = frame.group_by("code").agg(small).sort("code")
    return found["code"].to_numpy().astype(np.int64), found["size"].to_numpy().astype(np.float64)
