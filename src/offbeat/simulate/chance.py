"""Random numbers that come out the same on every machine.

Only uniform numbers are drawn (PCG64 by way of ``random``, whose bits NumPy keeps stable), and everything else is made
of them with operations that IEEE 754 rounds exactly: plus, minus, times, divided by, square root. Logarithms and
exponentials differ in the last bit between processors, and one such bit would change a file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Chance:
    """A seeded stream of random numbers.

    Args:
        seed: the simulation's seed, 0 or more.
        stream: numbers that name this stream, so that a block's draws do not depend on how much was drawn before it.
    """

    def __init__(self, seed: int, *stream: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *stream])))

    def uniform(self, *shape: int) -> Floats:
        """Numbers in [0, 1) of the given shape."""
        return self._generator.random(shape)

    def one(self) -> float:
        """One number in [0, 1)."""
        return float(self._generator.random())

    def below(self, high: int | Ints, size: int) -> Ints:
        """Whole numbers in [0, high)."""
        return (self.uniform(size) * np.asarray(high, np.float64)).astype(np.int64)

    def weighted(self, weights: Floats, size: int) -> Ints:
        """Positions in ``weights``, each as often as its weight says."""
        edges = np.cumsum(weights)
        found: Ints = np.searchsorted(edges, self.uniform(size) * edges[-1], side="right")
        return np.clip(found, 0, len(weights) - 1)

    def order(self, size: int) -> Ints:
        """The numbers 0 … size - 1, shuffled."""
        return np.argsort(self._generator.random(size), kind="stable").astype(np.int64)

    def delay(self, *shape: int) -> Floats:
        """Response times in units of their typical value: mean about 1.15, with a Pareto tail (index 2) cut at 13.

        One in a hundred is above 3, so that a slow answer alone proves nothing.
        """
        bulk = 0.45 + 0.2 * (self.uniform(*shape) + self.uniform(*shape))
        tail: Floats = 0.25 / np.sqrt(np.maximum(self.uniform(*shape), 4e-4))
        return bulk + tail
