"""From a detector's raw score to a surprise in nats and a p-value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The tail beyond the largest score seen is continued with the slope of this share of the largest scores.
_TAIL = 0.05
#: What one step beyond all that is due to the larger model adds, in nats: next to nothing, but distinct scores stay so.
_STEP = 1e-3


@dataclass(frozen=True)
class Calibration:
    """A strictly increasing map from raw scores to surprise, ``-ln p``.

    ``p(s)`` is the conformal p-value (Vovk et al., 2005): ``(units scoring at least s, plus 1) / (units + 1)`` over
    out-of-fold scores. Between observed scores ``-ln p`` is interpolated, so that distinct scores stay distinct; beyond
    the largest one it goes on as an exponential tail, so that a score is never clipped.

    Attributes:
        knots: raw scores, increasing, shape (k,).
        surprise: ``-ln p`` at the knots, increasing, shape (k,).
        slope: nats a unit of raw score beyond the last knot.
        units: how many units it was learned from.
        slack: a score beyond the last knot by no more than this is as surprising as the last, in units of raw score.
    """

    knots: Floats
    surprise: Floats
    slope: float
    units: float
    slack: float = 0.0

    @classmethod
    def fit(
        cls,
        scores: Floats,
        weight: Floats | None = None,
        in_nats: bool = False,
        growth: float = 1.0,
        reach: float = -np.inf,
    ) -> Self:
        """Learn from out-of-fold scores of shape (n,), each standing for ``weight`` units.

        Scores ``in_nats`` say themselves how improbable something is: beyond the largest seen, a nat of them is at most
        a nat. (Where all training is alike, the tail would otherwise be as steep as its last digits.) To a model that
        learned from ``growth`` times as many units as those that made the scores, what it never saw is more improbable
        by ``ln(growth)`` for that reason alone; so much beyond the largest score seen is no news. Nor is any score up
        to ``reach``, the largest that the model which is kept gives to what it learned from: where training is much
        alike, that may lie a hair beyond all that was seen out of fold.
        """
        weight = np.ones(len(scores)) if weight is None else weight
        knots, index = np.unique(scores, return_inverse=True)
        mass = np.bincount(index, weights=weight)
        total = float(mass.sum())
        at_least = np.cumsum(mass[::-1])[::-1]
        surprise = -np.log((at_least + 1) / (total + 1))
        beyond = scores > knots[np.searchsorted(surprise, -np.log(_TAIL), side="left").clip(0, len(knots) - 1)]
        excess = np.average(scores[beyond], weights=weight[beyond]) - np.min(scores[beyond]) if beyond.any() else 0.0
        spread = float(knots[-1] - knots[0])
        # Without a tail to learn from, the whole range stands for one nat.
        slope = 1.0 / excess if excess > 1e-9 else 1.0 / spread if spread > 1e-9 else 1.0
        slack = max(float(np.log(growth)) if in_nats else 0.0, float(reach - knots[-1]))
        return cls(knots, surprise, float(min(slope, 1.0) if in_nats else slope), total, slack)

    def __call__(self, scores: Floats) -> Floats:
        """Return the surprise of raw scores, shape (n,), in nats, 0 or more."""
        inside = np.interp(scores, self.knots, self.surprise)
        last = self.surprise[-1]
        excess = scores - self.knots[-1]
        # One step above everything seen: log(units + 1), then the tail.
        top = np.log(self.units + 1) + (excess - self.slack) * self.slope
        due = last + _STEP * excess
        return np.where(excess > self.slack + 1e-9, np.maximum(top, due), np.where(excess > 0, due, inside))

    def p_value(self, scores: Floats) -> Floats:
        """Return calibrated p-values in (0, 1]."""
        return np.clip(np.exp(-self(scores)), np.finfo(float).tiny, 1.0)

    def to_frame(self) -> pl.DataFrame:
        """Return the knots as a frame."""
        return pl.DataFrame({"score": self.knots, "surprise": self.surprise})

    def values(self) -> dict[str, Any]:
        """Return what is beside the knots."""
        return {"slope": self.slope, "units": self.units, "slack": self.slack}

    @classmethod
    def restore(cls, frame: pl.DataFrame, values: Mapping[str, Any]) -> Self:
        """Take up a saved calibration."""
        knots, surprise = frame["score"].to_numpy(), frame["surprise"].to_numpy()
        return cls(knots, surprise, float(values["slope"]), float(values["units"]), float(values["slack"]))
