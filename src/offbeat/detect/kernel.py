"""Support vector machines with the radial basis function: trained by scikit-learn, computed without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.ragged import Floats
from offbeat.detect.vectors import matrix_frame, matrix_of

#: Kernel values held at a time.
_CELLS: Final = 2**22


@dataclass(frozen=True)
class Machine:
    """``decision(x) = sum_i coefficient_i exp(-gamma |x - vector_i|^2) + intercept``.

    Attributes:
        vectors: support vectors, shape (s, columns).
        coefficient: dual coefficients, shape (s,).
        gamma: how fast the kernel falls with the squared distance.
        intercept: added at the end.
    """

    vectors: Floats
    coefficient: Floats
    gamma: float
    intercept: float

    @classmethod
    def of(cls, trained: Any, gamma: float) -> Self:
        """Take scikit-learn's SVC or OneClassSVM."""
        return cls(trained.support_vectors_, trained.dual_coef_[0], gamma, float(trained.intercept_[0]))

    def decision(self, vectors: Floats) -> Floats:
        """Return the decision of each row of ``vectors``, shape (n, columns) to (n,)."""
        out = np.full(len(vectors), self.intercept)
        if not len(self.vectors):
            return out
        own = (self.vectors**2).sum(axis=1)
        step = max(1, _CELLS // len(self.vectors))
        for at in range(0, len(vectors), step):
            asked = vectors[at : at + step]
            squared = (asked**2).sum(axis=1)[:, None] + own - 2 * asked @ self.vectors.T
            out[at : at + step] += np.exp(-self.gamma * np.maximum(squared, 0.0)) @ self.coefficient
        return out

    def state(self) -> State:
        """Return what to save."""
        shape = [int(n) for n in self.vectors.shape]
        values = {"gamma": self.gamma, "intercept": self.intercept, "shape": shape}
        frames = {"vectors": matrix_frame(self.vectors), "duals": pl.DataFrame({"coefficient": self.coefficient})}
        return State(values, frames)

    @classmethod
    def restore(cls, state: State) -> Self:
        """Take up what was saved."""
        values, frames = state.values, state.frames
        vectors = matrix_of(frames["vectors"], *values["shape"])
        return cls(vectors, frames["duals"]["coefficient"].to_numpy(), values["gamma"], values["intercept"])


def usual_gamma(vectors: Floats, weight: Floats) -> float:
    """Return scikit-learn's ``scale``: one over the number of columns times the variance of all cells.

    Args:
        vectors: of shape (n, columns).
        weight: of each row, shape (n,).
    """
    share = weight / weight.sum()
    variance = float(share @ (vectors**2).mean(axis=1) - (share @ vectors.mean(axis=1)) ** 2)
    return 1.0 / (vectors.shape[1] * variance) if variance > 1e-12 else 1.0
