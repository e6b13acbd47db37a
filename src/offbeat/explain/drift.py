"""Whether a level drifts or steps: gradual degradation, told from a sudden change and from chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Blocks whose medians are tested: buckets beside one another are alike, blocks of them are nearly independent.
_BLOCKS: Final = 24
_LEAST_BLOCKS: Final = 8
#: A change less likely by chance is one: a day's wandering makes blocks a little alike.
_LEVEL: Final = 0.001
#: And it is as large as this many standard deviations of the rest.
_LEAST_SD: Final = 1.5


@dataclass(frozen=True)
class TrendChange:
    """A lasting change of a series' level.

    Attributes:
        kind: ``drift`` (little by little) or ``step`` (at once).
        before, after: the level at the beginning and at the end; of a step, before and after it.
        at: index of the bucket at which a step comes; a drift goes from 0 on.
        sd: the change in robust standard deviations of the rest.
        p_value: Mann and Kendall's (drift) or Mann and Whitney's (step), the latter corrected for having searched.
    """

    kind: Literal["drift", "step"]
    before: float
    after: float
    at: int
    sd: float
    p_value: float

    def told(self, back: Callable[[Any], Any]) -> Self:
        """Return the same with levels as ``back`` gives them."""
        return replace(self, before=float(back(self.before)), after=float(back(self.after)))

    def as_dict(self, times: Ints) -> dict[str, Any]:
        """Return it as plain values; ``times`` are the buckets' in microseconds since 1970."""
        when = pl.Series([int(times[self.at])]).cast(pl.Datetime("us", "UTC"))[0]
        return {
            "kind": self.kind,
            "since": when.isoformat().replace("+00:00", "Z"),
            "before": round(self.before, 3),
            "after": round(self.after, 3),
            "sd": round(self.sd, 2),
            "p_value": float(f"{self.p_value:.3g}"),
        }

    def words(self, number: Callable[[float], str]) -> str:
        """Say it, after *it*: ``has risen little by little from 20 to 80``."""
        way = "risen" if self.after > self.before else "fallen"
        how = "little by little" if self.kind == "drift" else "at once"
        return f"has {way} {how} from {number(self.before)} to {number(self.after)}"


def trend_change(level: Floats, sd: float) -> TrendChange | None:
    """Find a lasting change in a series without its season.

    A drift is found by Mann and Kendall's test (Mann, 1945; Kendall, 1975) on the medians of blocks, with Theil and
    Sen's slope; a step by Mann and Whitney's at the likeliest place (after Pettitt, 1979). What fits the blocks better
    is told; a spike, however high, is neither.

    Args:
        level: the series less its season, shape (n,).
        sd: robust standard deviation of its rest, above 0.

    Returns:
        The change, or None where there is none larger than 1.5 ``sd`` and less likely than .001 by chance.
    """
    from scipy.stats import kendalltau, mannwhitneyu, theilslopes

    n = len(level)
    m = min(_BLOCKS, n // 3)
    if m < _LEAST_BLOCKS:
        return None
    edges = np.linspace(0, n, m + 1).astype(np.int64)
    blocks = np.array([np.median(level[a:b]) for a, b in pairwise(edges)])
    if np.ptp(blocks) < _LEAST_SD * sd:
        return None
    x = np.arange(m, dtype=np.float64)
    slope, intercept, *_ = theilslopes(blocks, x)
    cuts = range(2, m - 1)
    # The least sum of absolute deviations from two medians: a block that is odd by itself moves it little.
    cost = [_misfit(blocks[:k], np.median(blocks[:k])) + _misfit(blocks[k:], np.median(blocks[k:])) for k in cuts]
    k = cuts[int(np.argmin(cost))]
    if min(cost) < _misfit(blocks, intercept + slope * x):
        before, after = float(np.median(blocks[:k])), float(np.median(blocks[k:]))
        p = min(1.0, len(cuts) * float(mannwhitneyu(blocks[:k], blocks[k:], method="exact").pvalue))
        found = TrendChange("step", before, after, _step_at(level, int(edges[k - 1]), int(edges[k + 1])), 0.0, p)
    else:
        p = float(kendalltau(x, blocks).pvalue)
        found = TrendChange("drift", float(intercept), float(intercept + slope * (m - 1)), 0, 0.0, p)
    size = (found.after - found.before) / sd
    return replace(found, sd=size) if abs(size) >= _LEAST_SD and p < _LEVEL else None


def _misfit(seen: Floats, fitted: Any) -> float:
    return float(np.abs(seen - fitted).sum())


def _step_at(level: Floats, low: int, high: int) -> int:
    """Return the index in a stretch at which the level steps: where two medians fit it best."""
    cuts = range(low + 1, high)
    part = level[low:high]
    cost = [
        _misfit(part[: k - low], np.median(part[: k - low])) + _misfit(part[k - low :], np.median(part[k - low :]))
        for k in cuts
    ]
    return cuts[int(np.argmin(cost))] if cost else low
