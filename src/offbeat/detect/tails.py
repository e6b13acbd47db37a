"""How improbable is so large a number, given those seen before in its group? The tails of many groups at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl

from offbeat.detect.ragged import Floats, Ints

#: Tail probabilities at which each group's quantiles are kept, largest first.
LEVELS: Final = np.array([0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 0.0])
#: The tail beyond the largest number seen falls as the excess over this level's quantile did.
_TAIL: Final = 2
#: How many numbers of all groups together each group's tail is mixed with.
_PRIOR: Final = 10.0
#: Rows looked up at once.
_CHUNK: Final = 8_192


@dataclass(frozen=True)
class Tails:
    """The upper tails of numbers in groups.

    Within what was seen the surprise of a number is ``-ln p`` with the conformal ``p = (seen at least as large + 1) /
    (seen + 1)`` (Vovk et al., 2005), interpolated between a few quantiles; beyond it an exponential tail with the mean
    excess of the group's own largest numbers (peaks over threshold; Pickands, 1975), so that it is never clipped. With
    numbers on a logarithmic scale that is a Pareto tail, as heavy as the group's own.

    Attributes:
        keys: of the groups, increasing, int64 of shape (g,).
        count: numbers seen in each, shape (g,).
        knots: quantiles by ``LEVELS``, shape (g, levels).
        scale: of the exponential tail, shape (g,).
    """

    keys: Ints
    count: Floats
    knots: Floats
    scale: Floats

    @classmethod
    def fit(cls, key: Ints, x: Floats, weight: Floats, least_scale: float) -> Self:
        """Learn from numbers ``x`` in groups ``key``, each standing for ``weight``; all of shape (n,)."""
        order = np.lexsort((x, key))
        key, x, weight = key[order], x[order], weight[order]
        keys, first = np.unique(key, return_index=True)
        if not len(keys):
            return cls(keys, np.zeros(0), np.zeros((0, len(LEVELS))), np.zeros(0))
        total = np.add.reduceat(weight, first)
        mass = np.cumsum(weight)
        before = np.concatenate(([0.0], mass))[first]
        last = np.append(first[1:], len(x)) - 1
        wanted = before[:, None] + (1 - LEVELS) * total[:, None]
        # Sums of floats do not meet the wanted mass exactly.
        at = np.searchsorted(mass, wanted * (1 - 1e-12))
        knots = x[np.clip(at, first[:, None], last[:, None])]
        line = knots[np.searchsorted(keys, key), _TAIL]
        beyond = np.maximum(x - line, 0.0) * weight
        many = (x > line) * weight
        excess, tail = np.add.reduceat(beyond, first), np.add.reduceat(many, first)
        usual = excess.sum() / tail.sum() if tail.sum() > 0 else 0.0
        scale = (excess + _PRIOR * usual) / (tail + _PRIOR)
        return cls(keys, total, knots, np.maximum(scale, least_scale))

    def find(self, key: Ints, least: float = 0.0) -> Ints:
        """Return the position of each key's group; -1 where there is none, or one with fewer than ``least`` numbers."""
        if not len(self.keys):
            return np.full(len(key), -1)
        at = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where((self.keys[at] == key) & (self.count[at] >= least), at, -1)

    def surprise(self, at: Ints, x: Floats) -> Floats:
        """Return the surprise of numbers ``x`` in the groups at positions ``at`` (0 or more), in nats, shape (n,)."""
        out = np.empty(len(x))
        for low in range(0, len(x), _CHUNK):
            part = slice(low, low + _CHUNK)
            out[part] = self._surprise(at[part], x[part])
        return out

    def _surprise(self, at: Ints, x: Floats) -> Floats:
        below = (self.knots[at] < x[:, None]).sum(axis=1)
        k = np.clip(below, 1, len(LEVELS) - 1)
        low, high = self.knots[at, k - 1], self.knots[at, k]
        count = self.count[at]
        from_, to = (-np.log((LEVELS[i] * count + 1) / (count + 1)) for i in (k - 1, k))
        step = np.where(high > low, high - low, 1.0)
        inside = from_ + np.clip((x - low) / step, 0.0, 1.0) * (to - from_)
        beyond = np.log1p(count) + (x - self.knots[at, -1]) / self.scale[at]
        return np.where(below == 0, 0.0, np.where(below == len(LEVELS), beyond, inside))

    def usual(self, at: Ints) -> Floats:
        """Return the medians of the groups at positions ``at``, shape (n,)."""
        return np.asarray(self.knots[at, 0], dtype=np.float64)

    def to_frame(self) -> pl.DataFrame:
        """Return one row a group."""
        knots = {f"q{i}": self.knots[:, i] for i in range(len(LEVELS))}
        return pl.DataFrame({"key": self.keys, "count": self.count, "scale": self.scale} | knots)

    @classmethod
    def restore(cls, frames: Mapping[str, pl.DataFrame], name: str) -> Self:
        """Take up what ``to_frame`` returned, saved under ``name``."""
        frame = frames[name]
        knots = frame.select(f"q{i}" for i in range(len(LEVELS))).to_numpy().astype(np.float64)
        columns: list[Any] = [frame[c].to_numpy() for c in ("key", "count", "scale")]
        return cls(columns[0], columns[1], np.ascontiguousarray(knots), columns[2])
