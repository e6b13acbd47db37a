"""Which of many rates differ between two stretches of a log, by more than such rates vary within them.

Lines come in bursts, so a test that took every line as independent would call any two halves of a log different. Counts
are compared over windows: their variance is a multiple of the Poisson one (quasi-likelihood: Wedderburn, 1974;
McCullagh and Nelder, 1989, section 9.2), found for each item from its windows, with the likeness of neighbouring
windows added (Newey and West, 1987), and from both sides by the rule of Welch and Satterthwaite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Two-sided 95 % of a normal distribution.
_NORMAL: Final = 1.959964
#: So few blocks say nothing of how much stretches differ.
_LEAST_BLOCKS: Final = 8


@dataclass(frozen=True)
class Windows:
    """Counts of n items over the windows of one side.

    Attributes:
        counts: shape (n, windows).
        exposure: what the counts are relative to, above 0, shape (windows,).
        blocks, block_exposure: the same over blocks as long as the whole other side, shapes (n, k) and (k,); None where
            this side is not several times as long.
    """

    counts: Floats
    exposure: Floats
    blocks: Floats | None = None
    block_exposure: Floats | None = None


@dataclass(frozen=True)
class Compared:
    """How n rates differ.

    Attributes:
        ratio: of the second side's rate to the first's, shape (n,); inf where the first has none.
        low, high: its 95 % interval, shape (n,).
        p_value: that they differ by chance, shape (n,).
        q_value: the least false-discovery rate at which it is found (Benjamini and Hochberg, 1995), shape (n,).
    """

    ratio: Floats
    low: Floats
    high: Floats
    p_value: Floats
    q_value: Floats


def compare_rates(before: Windows, after: Windows) -> Compared:
    """Compare the rates of items that occur on either side at least once."""
    a, b = before.counts.sum(axis=1), after.counts.sum(axis=1)
    ea, eb = float(before.exposure.sum()), float(after.exposure.sum())
    (va, na), (vb, nb) = _spread(before), _spread(after)
    if nb < 2:  # a single window says nothing of itself
        vb, nb = va, na
    if na < 2:
        va, na = vb, nb
    for side in (before, after):
        if side.blocks is not None and side.block_exposure is not None and len(side.block_exposure) >= _LEAST_BLOCKS:
            wide = _variance(side.blocks, side.block_exposure, 0)
            # A block of the longer side is what the shorter one would be, had nothing changed.
            va, vb = np.maximum(va, wide), np.maximum(vb, wide)
    shared = (a + b) / (ea + eb)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(a > 0, a * np.log(a / (ea * shared)), 0.0) + np.where(b > 0, b * np.log(b / (eb * shared)), 0.0)
        ratio = (b / eb) / (a / ea)
    sa, sb = va * a, vb * b
    freedom = (sa + sb) ** 2 / np.maximum(sa**2 / max(na - 1, 1) + sb**2 / max(nb - 1, 1), 1e-300)
    t = np.sqrt(np.maximum(2 * gain, 0.0) * (a + b) / (sa + sb))
    p = student_p(t, freedom)
    middle = np.log((b + 0.5) / eb) - np.log((a + 0.5) / ea)
    half = _student_quantile(freedom) * np.sqrt(va / (a + 0.5) + vb / (b + 0.5))
    return Compared(ratio, np.exp(middle - half), np.exp(middle + half), p, false_discovery(p))


def _spread(side: Windows) -> tuple[Floats, int]:
    """Return each item's variance in multiples of the Poisson one, and how many windows it was found from."""
    m = len(side.exposure)
    # Newey and West's rule for how far neighbours are looked at.
    lags = max(1, int(4 * (m / 100) ** (2 / 9))) if m >= _LEAST_BLOCKS else 0
    return _variance(side.counts, side.exposure, lags), m


def _variance(counts: Floats, exposure: Floats, lags: int) -> Floats:
    """Return the variance of a sum of counts in multiples of the Poisson one, at least 1, shape (n,)."""
    m = len(exposure)
    total = counts.sum(axis=1)
    if m < 2:
        return np.ones(len(counts))
    rest = counts - total[:, None] * (exposure / exposure.sum())
    alone = (rest**2).sum(axis=1)
    together = alone.copy()
    for lag in range(1, lags + 1):
        together += 2 * (1 - lag / (lags + 1)) * (rest[:, lag:] * rest[:, :-lag]).sum(axis=1)
    found = np.maximum(alone, together) * m / (m - 1)
    return np.asarray(np.maximum(found / np.maximum(total, 1.0), 1.0))


def student_p(t: Floats, freedom: Floats) -> Floats:
    """Return the two-sided tail probability of Student's t, by Wallace's normal approximation (1959).

    From 3 degrees of freedom on it is right to a tenth of itself down to 1e-6, without needing SciPy.
    """
    z = (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom * np.log1p(t**2 / freedom))
    return np.array([math.erfc(x / math.sqrt(2)) for x in z.tolist()])


def _student_quantile(freedom: Floats) -> Floats:
    """Return Student's two-sided 95 % quantile: the inverse of ``student_p``."""
    z = _NORMAL * (8 * freedom + 3) / (8 * freedom + 1)
    return np.asarray(np.sqrt(freedom * np.expm1(np.minimum(z**2 / freedom, 50.0))))


def false_discovery(p: Floats) -> Floats:
    """Return Benjamini and Hochberg's q-values (1995), shape as ``p``."""
    if not len(p):
        return p
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    out = np.empty(len(p))
    out[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return out
