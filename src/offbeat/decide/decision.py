"""From the views' scores to one score, a p-value and a verdict a unit.

Presence is the anchor: the other views may overrule it only at a discount (averaging views as equals was measured
clearly worse). Each view is calibrated on out-of-fold scores; the discount of a view is such that, on its own, it
alarms only beyond its own small budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide.calibrate import Calibration
from offbeat.decide.threshold import Knee, Threshold

Floats = NDArray[np.float64]

ANCHOR: Final = "presence"
#: A view beside the anchor alarms on its own from this surprise on: 8 nats, one unit in 3,000.
BUDGET_NATS: Final = 8.0
#: No view beside the anchor counts for more than this share of its surprise.
MOST: Final = 0.8
#: Where training is declared clean, at most this share of it may be flagged.
CLEAN_SHARE: Final = 0.005


@dataclass
class Decision:
    """Calibrations, discounts and the threshold; fitted on out-of-fold scores.

    Attributes:
        calibrations: by view, from raw score to surprise in nats.
        discounts: by view, what its surprise is multiplied with; 1 for the anchor.
        fused: calibration of the fused score, for p-values.
        threshold: fused score from which on a unit is an anomaly.
        alert_share: share of training units at the threshold or above.
    """

    calibrations: dict[str, Calibration] = field(default_factory=dict)
    discounts: dict[str, float] = field(default_factory=dict)
    fused: Calibration | None = None
    threshold: float = float("inf")
    alert_share: float = 0.0

    @classmethod
    def fit(
        cls,
        scores: Mapping[str, Floats],
        weight: Floats,
        *,
        clean: bool = False,
        rule: Threshold | None = None,
    ) -> Self:
        """Learn from out-of-fold raw scores by view, each array of shape (n,).

        Args:
            scores: raw scores by view's name.
            weight: units each row stands for, shape (n,).
            clean: the training data is declared free of anomalies.
            rule: how to find the threshold on the fused score; None finds a knee on the anchor.
        """
        made = cls()
        made.calibrations = {view: Calibration.fit(s, weight) for view, s in scores.items()}
        surprise = {view: made.calibrations[view](s) for view, s in scores.items()}
        anchor = ANCHOR if ANCHOR in scores else next(iter(scores))
        knee = Knee(0.0005, CLEAN_SHARE) if clean else Knee()
        line = knee.fit(surprise[anchor], weight)
        made.discounts = {view: 1.0 if view == anchor else min(MOST, line / BUDGET_NATS) for view in scores}
        fused = _largest([made.discounts[view] * s for view, s in surprise.items()])
        made.threshold = line if rule is None else rule.fit(fused, weight)
        made.fused = Calibration.fit(fused, weight)
        made.alert_share = made.share(fused, weight)
        return made

    def share(self, fused: Floats, weight: Floats | None = None) -> float:
        """Return the share of units at the threshold or above."""
        return float(np.average(fused >= self.threshold, weights=weight)) if len(fused) else 0.0

    def surprise(self, scores: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return each view's discounted surprise; the fused score is their maximum."""
        return {view: self.discounts[view] * self.calibrations[view](s) for view, s in scores.items()}

    def __call__(self, scores: Mapping[str, Floats]) -> Floats:
        """Return the fused score of shape (n,), in nats of the anchor, higher is stranger, unclipped."""
        return _largest(list(self.surprise(scores).values()))

    def p_value(self, fused: Floats) -> Floats:
        """Return the calibrated p-value of fused scores."""
        if self.fused is None:
            raise ValueError("the decision is not fitted")
        return self.fused.p_value(fused)

    def leading(self, scores: Mapping[str, Floats]) -> NDArray[np.int64]:
        """Return the index of the view that makes each unit's score, shape (n,)."""
        return np.asarray(np.argmax(np.stack(list(self.surprise(scores).values())), axis=0), dtype=np.int64)

    def values(self) -> dict[str, Any]:
        """Return the plain values to save."""
        calibrations = {view: c.values() for view, c in self._all().items()}
        return {
            "calibrations": calibrations,
            "discounts": self.discounts,
            "threshold": self.threshold,
            "alert_share": self.alert_share,
        }

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return the tables to save, by view."""
        return {view: c.to_frame() for view, c in self._all().items()}

    def _all(self) -> dict[str, Calibration]:
        return self.calibrations | ({"fused": self.fused} if self.fused else {})

    @classmethod
    def restore(cls, values: Mapping[str, Any], frames: Mapping[str, pl.DataFrame]) -> Self:
        """Take up a saved decision."""
        found = {view: Calibration.restore(frames[view], v) for view, v in values["calibrations"].items()}
        fused = found.pop("fused")
        # JSON sorts keys; the order of the views is that of the discounts as fitted.
        return cls(found, dict(values["discounts"]), fused, float(values["threshold"]), float(values["alert_share"]))


def _largest(each: list[Floats]) -> Floats:
    return np.asarray(np.maximum.reduce(each), dtype=np.float64)


@dataclass(frozen=True)
class Drift:
    """More of a batch is improbable than training allows: the log changed, or the model is old.

    Attributes:
        share: share of the batch at the stored threshold or above.
        expected: the share on training data.
        threshold: the threshold after recalibration.
    """

    share: float
    expected: float
    threshold: float


#: A smaller batch says too little about a share.
_LEAST_UNITS: Final = 200
_TIMES: Final = 5.0
_LEAST_SHARE: Final = 0.1


def check_drift(decision: Decision, fused: Floats, weight: Floats | None = None) -> Drift | None:
    """Look whether far more of a batch is improbable than nominal; then raise the threshold by the batch's own knee.

    Raising hundreds of alarms over one change of regime helps nobody: the change is said once, and what stands out
    even from the changed log is kept.
    """
    share = decision.share(fused, weight)
    if len(fused) < _LEAST_UNITS or share < max(_TIMES * decision.alert_share, _LEAST_SHARE):
        return None
    raised = Knee().fit(fused, np.ones(len(fused)) if weight is None else weight)
    return Drift(share, decision.alert_share, max(raised, decision.threshold))


def contributions(decision: Decision, scores: Mapping[str, Floats], flagged: Sequence[bool] | Any) -> dict[str, int]:
    """Count, for each view, the flagged units whose score it makes."""
    lead = decision.leading(scores)[np.asarray(flagged, dtype=bool)]
    return {view: int((lead == i).sum()) for i, view in enumerate(scores)}
