"""A series over time as trend, daily and weekly season, and rest: which of them a finding sticks out of.

Seasonal-trend decomposition by loess for several seasons (MSTL: Bandara, Hyndman and Bergmeir, 2021, arXiv 2107.13462;
STL: Cleveland and others, 1990), robust, so that what one looks for does not bend what it is compared with. Counts are
decomposed as their square roots, where chance is equally wide by day and by night (Anscombe, 1948), and told in counts.
Needs the extra ``explain`` (statsmodels).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from offbeat.errors import NotEnoughDataError, OffbeatError, OptionError
from offbeat.explain.drift import TrendChange, trend_change

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Part = Literal["trend", "season", "rest"]

_SECOND: Final = 1_000_000
#: Seasons looked for, in microseconds.
SEASONS: Final = {"day": 86_400 * _SECOND, "week": 7 * 86_400 * _SECOND}
#: A season needs so many buckets to have a shape.
_LEAST_PERIOD: Final = 4
LEAST_BUCKETS: Final = 20
#: Longer series take seconds, and gaps of years would become millions of zeros.
MOST_BUCKETS: Final = 20_000
#: Robust standard deviations of the rest from which on a part is to blame. The trend is a mean of many buckets, so a
#: smaller step of it means as much.
_BLAMED: Final = {"rest": 4.0, "trend": 2.0}
#: Less than so large a part of the largest number of a sentence is told as none.
_NOTHING: Final = 1e-3
#: A normal distribution's standard deviation in median absolute deviations.
_MAD: Final = 1.4826


@dataclass(frozen=True)
class StandsOut:
    """Which part of a series a bucket sticks out of.

    Attributes:
        part: the part that sets the bucket apart most; the season only where neither of the others is to blame.
        sd: by how many robust standard deviations of the rest; negative where it is below.
        blamed: whether that is more than chance and the season explain. A season is never to blame.
    """

    part: Part
    sd: float
    blamed: bool


@dataclass(frozen=True)
class Decomposition:
    """A regular series of n buckets in parts: ``seen = trend + season + rest``, exactly.

    Attributes:
        times: when each bucket begins, microseconds since 1970 in UTC, shape (n,).
        seen: the series, shape (n,); what was missing is filled in.
        trend: shape (n,).
        seasons: by name (day, week), shape (n,) each; empty where the series is too short for any.
        rest: shape (n,).
        trend_sd, season_sd, rest_sd: the parts in robust standard deviations of the rest, shape (n,). The trend's are
            against the level before, the seasons' are summed.
        change: the trend's drift or step, None where there is none.
        step: width of a bucket in microseconds.
    """

    times: Ints
    seen: Floats
    trend: Floats
    seasons: dict[str, Floats]
    rest: Floats
    trend_sd: Floats
    season_sd: Floats
    rest_sd: Floats
    change: TrendChange | None
    step: int

    @property
    def season(self) -> Floats:
        """All seasons together, shape (n,)."""
        return np.sum(list(self.seasons.values()), axis=0) if self.seasons else np.zeros(len(self.times))

    @property
    def expected(self) -> Floats:
        """What trend and season expect, shape (n,)."""
        return self.trend + self.season

    def sticks_out(self, at: int) -> StandsOut:
        """Say which part the bucket with index ``at`` sticks out of.

        Raises:
            OffbeatError: there is no such bucket.
        """
        if not -len(self.times) <= at < len(self.times):
            raise OffbeatError(f"there is no bucket {at} among {len(self.times)}", where="decomposition")
        trend, season, rest = (float(x[at]) for x in (self.trend_sd, self.season_sd, self.rest_sd))
        if abs(rest) >= _BLAMED["rest"] and abs(rest) >= abs(trend):
            return StandsOut("rest", rest, True)
        if abs(trend) >= _BLAMED["trend"]:
            return StandsOut("trend", trend, True)
        if abs(season) >= max(abs(trend), abs(rest)):
            return StandsOut("season", season, False)
        return StandsOut("rest", rest, False) if abs(rest) >= abs(trend) else StandsOut("trend", trend, False)

    def bucket(self, at: datetime | int) -> int:
        """Return the index of a bucket: an index as it is, or of the time that it holds.

        Raises:
            OffbeatError: no bucket holds that time.
        """
        if isinstance(at, int):
            return at
        micros = int(pl.Series([at]).dt.epoch("us")[0])
        found = (micros - int(self.times[0])) // self.step
        if not 0 <= found < len(self.times):
            raise OffbeatError(f"{at} is outside of the series", where="decomposition")
        return found

    def buckets(self, at: datetime | int, until: datetime | None = None) -> range:
        """Return the indices of the buckets from that of ``at`` to ``until``, exclusive; at least the first.

        Raises:
            OffbeatError: no bucket holds ``at``.
        """
        low = self.bucket(at)
        if until is None:
            return range(low, low + 1)
        micros = int(pl.Series([until]).dt.epoch("us")[0])
        return range(low, max(low + 1, min(len(self.times), -((int(self.times[0]) - micros) // self.step))))


def decompose(times: ArrayLike, values: ArrayLike, *, counts: bool | None = None) -> Decomposition:
    """Decompose a series into trend, daily and weekly season, and rest.

    A season is looked for where the series is at least two of its periods long and a bucket is a whole part of it.

    Args:
        times: when each bucket begins, shape (n,): microseconds since 1970, or ``datetime64``. In order, a fixed step
            apart; buckets may be missing.
        values: shape (n,). NaN is unknown.
        counts: whether the values are counts, of which a missing bucket holds none; what is missing of other values
            is interpolated. None tells by whether all are whole and none is negative.

    Raises:
        OffbeatError: the times are not a fixed step apart, or not as many as the values.
        NotEnoughDataError: there are fewer than 20 buckets, or more than 20,000 between the first and the last.
        OptionError: statsmodels is not installed.
    """
    at, seen, step, counted = _regular(times, values, counts)
    flat = np.sqrt(seen + 0.375) if counted else seen
    trend, seasons = _parts(flat, step)
    rest = flat - trend - sum(seasons.values(), np.zeros(len(flat)))
    # The season took its part of the chance with it: half of it, where it was seen twice.
    periods = min((len(at) * step / SEASONS[name] for name in seasons), default=np.inf)
    sd = _spread(rest, seen, counted) * (1 - 1 / periods) ** -0.5
    change = trend_change(flat - sum(seasons.values(), np.zeros(len(flat))), sd)
    back = _squared if counted else _same
    told, level = {}, trend
    for name, season in seasons.items():  # one after the other, so that the parts add up in counts as well
        told[name] = back(level + season) - back(level)
        level = level + season
    whole = sum(seasons.values(), np.zeros(len(flat)))
    base = back(trend)
    return Decomposition(
        times=at,
        seen=seen,
        trend=base,
        seasons=told,
        rest=seen - back(level),
        trend_sd=(trend - _level_before(trend)) / sd,
        season_sd=(whole - np.median(whole)) / sd,
        rest_sd=rest / sd,
        change=None if change is None else change.told(back),
        step=step,
    )


def counts_of(series: pl.DataFrame, what: str, code: int) -> tuple[Ints, Floats]:
    """Return times and counts of one series of a run (``Run.series``, the columns of ``detect.volume.SERIES``).

    Args:
        series: the frame.
        what: all, template, source or level.
        code: of the template or source, the level's number; 0 for all.

    Raises:
        OffbeatError: there is no such series.
    """
    mine = series.filter((pl.col("what") == what) & (pl.col("code") == code)).sort("time")
    if mine.is_empty():
        raise OffbeatError(f"there is no series of {what} {code}", where="series")
    # Buckets in which nothing at all was written are left out of all series but ``all``.
    return mine["time"].dt.epoch("us").to_numpy(), mine["count"].cast(pl.Float64).to_numpy()


def explain_series(
    times: ArrayLike,
    counts: ArrayLike,
    at: datetime | int,
    until: datetime | None = None,
    *,
    decomposition: Decomposition | None = None,
) -> dict[str, Any]:
    """Say which part of a series a finding sticks out of, ready for JSON.

    Args:
        times: as for ``decompose``.
        counts: counts, values or scores, shape (n,).
        at: the finding's bucket: its index, or a time in it.
        until: the finding's end, exclusive; of the buckets from ``at`` to there the one that sticks out most is told.
        decomposition: of this very series, where there is one already.

    Returns:
        ``time`` (ISO 8601), ``step_seconds``, ``seen``, ``expected`` (trend and season), ``trend``, ``season``,
        ``rest``, ``rest_sd`` (the rest in robust standard deviations), ``part`` (trend, season or rest), ``sd`` (how
        far that part is off), ``blamed``, ``seasons`` (names of those found), ``change`` (the trend's, or None) and
        ``sentence``.

    Raises:
        OffbeatError: ``at`` is outside of the series; and as ``decompose``.
    """
    d = decomposition or decompose(times, counts)
    found = {i: d.sticks_out(i) for i in d.buckets(at, until)}
    i = max(found, key=lambda k: (found[k].blamed, abs(found[k].sd)))
    out = found[i]
    when = pl.Series([int(d.times[i])]).cast(pl.Datetime("us", "UTC"))[0]
    told = {name: round(float(getattr(d, name)[i]), 3) for name in ("seen", "expected", "trend", "season", "rest")}
    return {
        "time": when.isoformat().replace("+00:00", "Z"),
        "step_seconds": d.step / _SECOND,
        **told,
        "rest_sd": round(float(d.rest_sd[i]), 2),
        "part": out.part,
        "sd": round(out.sd, 2),
        "blamed": out.blamed,
        "seasons": list(d.seasons),
        "change": None if d.change is None else d.change.as_dict(d.times),
        "sentence": _sentence(d, i, out),
    }


def _sentence(d: Decomposition, at: int, out: StandsOut) -> str:
    """Say in one sentence what sets a bucket apart."""
    told = [float(x[at]) for x in (d.seen, d.expected, d.trend)]
    # What is nothing beside the others is nothing: parts are estimates, and may fall a little below zero.
    least = _NOTHING * max(map(abs, told))
    seen, usual, level = (_number(x if abs(x) >= least else 0.0) for x in told)
    why = f"the trend and the {' and '.join(d.seasons)}'s rhythm" if d.seasons else "the trend"
    size = f"{abs(out.sd):.1f} standard deviations"
    side = "above" if out.sd > 0 else "below"
    if out.part == "rest" and out.blamed:
        return f"{seen} here, where {why} would have {usual}: {size} {side}."
    if out.part == "trend" and out.blamed:
        how = f"; it {d.change.words(_number)}" if d.change is not None else ""
        if "day" in d.seasons and "week" not in d.seasons and len(d.times) * d.step > SEASONS["week"] // 2:
            how += " (the series is too short to know a week's rhythm)"
        return f"The level itself is off: about {level} here, {size} {side} what it was before{how}."
    if out.part == "season":
        many = "many" if out.sd > 0 else "few"
        return f"{seen} here is as {many} as the {' and '.join(d.seasons)}'s rhythm has at this time: {usual} expected."
    return f"{seen} here, where {why} would have {usual}: within what chance brings."


def _number(x: float) -> str:
    x = round(x, 6) + 0.0  # no trace of rounding errors, nor a zero below zero
    return f"{x:,.0f}" if abs(x) >= 100 or x == round(x) else f"{x:.3g}"


def _regular(times: ArrayLike, values: ArrayLike, counts: bool | None) -> tuple[Ints, Floats, int, bool]:
    """Return times, values without gaps, the step, and whether they are counts."""
    at = np.asarray(times)
    at = (at.astype("datetime64[us]") if np.issubdtype(at.dtype, np.datetime64) else at).astype(np.int64)
    seen = np.asarray(values, dtype=np.float64)
    if at.shape != seen.shape or at.ndim != 1:
        raise OffbeatError(f"times of shape {at.shape} for values of shape {seen.shape}", where="decompose")
    if len(at) < LEAST_BUCKETS:
        raise NotEnoughDataError(f"{len(at)} buckets are too few", where="decompose", hint=f"{LEAST_BUCKETS} at least")
    step = int(np.diff(at).min())
    if step <= 0 or np.any(np.diff(at) % step):
        raise OffbeatError("the times are not in order and a fixed step apart", where="decompose")
    n = int(at[-1] - at[0]) // step + 1
    if n > MOST_BUCKETS:
        hint = f"at most {MOST_BUCKETS:,}; take wider buckets"
        raise NotEnoughDataError(f"{n:,} buckets are too many", where="decompose", hint=hint)
    known = seen[np.isfinite(seen)]
    if not len(known):
        raise NotEnoughDataError("no value is known", where="decompose")
    counted = bool(np.all(known >= 0) and np.all(known == np.round(known))) if counts is None else counts
    whole = np.full(n, 0.0 if counted else np.nan)
    whole[(at - at[0]) // step] = seen
    gaps = ~np.isfinite(whole)
    if gaps.any():
        whole[gaps] = np.interp(np.flatnonzero(gaps), np.flatnonzero(~gaps), whole[~gaps])
    return at[0] + step * np.arange(n, dtype=np.int64), whole, step, counted


def _parts(flat: Floats, step: int) -> tuple[Floats, dict[str, Floats]]:
    """Return the trend, and the seasons by name."""
    n = len(flat)
    periods = {
        name: length // step
        for name, length in SEASONS.items()
        if length % step == 0 and length // step >= _LEAST_PERIOD and n >= 2 * (length // step)
    }
    try:
        from statsmodels.nonparametric.smoothers_lowess import lowess
        from statsmodels.tsa.seasonal import MSTL
    except ImportError:
        raise OptionError("needs statsmodels", where="decompose", hint="pip install 'offbeat[explain]'") from None
    if not periods:
        # A fifth of the series at a time follows a slow rise and passes over a spike.
        return np.asarray(lowess(flat, np.arange(n), frac=max(0.2, 7 / n), it=3, return_sorted=False)), {}
    # Windows wider than the series: a rhythm that stays the same, for one that may change would follow what is odd.
    windows = [2 * (n // period) + 7 for period in periods.values()]
    # Slower than the slowest rhythm, from which a faster trend could not be told.
    window = int(1.5 * max(periods.values())) // 2 * 2 + 1 if len(periods) == 1 else max(periods.values()) // 2 * 2 + 3
    # Fits at every tenth place and lines between them: a tenth of the time (Cleveland and others, section 3.4).
    jumps = {"trend_jump": 1 + window // 10, "low_pass_jump": 1 + min(periods.values()) // 10}
    kwargs = {"robust": True, "seasonal_deg": 0, "trend": max(window, 7), **jumps}
    # Statsmodels wants more than two periods: of exactly two, the next bucket is as it was a period before.
    long = np.append(flat, flat[-max(periods.values())])
    found = MSTL(long, periods=list(periods.values()), windows=windows, stl_kwargs=kwargs).fit()
    trend = np.asarray(found.trend, dtype=np.float64)[:n]
    each = np.asarray(found.seasonal, dtype=np.float64).reshape(n + 1, -1)[:n]
    seasons = {name: each[:, i] for i, name in enumerate(periods)}
    for name, period in periods.items():
        # One odd bucket makes all residuals at its hour so large that robust weights may drop every one of them: of few
        # periods, and of any number where hardly anything is written. The season is then the odd bucket itself.
        others = sum((x for other, x in seasons.items() if other != name), np.zeros(n))
        seasons[name] = _not_once(flat - trend - others, seasons[name], period)
    return trend, seasons


def _not_once(seen: Floats, season: Floats, period: int) -> Floats:
    """Return a season without what came in one of its periods only.

    Where they are far apart their median counts; of two, the one that is nearer to the hours around.

    Args:
        seen: the series less trend and other seasons, shape (n,).
        season: as found, shape (n,).
        period: its length in buckets.
    """
    n = len(seen)
    padded = np.full(-(-n // period) * period, np.nan)
    padded[:n] = seen
    rows = padded.reshape(-1, period)
    apart = np.nanmax(rows, axis=0) - np.nanmin(rows, axis=0)
    far = np.flatnonzero(apart > 6 * np.median(apart))
    shape = season[:period].copy()
    around = np.lib.stride_tricks.sliding_window_view(np.pad(shape, 2, mode="wrap"), 5)
    usual = np.median(around, axis=1)
    if len(far):
        near = rows[np.nanargmin(np.abs(rows[:, far] - usual[far]), axis=0), far]
        two = np.isfinite(rows[:, far]).sum(axis=0) <= 2
        shape[far] = np.where(two, near, np.nanmedian(rows[:, far], axis=0))
    return np.where(np.isin(np.arange(n) % period, far), np.resize(shape, n), season)


def _spread(rest: Floats, seen: Floats, counted: bool) -> float:
    """Return the rest's robust standard deviation; never less than chance gives counts, nor nothing at all."""
    found = _MAD * float(np.median(np.abs(rest - np.median(rest))))
    if counted:
        return max(found, 0.5)  # the root of a Poisson count has a standard deviation of a half
    return max(found, 1e-9 * float(np.abs(seen).max()), 1e-12)


def _squared(x: Floats) -> Floats:
    return np.asarray(np.maximum(x, 0.0) ** 2 - 0.375)


def _same(x: Floats) -> Floats:
    return x


def _level_before(trend: Floats) -> Floats:
    """Return the usual trend up to each bucket: the median of all before it; at first, of the first quarter."""
    n = len(trend)
    least = max(1, n // 4)
    blocks = np.unique(np.linspace(least, n, min(n - least + 1, 200)).astype(np.int64))
    medians = np.array([np.median(trend[:k]) for k in blocks])
    return np.asarray(medians[np.searchsorted(blocks, np.arange(n), side="right").clip(1) - 1])
