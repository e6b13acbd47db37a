"""How alike units are in what they hold, and which of them belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import log1p
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Units no further apart than this are of one sort, and so is what is joined to them by others.
LINKED: Final = 0.05
#: A sort is told by itself where it holds so many units, and so large a share of the incident.
_PART: Final = 10
_PART_SHARE: Final = 0.2
#: Of an incident with more different mixes than this no sorts are told apart: it is diverse, and the work is squared.
_MIXES: Final = 256


def bray_curtis(a: Floats, b: Floats) -> Floats:
    """Return the dissimilarity of ``log1p`` counts, from 0 (the same mix) to 1 (nothing in common).

    Bray and Curtis (1957): the sum of what differs over the sum of all.

    Args:
        a: counts of templates, shape (n, templates).
        b: the same of others, shape (m, templates).

    Returns:
        Shape (n, m).
    """
    mine, other = np.log1p(a), np.log1p(b)
    whole = mine.sum(axis=1)[:, None] + other.sum(axis=1)[None, :]
    out = np.empty((len(a), len(b)))
    for j in range(len(b)):  # a column at a time: templates may be thousands
        out[:, j] = np.abs(mine - other[j]).sum(axis=1) / np.maximum(whole[:, j], 1e-12)
    return out


def unlike(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Return the same of two units whose counts are given by template."""
    whole = sum(log1p(n) for some in (a, b) for n in some.values())
    return sum(abs(log1p(a.get(name, 0)) - log1p(b.get(name, 0))) for name in {*a, *b}) / max(whole, 1e-12)


def sorts(templates: pl.Series) -> Ints:
    """Return which sort each of n units belongs to, shape (n,), 0 for the first unit's.

    Sorts are linked by single linkage: within one, each unit has another close to it; between two there is a gap. What
    is of a small sort is counted with the large one closest to it. Where less than two are large, all are one.

    Args:
        templates: lists of codes, of each unit, in any order.
    """
    n = len(templates)
    one = np.zeros(n, dtype=np.int64)
    if n < 2 * _PART:
        return one
    # Each mix is looked at once: an incident may hold very many units, and logs repeat.
    mix = templates.list.sort().hash()
    first = pl.arg_where(mix.is_first_distinct(), eager=True)
    if not 1 < len(first) <= _MIXES:
        return one
    number = {code: i for i, code in enumerate(mix.gather(first).to_list())}
    held = [Counter(some) for some in templates.gather(first).to_list()]
    column = {code: i for i, code in enumerate(sorted({code for some in held for code in some}))}
    counts = np.zeros((len(held), len(column)))
    for i, some in enumerate(held):
        for code, times in some.items():
            counts[i, column[code]] = times
    apart = bray_curtis(counts, counts)
    group = _linked(apart <= LINKED)
    at = np.array([number[code] for code in mix.to_list()])
    size = np.bincount(group[at])
    large = np.flatnonzero((size >= _PART) & (size >= _PART_SHARE * n))
    if len(large) < 2:
        return one
    to_large = np.stack([apart[:, group == sort].min(axis=1) for sort in large], axis=1)
    sort = to_large.argmin(axis=1)[at]
    order = {int(s): i for i, s in enumerate(dict.fromkeys(sort.tolist()))}
    return np.array([order[int(s)] for s in sort], dtype=np.int64)


def _linked(close: NDArray[np.bool_]) -> Ints:
    """Return the connected component of each of n nodes, from which are close to which, shape (n, n)."""
    group = np.full(len(close), -1, dtype=np.int64)
    for first in range(len(close)):
        if group[first] >= 0:
            continue
        number, reached = int(group.max()) + 1, [first]
        group[first] = number
        while reached:
            fresh = np.flatnonzero(close[reached.pop()] & (group < 0))
            group[fresh] = number
            reached += fresh.tolist()
    return group
