"""Where to draw the line, without labels. A threshold is fitted on surprise (nats, out of fold) and is swappable."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from offbeat.errors import OptionError

Floats = NDArray[np.float64]


class Threshold(Protocol):
    """Finds the score from which on a unit is an anomaly."""

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Return the threshold for out-of-fold scores of shape (n,), each standing for ``weight`` units."""
        ...


@dataclass(frozen=True)
class Sigma:
    """Mean plus ``k`` standard deviations of the training errors, as the founding paper has it."""

    k: float = 3.0

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Return what lies just above mean + k sd, so that scores that are all alike are no anomalies."""
        mean = float(np.average(scores, weights=weight))
        line = mean + self.k * float(np.sqrt(np.average((scores - mean) ** 2, weights=weight)))
        return line + 1e-9 * max(1.0, abs(line))


@dataclass(frozen=True)
class Quantile:
    """The score that at most a share ``1 - q`` of the training units exceed."""

    q: float = 0.999

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Return what lies just above the smallest observed score that at most a share ``1 - q`` exceed.

        Just above, for scores are often tied: half of all units may share the score at a quantile.
        """
        values, above = _shares(scores, weight)
        # above[i]: share of units at values[i] or higher; strictly above is the next step's.
        strictly = np.concatenate(([0.0], above[:-1]))
        return float(np.nextafter(values[strictly <= 1 - self.q + 1e-12].min(), np.inf))


@dataclass(frozen=True)
class Knee:
    """The largest relative jump of the alert share between ``low`` and ``high``.

    Lowering a threshold flags more units; where one step multiplies their number most, the units above are set apart
    from the rest by the data itself. Without a step that multiplies it by ``least``, the share ``low`` serves.
    """

    low: float = 0.002
    high: float = 0.05
    least: float = 1.5

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Return the middle of the widest step."""
        values, share = _shares(scores, weight)
        if len(values) < 2:
            return float(np.nextafter(values[0], np.inf))
        allowed = (share[:-1] <= self.high) & (share[1:] >= self.low)
        jump = np.where(allowed, share[1:] / np.maximum(share[:-1], self.low), 0.0)
        best = int(np.argmax(jump))
        if jump[best] < self.least:
            # Where more than ``low`` are tied at the top, they are flagged together or not at all.
            line = Share(self.low).fit(scores, weight)
            return float(values[0]) if line > values[0] and share[0] <= self.high else line
        return float((values[best] + values[best + 1]) / 2)


@dataclass(frozen=True)
class Evident:
    """The knee of few units, where a step has to be more than chance.

    Of fewer than 500 units not one is due at the knee's lowest share, and yet one is always above the others: that a
    step multiplies the number of alerts from one to two is no evidence. From ``k`` units to ``n`` it is

    - where so few as ``k`` of ``n`` would be above with a probability of at most ``chance``, did the step multiply them
      no more than steps usually do (``knee.least``; a binomial test), and the step is more than parts that are held out
      make: of what ``k`` units have, two thirds dealt at random hold more or fewer, and so its surprise varies by the
      square root of ``1 / 2k``;
    - or where there is nothing for so many nats that it would be as improbable with an exponential tail: the ``k``-th
      gap exceeds ``g`` with probability ``exp(-k g)`` (Rényi, Acta Mathematica Hungarica 1953). The ln 3 by which what
      one unit has is less probable than what two have are no gap.

    Units whose scores differ by a hair are alike: parts that are held out differ by a unit.
    """

    knee: Knee
    chance: float = 0.1
    hair: float = 0.05

    def above(self, nats: Floats, weight: Floats) -> NDArray[np.bool_]:
        """Return which units are above the widest step that is evident, shape (n,); none where there is no such step.

        Args:
            nats: scores, shape (n,), each standing for ``weight`` units.
            weight: shape (n,).
        """
        values, index = np.unique(-nats, return_inverse=True)
        values, number = -values, np.bincount(index, weights=weight).cumsum()
        ends = np.flatnonzero(np.append(values[:-1] - values[1:] > self.hair, True))
        best, widest = np.inf, 0.0
        for here, after in itertools.pairwise(ends.tolist()):
            k, n = max(round(float(number[here])), 1), max(round(float(number[after])), 1)
            if k > self.knee.high * number[-1]:
                break
            step = float(values[here] - values[here + 1])
            gap = max(step - math.log(3), 0.0)
            few = sum(math.comb(n, i) * (self.knee.least - 1) ** (n - i) for i in range(k + 1)) / self.knee.least**n
            if step < math.sqrt(0.5 / k):
                few = 1.0
            jump = max(n / k, math.exp(gap)) if min(few, math.exp(-k * gap)) <= self.chance else 0.0
            if jump > widest:
                best, widest = float(values[here]), jump
        return nats >= best


@dataclass(frozen=True)
class Apart:
    """What is set apart in the scores themselves, where up to ``most`` of training may be anomalous.

    Otsu's cut (IEEE Trans. SMC, 1979): the one with the largest variance between both sides, of those that leave
    between ``low`` and ``most`` of the units above. It is taken where the next beyond these is no better, it explains
    half of all variance, the means of both sides are ``nats`` apart, and there is nothing for ``gap`` nats between
    them; else nothing is set apart.

    A part of some size that is healthy but rare looks the same: 14 % of the addresses of a web server's log stand apart
    as the anomalies of a dirty log do. So it looks far only for those who say that training may be so dirty.
    """

    most: float = 0.2
    low: float = 0.002
    nats: float = 2.0
    gap: float = 0.0

    def cut(self, scores: Floats, weight: Floats) -> tuple[float, float] | None:
        """Return the middle of the step between both sides and the share above, None where nothing is set apart.

        Args:
            scores: in nats, shape (n,), each standing for ``weight`` units.
            weight: shape (n,).
        """
        values, index = np.unique(scores, return_inverse=True)
        mass, values = np.bincount(index, weights=weight)[::-1], values[::-1]
        above, summed = np.cumsum(mass), np.cumsum(mass * values)
        total, mean = above[-1], summed[-1] / above[-1]
        possible = np.flatnonzero((above[:-1] >= self.low * total) & (above[:-1] <= 0.5 * total))
        share = above[possible] / total
        allowed = int(np.searchsorted(share, self.most, side="right"))
        if not allowed:
            return None
        upper = summed[possible] / above[possible]
        lower = (summed[-1] - summed[possible]) / (total - above[possible])
        between = share * (1 - share) * (upper - lower) ** 2
        best = int(np.argmax(between[:allowed]))
        variance = float(np.sum(mass * (values - mean) ** 2) / total)
        weak = between[best] < 0.5 * variance or upper[best] - lower[best] < self.nats
        # Where the next cut would be better, what is set apart is more than is allowed.
        if weak or (between[allowed : allowed + 1] > between[best]).any():
            return None
        at = possible[best]
        if values[at] - values[at + 1] < self.gap:
            return None
        return float((values[at] + values[at + 1]) / 2), float(share[best])

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Return the cut, or the knee where nothing is set apart."""
        found = self.cut(scores, weight)
        return Knee().fit(scores, weight) if found is None else found[0]


@dataclass(frozen=True)
class Share:
    """The score that a wanted share of units reaches: the alert budget."""

    share: float

    def fit(self, scores: Floats, weight: Floats) -> float:
        """Return the lowest score whose units, with all above, are at most the share; above all where none fits."""
        values, at_least = _shares(scores, weight)
        fits = values[at_least <= self.share + 1e-12]
        return float(fits.min()) if len(fits) else float(np.nextafter(values[0], np.inf))


def best_line(normal: Floats, weight: Floats, anomalous: Floats) -> float:
    """Return the threshold with the largest F1 on labelled training scores: the middle of the step that it lies in.

    Args:
        normal: out-of-fold scores of normal units, shape (n,), each standing for ``weight`` units.
        weight: shape (n,).
        anomalous: out-of-fold scores of known anomalies, shape (m,).
    """
    values, index = np.unique(np.concatenate([normal, anomalous]), return_inverse=True)
    false = np.bincount(index[: len(normal)], weights=weight, minlength=len(values))[::-1].cumsum()
    true = np.bincount(index[len(normal) :], minlength=len(values))[::-1].cumsum()
    best = int(np.argmax(2 * true / (true + false + len(anomalous))))
    values = values[::-1]
    return float((values[best] + values[min(best + 1, len(values) - 1)]) / 2)


def f1_at(line: float, normal: Floats, weight: Floats, anomalous: Floats) -> float:
    """Return the F1 of a threshold on labelled scores; arguments as for :func:`best_line`."""
    true = float((anomalous >= line).sum())
    return 2 * true / (true + float(weight[normal >= line].sum()) + len(anomalous))


def _shares(scores: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return distinct scores in descending order, and the share of units at each or higher."""
    values, index = np.unique(scores, return_inverse=True)
    mass = np.bincount(index, weights=weight)[::-1]
    return values[::-1], np.cumsum(mass) / mass.sum()


def parse_threshold(text: str) -> Threshold:
    """Read ``knee``, ``knee:0.2``, ``sigma:3`` or ``quantile:0.999``.

    Raises:
        OptionError: it is none of these, or its number is out of range.
    """
    found = re.fullmatch(r"(knee|sigma|quantile)(?::(\d*\.?\d+))?", text.strip())
    number = float(found[2]) if found and found[2] else None
    if found and found[1] == "knee" and number is None:
        return Knee()
    if found and found[1] == "knee" and number is not None and 0 < number < 0.5:
        return Apart(number)
    if found and found[1] == "sigma":
        return Sigma(3.0 if number is None else number)
    if found and found[1] == "quantile" and (number is None or 0 < number < 1):
        return Quantile(0.999 if number is None else number)
    raise OptionError(
        f"{text!r} is no threshold", where="--threshold", hint="knee, knee:0.2, sigma:3 or quantile:0.999"
    )
