"""Thresholds by the rate of alarms they are to give: by the share of training, by its tail, or adapting as units come.

A threshold on a share of training is a conformal prediction of the rate on later units like those (Vovk et al., 2005).
Beyond what training can show, extreme-value theory continues its tail (Siffer et al., KDD 2017). And where later units
are not like those, the line has to move with them (Gibbs and Candès, NeurIPS 2021).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide.threshold import Knee, Threshold
from offbeat.decide.threshold import parse_threshold as parse_fixed
from offbeat.errors import OptionError
from offbeat.schema import covered

Floats = NDArray[np.float64]

#: The tail is fitted to the excesses over this quantile, as Siffer et al. propose.
_INITIAL: Final = 0.98
#: With fewer excesses no tail can be fitted.
_LEAST: Final = 10


#: Seconds.
_SPANS: Final[Mapping[str, float]] = {"day": 86_400.0, "hour": 3_600.0}


@dataclass(frozen=True)
class Rate:
    """The score that ``share`` of later units are to reach, by what training reached out of fold.

    The line is where the conformal p-value, ``(units scoring at least so much, plus 1) / (units + 1)``, is at most the
    share; ties are flagged together or not at all, so that the rate is never above it on units like those learned from.
    """

    share: float

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Return what lies just above the largest training score with a larger p-value: new scores fall in between."""
        values, index = np.unique(scores, return_inverse=True)
        at_least = np.bincount(index, weights=weight)[::-1].cumsum()[::-1]
        p = (at_least + 1) / (float(weight.sum()) + 1)
        common = values[p > self.share * (1 + 1e-12)]
        return float(np.nextafter(common.max(), np.inf)) if len(common) else float(values[0])


@dataclass(frozen=True)
class Pot:
    """Peaks over threshold: the score that a share ``q`` of later units exceed, by the fitted tail of training.

    The excesses over the 98 % quantile follow a generalised Pareto distribution (Pickands, 1975; Balkema and de Haan,
    1974), fitted by the quasi-Bayesian estimate of Zhang and Stephens (Technometrics 2009), which needs no iteration
    and no start. Source: Siffer, Fouque, Termier and Largouët, Anomaly Detection in Streams with Extreme Value Theory,
    KDD 2017. With fewer than ten excesses the line is a ``Rate``'s.
    """

    q: float = 1e-3

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Return the score with the tail probability ``q``; where ties leave no tail, just above the largest score."""
        order = np.argsort(scores, kind="stable")
        at, mass = scores[order], weight[order]
        below = np.cumsum(mass) / mass.sum()
        start = float(at[min(int(np.searchsorted(below, _INITIAL)), len(at) - 1)])
        over = at > start
        share = float(mass[over].sum() / mass.sum())
        if self.q >= share or mass[over].sum() < _LEAST:
            return Rate(self.q).fit(scores, weight)
        excess = _repeated(at[over] - start, mass[over])
        shape, scale = pareto_tail(excess)
        ratio = share / self.q
        reach = scale * np.log(ratio) if abs(shape) < 1e-6 else scale * (ratio**shape - 1.0) / shape
        return float(np.nextafter(start + float(reach), np.inf))


#: The tail is fitted to so many excesses at most.
_MOST: Final = 20_000


def _repeated(values: Floats, weight: Floats) -> Floats:
    """Return values so often as they weigh, rounded; at even steps of weight where that would be too many."""
    total = float(weight.sum())
    n = min(round(total), _MOST)
    place = (np.arange(n) + 0.5) * (total / n)
    return np.asarray(values[np.searchsorted(np.cumsum(weight), place).clip(0, len(values) - 1)])


def pareto_tail(excess: Floats) -> tuple[float, float]:
    """Return shape and scale of the generalised Pareto distribution of excesses, shape (n,), all above zero.

    The shape is drawn towards 0, an exponential tail, by a prior worth ten excesses: surprise has such a tail by its
    construction. (Vehtari et al., JMLR 2024, do the same towards 0.5, for other purposes.)
    """
    x = np.sort(excess)
    n = len(x)
    grid = 30 + int(np.sqrt(n))
    step = np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    theta = (1.0 - step) / (3.0 * x[max(int(n / 4 + 0.5) - 1, 0)]) + 1.0 / x[-1]
    shapes = np.array([np.mean(np.log1p(-t * x)) for t in theta])
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = n * (np.log(-theta / shapes) - shapes - 1.0)
    likelihood = np.where(np.isfinite(likelihood), likelihood, -np.inf)
    chance = np.exp(likelihood - likelihood.max())
    mean = float((theta * chance).sum() / chance.sum())
    shape = float(np.mean(np.log1p(-mean * x)))
    scale = -shape / mean if abs(mean) > 1e-12 else float(x.mean())
    return n * shape / (n + 10), float(scale)


@dataclass(frozen=True)
class Follow:
    """A rate that later units are held to as they come, however they differ from training.

    Adaptive conformal inference (Gibbs and Candès, NeurIPS 2021): a unit is flagged where its p-value is at most a
    level; after each unit the level rises a little if it was not flagged, and falls if it was. Over ``t`` units the
    flagged share departs from ``share`` by no more than about ``1 / (step t)``, whatever the units are. The level moves
    on a logarithmic scale, so that a rate of one in a thousand is met as well as one in ten.

    It starts from the ``Rate`` of training, which later units may be far from. So the level moves in large steps at
    first, as long as all goes one way, and an alarm, which turns it round, makes them smaller (Kesten, Annals of
    Mathematical Statistics 1958): with ``m`` alarms they are ``first / (1 + m)``, down to ``step``. That the rate holds
    over time with any steps that do not grow is shown by Angelopoulos, Barber and Bates (ICML 2024).

    Where so many alarms a day are asked for, the level rises with the time that passes, not with units; so the rate
    holds in a busy hour as in a quiet one. A pause banks no more than a day's.

    Attributes:
        share: of units to be flagged.
        step: by how much a flagged unit lowers the logarithm of the level.
        every: seconds between two alarms, where these are asked for by time.
        first: the step before any alarm has come.
    """

    share: float
    step: float = 0.7
    every: float | None = None
    first: float = 2.8

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Return what a ``Rate`` returns: where to begin."""
        return Rate(self.share).fit(scores, weight)

    def flags(self, surprise: Floats, seconds: Floats | None = None) -> NDArray[np.bool_]:
        """Return which units are flagged, shape (n,), from their surprise ``-ln p`` in the order in which they came.

        Args:
            surprise: of units.
            seconds: when each came; NaN where that is not known. Not needed for a rate by units.
        """
        line, step, alarms = -float(np.log(self.share)), max(self.first, self.step), 0
        out = np.zeros(len(surprise), dtype=bool)
        for i, (one, due) in enumerate(zip(surprise.tolist(), self._due(len(surprise), seconds).tolist(), strict=True)):
            # At zero all would be flagged, and nothing learned.
            line = max(line - step * due, 1e-9)
            if one >= line:
                out[i] = True
                alarms += 1
                smaller = max(self.step, self.first / (1 + alarms))
                # Between both steps: raised by the larger one, too few alarms would come at first, else too many.
                line += math.sqrt(step * smaller)
                step = smaller
        return out

    def _due(self, n: int, seconds: Floats | None) -> Floats:
        """Return how many alarms fall due with each of n units, shape (n,)."""
        if self.every is None or seconds is None or n == 0:
            return np.full(n, self.share)
        # Time does not run backwards, nor for a unit that has none; and it begins with the first that has one.
        known = np.flatnonzero(~np.isnan(seconds))
        start = seconds[known[0]] if len(known) else 0.0
        now = np.maximum.accumulate(np.where(np.isnan(seconds), start, np.maximum(seconds, start)))
        return np.minimum(np.diff(now, prepend=start), _SPANS["day"]) / self.every


@dataclass(frozen=True)
class Timed:
    """So many alarms a day or an hour: a ``Rate`` or a ``Follow``, once it is known how many units come in that time.

    Attributes:
        count: alarms.
        per: ``day`` or ``hour``.
        follow: whether to hold the rate however units differ from training.
    """

    count: float
    per: str
    follow: bool

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Raise OptionError: without the times of units nothing can be said."""
        raise self._no_times()

    def _no_times(self) -> OptionError:
        return OptionError(f"a rate by the {self.per} needs times", where="--threshold", hint="use N/1000")

    def on(self, units: pl.DataFrame) -> Rate | Follow:
        """Return what it comes to where as many units come in a day or an hour as in these.

        Args:
            units: SEQUENCES or SCORES: ``start``, ``end``, and ``weight`` where there is one.

        Raises:
            OptionError: they have no times.
        """
        spans = self._spans(units)
        number = float(units["weight"].sum()) if "weight" in units.columns else float(units.height)
        # Of fewer units than alarms no more than each second one can be strange.
        share = min(self.count * spans / max(number, 1.0), 0.5)
        return Follow(share, every=_SPANS[self.per] / self.count) if self.follow else Rate(share)

    def achieved(self, units: pl.DataFrame) -> float:
        """Return how many units a day or an hour are flagged: SCORES, with times."""
        return float(units["is_anomaly"].sum()) / self._spans(units)

    def _spans(self, units: pl.DataFrame) -> float:
        time = covered(units)
        if time is None:
            raise self._no_times()
        # Of less than an hour a rate cannot be told; that of the whole hour is the least to go by.
        return max(time.total_seconds(), 3_600.0) / _SPANS[self.per]

    def __str__(self) -> str:
        return f"{self.count:g}/{self.per}"


def on_units(rule: Threshold | None, units: pl.DataFrame) -> Threshold | None:
    """Return a rule as it is for these units: a rate by time becomes one by units; others stay as they are.

    Raises:
        OptionError: a rate by time is asked for, and units have no times.
    """
    return rule.on(units) if isinstance(rule, Timed) else rule


def timed(rule: Threshold | None) -> Timed | None:
    """Return a rule that asks for so many alarms a day or an hour, None where it is another."""
    return rule if isinstance(rule, Timed) else None


def asked_share(rule: Threshold | None) -> float | None:
    """Return the share of units that a threshold is asked to flag, None where it is asked for none."""
    return rule.share if isinstance(rule, Rate | Follow) else rule.q if isinstance(rule, Pot) else None


def raising(rule: Threshold | None) -> Threshold:
    """Return what finds a threshold anew on a log that changed: a rate that is asked for, or the log's own knee."""
    return Knee() if asked_share(rule) is None or rule is None else rule


def verdicts(rule: Threshold | None, scores: pl.DataFrame, threshold: float) -> NDArray[np.bool_]:
    """Return which units are anomalies, shape (n,), from SCORES.

    What follows looks at units in the order in which they end, for only then is there something to decide on.
    """
    if not isinstance(rule, Follow):
        return scores["score"].to_numpy() >= threshold
    surprise = -np.log(scores["p_value"].to_numpy())
    if "end" not in scores.columns:
        return rule.flags(surprise)
    ends = scores["end"].dt.timestamp("us").cast(pl.Float64).fill_null(math.nan).to_numpy() / 1e6
    # A unit without a time comes when the one before it does.
    place = scores["end"].fill_null(strategy="forward")
    order = place.to_frame("end").with_row_index("i").sort("end", "i", nulls_last=False)["i"].to_numpy()
    out = np.zeros(scores.height, dtype=bool)
    out[order] = rule.flags(surprise[order], ends[order])
    return out


_RATES: Final[Mapping[str, type[Rate] | type[Follow]]] = {"rate": Rate, "follow": Follow}


def parse_threshold(text: str) -> Threshold:
    """Read ``rate:5/1000``, ``follow:5/day``, ``rate:1/hour``, ``pot:0.001``, or what is read for a fixed threshold.

    Raises:
        OptionError: it is none of these, or its number is out of range.
    """
    found = re.fullmatch(r"(rate|follow):(\d*\.?\d+)/(?:1000|(day|hour))|(pot)(?::(\d*\.?\d+))?", text.strip())
    if found and found[4]:
        q = float(found[5] or 1e-3)
        if 0 < q < 1:
            return Pot(q)
    if found and found[3] and float(found[2]) > 0:
        return Timed(float(found[2]), found[3], found[1] == "follow")
    if found and found[1] and not found[3] and 0 < float(found[2]) < 1000:
        return _RATES[found[1]](float(found[2]) / 1000)
    try:
        return parse_fixed(text)
    except OptionError:
        hint = (
            "knee, knee:0.2, sigma:3, quantile:0.999, pot:0.001, rate:5/1000, rate:5/day, follow:5/1000, follow:2/hour"
        )
        raise OptionError(f"{text!r} is no threshold", where="--threshold", hint=hint) from None
