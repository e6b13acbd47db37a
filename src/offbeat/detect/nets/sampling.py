"""Which sequences a step learns from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from offbeat.detect.ragged import Floats, Ints

#: A pass has at least so many steps, of batches out of pools of so many.
_STEPS, _POOL = 16, 8


def draw(lengths: Ints, weight: Floats, size: int, rng: np.random.Generator) -> Iterator[tuple[Ints, Floats]]:
    """Draw a pass' batches with replacement by weight, from pools in which lengths are alike.

    Drawing rather than weighing, for a step whose weights are skewed is cut short by the clipping of gradients. What
    is drawn twice into a batch is computed once.

    Args:
        lengths: of n sequences, shape (n,).
        weight: of each sequence in each of k classes, shape (k, n).
        size: draws a batch.
        rng: where chance comes from.

    Yields:
        Positions of the sequences of a batch, shape (m,), and how often each was drawn in each class, shape (k, m).
    """
    n = weight.shape[1]
    draws = max(int((weight > 0).sum()), _STEPS * size)
    drawn = rng.choice(weight.size, size=draws, p=(weight / weight.sum()).ravel())
    for start in range(0, draws, _POOL * size):
        pool = drawn[start : start + _POOL * size]
        pool = pool[np.argsort(lengths[pool % n], kind="stable")]
        cuts = np.arange(size, len(pool), size)
        for some in rng.permutation(len(cuts) + 1):
            kinds, count = np.unique(np.split(pool, cuts)[some], return_counts=True)
            which, index = np.unique(kinds % n, return_inverse=True)
            of = np.zeros((len(weight), len(which)))
            of[kinds // n, index] = count
            yield which, of
