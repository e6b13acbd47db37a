"""From the views' scores to one score, a p-value and a verdict a unit.

Presence is the anchor: the other views may overrule it only at a discount (averaging views as equals was measured
clearly worse). Each view is calibrated on out-of-fold scores. A view beside the anchor has a channel of its own with
a small budget: what is surprising enough for that is an alarm, whatever presence says, and ranks behind the anchor's.
Presence knows few levels, so units tie; the unusual length of a unit decides between equals and nothing else.

Where there is data enough, what a view is surprised at is compared within a unit's source and hour of the day; see
``groups``. Wherever raw scores by view are asked for, the units' groups may go with them under the name ``GROUP``;
without it a unit is compared with all others.

Windows are another matter. They are cut from a stream wherever it happens to be, and which templates are in one says
first of all what the system was busy with. Unless training is declared clean, order leads there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide.calibrate import Calibration
from offbeat.decide.groups import GROUP, ByGroup, Groups
from offbeat.decide.tail import asked_share, raising
from offbeat.decide.threshold import Apart, Evident, Knee, Share, Threshold, best_line, f1_at

Floats = NDArray[np.float64]

ANCHOR: Final = "presence"
#: The view that only decides between equals, and what a nat of it counts for.
TIE_BREAKER: Final = "length"
TIE: Final = 0.01
#: A view beside the anchor alarms on its own from this surprise on: 8 nats, one unit in 3,000.
BUDGET_NATS: Final = 8.0
#: A view beside the anchor counts for this share of its surprise, below and beyond its budget. Where a twentieth of the
#: training units is anomalous, the anchor is surprised at an anomaly by 3 nats, and what is healthy but rare must stay
#: below: half was measured too much for HDFS from 5 % on and for windows of BGL, a tenth did no better.
DISCOUNT: Final = 0.2
#: What is unlike all that was learned says more where that holds no anomalies.
CLEAN_DISCOUNT: Final[Mapping[str, float]] = {"count-vector": 0.5}
#: The view that leads where units are windows.
ORDER: Final = "ngram"
#: What a nat beyond the budget adds to the threshold, so that a channel's alarms are ranked among themselves.
BEYOND: Final = 0.01
#: The channels that see single changes to a sequence, and their shares of a common budget.
CHANNELS: Final[Mapping[str, float]] = {"lstm": 0.65, "count-vector": 0.35}
#: A method's own boundary is kept where its F1 on labelled scores is lower than the best by no more than this.
NEARLY: Final = 0.01
#: Where training is declared clean, at most this share of it may be flagged.
CLEAN_SHARE: Final = 0.005
#: Where presence leads, the line is drawn below what is set apart in training, be it up to a tenth of it, where a nat
#: lies between: with 5 % of anomalies among them, sessions of HDFS have 1.8 to 2.4 there, healthy ones of a simulated
#: shop at most .75. In windows, where order leads, half of healthy logs have such parts. Fewer units tell nothing.
DIRTY: Final = Apart(0.1, gap=1.0)
LEAST_APART: Final = 1000
#: Of fewer units not one is due at the knee's lowest share: what is flagged has to be more than chance.
FEW: Final = 500
#: The names of the fused score among calibrations, and of the tables of groups among those of views.
_FUSED: Final = "fused"
_GROUPS: Final = "groups"
_BY_GROUP: Final = "by-group"


@dataclass
class Decision:
    """Calibrations, discounts and the threshold; fitted on out-of-fold scores.

    Attributes:
        calibrations: by view, from raw score to surprise in nats.
        anchor: the view that is not discounted.
        order_leads: units are windows, led by the order of events.
        clean: the training data was declared free of anomalies.
        line: the anchor's surprise from which on a unit is an anomaly; the channels of the other views lead up to it.
        fused: calibration of the fused score, for p-values.
        threshold: fused score from which on a unit is an anomaly.
        alert_share: share of training units at the threshold or above.
        apart: share of training that is set apart in the anchor's own scores, be it more than the line looks at; not
            saved, for only who learns has to be told.
        groups: which groups of units are calibrated by themselves; None where there are none.
        by_group: by view, and for the fused score, from surprise in the whole log to surprise in a unit's group.
    """

    calibrations: dict[str, Calibration] = field(default_factory=dict)
    anchor: str = ANCHOR
    line: float = float("inf")
    fused: Calibration | None = None
    threshold: float = float("inf")
    alert_share: float = 0.0
    order_leads: bool = False
    clean: bool = False
    apart: float = 0.0
    groups: Groups | None = None
    by_group: dict[str, ByGroup] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        scores: Mapping[str, Floats],
        weight: Floats,
        *,
        clean: bool = False,
        rule: Threshold | None = None,
        taught: Mapping[str, Floats] | None = None,
        boundary: Mapping[str, float] | None = None,
        in_nats: Collection[str] = (),
        growth: float = 1.0,
        reach: Mapping[str, float] | None = None,
        anchor: str = ANCHOR,
        groups: Groups | None = None,
        dirty: Apart | None = DIRTY,
        kept: Mapping[str, Floats] | None = None,
    ) -> Self:
        """Learn from out-of-fold raw scores by view, each array of shape (n,).

        Args:
            scores: raw scores by view's name.
            weight: units each row stands for, shape (n,).
            clean: the training data is declared free of anomalies.
            rule: how to find the threshold on the fused score; None finds a knee on the anchor.
            taught: by each view that learned from labels, the raw out-of-fold scores of the known anomalies. Such a
                view is the anchor, and its line is where the F1 of these against the others is largest.
            boundary: by such a view, the raw score above which its method calls a unit anomalous. It is kept where it
                does nearly as well, for labels seldom come in the proportion in which anomalies do.
            in_nats: the views whose raw scores are in nats.
            growth: how many times as many units the views that are kept learned from, as those that made the scores.
            reach: by view, the largest score that the views that are kept give to what they learned from.
            anchor: the view that leads, where it is there and no view learned from labels.
            groups: calibrate by these, which then go with the scores; a view that learned from labels is left out, for
                nothing is known of the groups of anomalies.
            dirty: what is set apart where presence leads; None leaves it at the knee.
            kept: like ``scores``, as the views that are kept score what they learned from; see ``line_of``.
        """
        taught, group = taught or {}, scores.get(GROUP)
        scores = views_of(scores)
        order = (*taught, anchor, ANCHOR, *scores)
        made = cls(anchor=next((v for v in order if v in scores and v != TIE_BREAKER), TIE_BREAKER))
        made.order_leads, made.clean = anchor == made.anchor == ORDER, clean
        for view, raw in scores.items():
            # What is new to all of training is news to the anchor; a channel's budget is for what is one in thousands.
            grown = 1.0 if view == made.anchor else growth
            made.calibrations[view] = Calibration.fit(
                raw, weight, view in in_nats, grown, (reach or {}).get(view, -np.inf)
            )
            if groups is not None and group is not None and view not in taught:
                nats = made.calibrations[view](raw)
                made.by_group[view] = ByGroup.fit(groups, nats, weight, group.astype(np.int64))
        knee = Knee(0.0005, CLEAN_SHARE) if clean else Knee()
        if made.by_group and group is not None:
            made.groups, scores = groups, {**scores, GROUP: group}
        surprise = made.nats(made.anchor, scores)
        if made.anchor in taught:
            made.line = made._taught_line(surprise, weight, taught[made.anchor], (boundary or {}).get(made.anchor))
        else:
            own = scores[made.anchor] if made.anchor in in_nats else None
            made.line = made.unlabelled_line(knee, surprise, weight, own, rule if isinstance(rule, Apart) else dirty)
            rule = None if isinstance(rule, Apart) else rule
        if made.line > surprise.max() and made.anchor not in taught:
            # Nothing in training is set apart: the line lies where all that was seen ends.
            made.line = float(np.log(weight.sum() + 1))
        made.threshold = made.line if rule is None else made.line_of(rule, scores, weight, kept)
        made.settle(made(scores), weight, scores.get(GROUP))
        return made

    def line_of(
        self, rule: Threshold, scores: Mapping[str, Floats], weight: Floats, kept: Mapping[str, Floats] | None = None
    ) -> float:
        """Return the threshold that a rule finds on raw out-of-fold scores by view, each of shape (n,).

        Units that are alike differ by a hair out of fold, each scored by what learned from other units. To the views
        that are kept they are one again, and might all be above a line drawn amidst them. So both keep a rate that is
        asked for: the line is the higher one, where it is known how the kept views score what they learned from.
        """
        line = rule.fit(self(scores), weight)
        return line if kept is None or asked_share(rule) is None else max(line, rule.fit(self(kept), weight))

    def unlabelled_line(
        self, knee: Knee, surprise: Floats, weight: Floats, nats: Floats | None, apart: Apart | None
    ) -> float:
        """Return the line of an anchor without labels: the knee, or below what is set apart in its scores in nats.

        Surprise tells only ranks; how far apart two parts lie is seen in the scores themselves.

        Args:
            knee: where nothing is set apart, or it may not be used.
            surprise: of the anchor, out of fold, shape (n,).
            weight: units each row stands for, shape (n,).
            nats: its scores, shape (n,); None where they are not in nats.
            apart: what to look for; None for nothing.
        """
        if nats is None:
            return knee.fit(surprise, weight)
        # Within groups surprise is in another order.
        few = weight.sum() < FEW and self.anchor not in self.by_group
        self.apart = (Apart().cut(nats, weight) or (0.0, 0.0))[1]
        found = None if apart is None else apart.cut(nats, weight)
        unasked = self.anchor != ANCHOR or self.clean or weight.sum() < LEAST_APART
        if found is None or (apart is DIRTY and (unasked or found[1] <= knee.high)):
            return self._few_line(knee, surprise, weight, nats) if few else knee.fit(surprise, weight)
        # The middle of the step, as the knee has it.
        values = np.unique(surprise)
        at = int(np.searchsorted(values, Share(found[1]).fit(surprise, weight)))
        return float(values[max(at - 1, 0) : at + 1].mean())

    def _few_line(self, knee: Knee, surprise: Floats, weight: Floats, nats: Floats) -> float:
        above = Evident(knee).above(nats, weight)
        if not above.any():
            return float(np.nextafter(surprise.max(), np.inf))
        return float((surprise[above].min() + surprise[~above].max()) / 2)

    @property
    def beyond(self) -> float:
        """Share of training that is set apart where that is far more than is flagged, else 0: it may be anomalous."""
        return self.apart if self.apart > max(1.5 * self.alert_share, Knee().high) and not self.clean else 0.0

    def settle(self, fused: Floats, weight: Floats, group: Floats | None = None) -> None:
        """Learn p-values and the share of alarms from the out-of-fold fused scores of training, shape (n,)."""
        self.fused = Calibration.fit(fused, weight, in_nats=True)
        if self.groups is not None and group is not None:
            self.by_group[_FUSED] = ByGroup.fit(self.groups, self.fused(fused), weight, group.astype(np.int64))
        self.alert_share = self.share(fused, weight)

    def with_group(self, scores: Mapping[str, Floats], units: pl.DataFrame) -> dict[str, Floats]:
        """Return raw scores by view with the groups of their units beside, where there are groups."""
        return dict(scores) if self.groups is None else {**scores, GROUP: self.groups.of(units).astype(np.float64)}

    def nats(self, view: str, scores: Mapping[str, Floats]) -> Floats:
        """Return a view's calibrated surprise, shape (n,), within the units' groups where these go with the scores."""
        return self._in_group(view, self.calibrations[view](scores[view]), scores.get(GROUP))

    def _in_group(self, view: str, surprise: Floats, group: Floats | None) -> Floats:
        own = self.by_group.get(view)
        return surprise if own is None or group is None else own(surprise, group.astype(np.int64))

    def _taught_line(self, normal: Floats, weight: Floats, known: Floats, boundary: float | None) -> float:
        """Return the line of an anchor that learned from labels, from normal surprise and known anomalies' scores."""
        calibration = self.calibrations[self.anchor]
        anomalous = calibration(known)
        best = best_line(normal, weight, anomalous)
        if boundary is None:
            return best
        # A score on the boundary is not above it.
        own = float(calibration(np.array([boundary]))[0]) * (1 + 1e-9) + 1e-12
        apart = f1_at(best, normal, weight, anomalous) - f1_at(own, normal, weight, anomalous)
        return own if apart <= NEARLY else best

    def share(self, fused: Floats, weight: Floats | None = None) -> float:
        """Return the share of units at the threshold or above."""
        return float(np.average(fused >= self.threshold, weights=weight)) if len(fused) else 0.0

    def surprise(self, scores: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return what each view gives to the fused score, in nats: the largest counts, plus the tie-breaker's."""
        return {view: self._channel(view, self.nats(view, scores)) for view in views_of(scores)}

    def _channel(self, view: str, surprise: Floats) -> Floats:
        if view == self.anchor:
            return surprise
        if view == TIE_BREAKER:
            return TIE * surprise
        discounted = (CLEAN_DISCOUNT.get(view, DISCOUNT) if self.clean else DISCOUNT) * surprise
        own = np.maximum(discounted, self.line + BEYOND * (surprise - BUDGET_NATS))
        return np.where(surprise >= BUDGET_NATS, own, np.minimum(discounted, self.line * (1 - 1e-9)))

    def __call__(self, scores: Mapping[str, Floats]) -> Floats:
        """Return the fused score of shape (n,), in nats of the anchor, higher is stranger, unclipped."""
        return self.fuse(self.surprise(scores))

    def fuse(self, given: Mapping[str, Floats]) -> Floats:
        """Return the fused score, shape (n,), from what each view gives to it (``surprise``)."""
        apart = TIE_BREAKER if TIE_BREAKER in given and self.anchor != TIE_BREAKER else None
        most = np.maximum.reduce([nats for view, nats in given.items() if view != apart])
        return np.asarray(most + (given[apart] if apart else 0.0), dtype=np.float64)

    def channels(self, scores: Mapping[str, Floats]) -> Floats:
        """Return how surprising a unit is to the channels that see single changes, each with its share of one budget.

        Order sees what is out of place, the nearest count vector what is doubled, lost or cut. Shape (n,), in nats: the
        largest of ``-ln(p / share)``. Without these views it is the anchor's surprise.
        """
        views = {view: share for view, share in CHANNELS.items() if view in scores} or {self.anchor: 1.0}
        each = [self.nats(view, scores) + np.log(share) for view, share in views.items()]
        return np.asarray(np.maximum.reduce(each), dtype=np.float64)

    def p_value(self, fused: Floats, scores: Mapping[str, Floats] | None = None) -> Floats:
        """Return the calibrated p-value of fused scores, among units of the same group where that goes with scores."""
        if self.fused is None:
            raise ValueError("the decision is not fitted")
        surprise = self._in_group(_FUSED, self.fused(fused), (scores or {}).get(GROUP))
        return np.asarray(np.clip(np.exp(-surprise), np.finfo(float).tiny, 1.0), dtype=np.float64)

    def leading(self, scores: Mapping[str, Floats]) -> NDArray[np.int64]:
        """Return the index of the view that makes each unit's score, shape (n,).

        Where order leads, presence is named if it is as surprised: what is there at all is told in fewer words.
        """
        lead = np.asarray(np.argmax(np.stack(list(self.surprise(scores).values())), axis=0), dtype=np.int64)
        if self.order_leads and ANCHOR in scores:
            views = list(views_of(scores))
            each = {view: self.nats(view, scores) for view in (ANCHOR, ORDER)}
            plain = (lead == views.index(ORDER)) & (each[ANCHOR] >= each[ORDER])
            lead = np.where(plain, views.index(ANCHOR), lead)
        return lead

    def values(self) -> dict[str, Any]:
        """Return the plain values to save."""
        calibrations = {view: c.values() for view, c in self._all().items()}
        return {
            "calibrations": calibrations,
            "anchor": self.anchor,
            "order_leads": self.order_leads,
            "clean": self.clean,
            "line": self.line,
            "threshold": self.threshold,
            "alert_share": self.alert_share,
            "by_source": None if self.groups is None else self.groups.by_source,
        }

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return the tables to save, by view, and those of the groups."""
        out = {view: c.to_frame() for view, c in self._all().items()}
        if self.groups is None:
            return out
        parts = [one.to_frame().with_columns(view=pl.lit(view)) for view, one in self.by_group.items()]
        return out | {_GROUPS: self.groups.table, _BY_GROUP: pl.concat(parts)}

    def _all(self) -> dict[str, Calibration]:
        return self.calibrations | ({_FUSED: self.fused} if self.fused else {})

    @classmethod
    def restore(cls, values: Mapping[str, Any], frames: Mapping[str, pl.DataFrame]) -> Self:
        """Take up a saved decision."""
        found = {view: Calibration.restore(frames[view], v) for view, v in values["calibrations"].items()}
        fused = found.pop(_FUSED)
        line, threshold, share = (float(values[name]) for name in ("line", "threshold", "alert_share"))
        made = cls(found, values["anchor"], line, fused, threshold, share)
        made.order_leads, made.clean = bool(values["order_leads"]), bool(values["clean"])
        if values.get("by_source") is not None:
            made.groups = Groups(frames[_GROUPS], bool(values["by_source"]))
            for (view,), part in frames[_BY_GROUP].group_by("view", maintain_order=True):
                made.by_group[str(view)] = ByGroup.restore(made.groups, part)
        return made


def views_of(scores: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return raw scores by view, without what goes beside them."""
    return {view: raw for view, raw in scores.items() if view != GROUP}


@dataclass(frozen=True)
class Drift:
    """More of a batch is improbable than training allows: the log changed, or the model is old.

    Attributes:
        share: share of the batch at the stored threshold or above.
        expected: the share on training data.
        threshold: on what was learned, raised for the batch; a run judged by its own habits as well has its own.
    """

    share: float
    expected: float
    threshold: float


#: A smaller batch says too little about a share.
_LEAST_UNITS: Final = 200
_TIMES: Final = 5.0
_LEAST_SHARE: Final = 0.1
#: Where a tenth of training was flagged, five times that is never seen; so much more of a batch is enough.
_MORE: Final = 0.2


def check_drift(
    decision: Decision, fused: Floats, weight: Floats | None = None, rule: Threshold | None = None
) -> Drift | None:
    """Look whether far more of a batch is improbable than nominal; then raise the threshold by the batch's own knee.

    Where a rate of alarms is asked for by ``rule``, it is raised to where the batch keeps that.

    Raising hundreds of alarms over one change of regime helps nobody: the change is said once, and what stands out
    even from the changed log is kept.
    """
    share, expected = decision.share(fused, weight), decision.alert_share
    if len(fused) < _LEAST_UNITS or share < max(min(_TIMES * expected, expected + _MORE), _LEAST_SHARE):
        return None
    raised = raising(rule).fit(fused, np.ones(len(fused)) if weight is None else weight)
    return Drift(share, decision.alert_share, max(raised, decision.threshold))


def contributions(decision: Decision, scores: Mapping[str, Floats], flagged: Sequence[bool] | Any) -> dict[str, int]:
    """Count, for each view, the flagged units whose score it makes."""
    lead = decision.leading(scores)[np.asarray(flagged, dtype=bool)]
    return {view: int((lead == i).sum()) for i, view in enumerate(views_of(scores))}
