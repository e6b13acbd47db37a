"""How far a count is from what was expected, when counts spread more than chance alone would have them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from offbeat.detect.ragged import Floats, Ints

#: Dispersions that are tried, smallest first: a share of .05 is a spread of 22 % beyond chance.
DISPERSIONS: Final = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4])
#: The dispersion is such that this share of counts lies within its normal quantile. Not higher, for what one looks for
#: may lie in some of them.
_WITHIN, _QUANTILE = 0.85, 1.44


def deviation(seen: Floats, expected: Floats, spread: Any) -> Floats:
    """Return the deviance residuals of a negative binomial (McCullagh and Nelder, 1989), about standard normal.

    Args:
        seen: counts, of any shape.
        expected: what was expected, above 0.
        spread: its dispersion: the variance is ``expected + spread * expected**2``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(seen > 0, seen * np.log(seen / expected), 0.0)
    mass = (seen + 1 / spread) * np.log((1 + spread * seen) / (1 + spread * expected))
    return np.asarray(np.sign(seen - expected) * np.sqrt(np.maximum(2 * (gain - mass), 0.0)))


def dispersion(seen: Floats, expected: Floats, group: Ints) -> Floats:
    """Return the dispersion of each column, shape (columns,): the smallest under which its counts look normal.

    Args:
        seen: counts, shape (rows, columns).
        expected: what was expected, same shape, above 0.
        group: of each column; all columns of a group share a dispersion.
    """
    found = np.full(seen.shape[1], DISPERSIONS[-1])
    open_ = np.ones(seen.shape[1], dtype=bool)
    names, group = np.unique(group, return_inverse=True)
    many = expected >= 0.5
    # Where next to nothing is expected nothing is learned, unless there is nothing else.
    some = many | (np.bincount(group, weights=many.sum(axis=0), minlength=len(names)) == 0)[group]
    for tried in DISPERSIONS[:-1]:
        at = np.flatnonzero(open_)
        if not len(at):
            break
        size, used = np.abs(deviation(seen[:, at], expected[:, at], tried)), some[:, at]
        wide = _quantile(size[used], np.broadcast_to(group[at], size.shape)[used], len(names), _WITHIN)
        done = at[(wide <= _QUANTILE)[group[at]]]
        found[done], open_[done] = tried, False
    return found


def _quantile(values: Floats, group: Ints, groups: int, share: float) -> Floats:
    """Return a quantile of each group's values, between neighbours in proportion; shape (groups,), NaN without any."""
    order = np.lexsort((values, group))
    count = np.bincount(group, minlength=groups)
    first = np.cumsum(count) - count
    place = np.maximum(count - 1, 0) * share
    low = np.floor(place).astype(np.int64)
    if not len(values):
        return np.full(groups, np.nan)
    inside = np.minimum(first + low, len(values) - 1)
    beside = np.minimum(inside + (low + 1 < count), len(values) - 1)
    below, above = values[order[inside]], values[order[beside]]
    return np.where(count > 0, below + (above - below) * (place - low), np.nan)
