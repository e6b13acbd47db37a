"""How well scores and alarms agree with labels.

Every figure is weighted: a row may stand for many units. Scores that are equal are one threshold, so that the order of
rows does not matter. Plain NumPy: the core does not depend on scikit-learn, whose results these equal.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offbeat.errors import OffbeatError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Metrics:
    """The figures of one labelled run. What is undefined is NaN, and None in :meth:`as_dict`.

    Attributes:
        precision: share of alarms that are right; 0 without alarms.
        recall: share of anomalies that raised an alarm; undefined without anomalies.
        f1: harmonic mean of both, at the detector's own threshold; undefined without anomalies.
        f1_half, f1_twice: the same if half, or twice, as many units were flagged, the strangest; how much hangs on the
            threshold.
        accuracy: share of units judged rightly.
        fpr: share of normal units that raised an alarm; undefined without normal units.
        ap: average precision, the area under the precision-recall curve as steps; undefined without anomalies.
        auc: area under the ROC curve; undefined with one class only.
        mcc: Matthews correlation coefficient (Matthews 1975); 0 where a class of units or of verdicts is empty.
        alerts_per_1000: alarms per thousand units.
        best_f1: the largest F1 over all thresholds. An upper bound: choosing it needs the labels.
        best_threshold: the highest threshold that gives it; units with this score or more raise an alarm.
        units: sum of the weights.
        anomalies: sum of the anomalous units' weights.
        alarms: sum of the weights of units that raised an alarm.
        rows: how many rows were counted.
    """

    precision: float
    recall: float
    f1: float
    f1_half: float
    f1_twice: float
    accuracy: float
    fpr: float
    ap: float
    auc: float
    mcc: float
    alerts_per_1000: float
    best_f1: float
    best_threshold: float
    units: float
    anomalies: float
    alarms: float
    rows: int

    def as_dict(self) -> dict[str, float | int | None]:
        """The figures by name, with None for what is undefined, for JSON."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class PrecisionRecall:
    """The precision-recall curve: arrays of shape (thresholds,), from the highest threshold to the lowest."""

    precision: Floats
    recall: Floats
    threshold: Floats


@dataclass(frozen=True)
class Roc:
    """The ROC curve: arrays of shape (thresholds + 1,), from (0, 0) at an infinite threshold to (1, 1)."""

    fpr: Floats
    tpr: Floats
    threshold: Floats


def measure(
    y: ArrayLike,
    score: ArrayLike,
    is_anomaly: ArrayLike,
    weight: ArrayLike | None = None,
    distinct: ArrayLike | None = None,
) -> Metrics:
    """Compare scores and alarms with labels.

    Args:
        y: whether each unit is anomalous; shape (rows,).
        score: finite numbers, higher is stranger; shape (rows,).
        is_anomaly: whether each unit raised an alarm at the detector's own threshold; shape (rows,).
        weight: how many units a row stands for; 1 where not given.
        distinct: what tells sequences apart, of any type that sorts. Where given, units of the same sequence and label
            are counted once, as by :func:`deduplicated`.

    Raises:
        OffbeatError: arrays differ in length, are empty, a score is not finite, or a weight is negative.
    """
    truth, scores, alarm, weights = _arrays(y, score, is_anomaly, weight)
    if distinct is not None:
        kept = deduplicated(truth, distinct)
        truth, scores, alarm = truth[kept], scores[kept], alarm[kept]
        weights = np.ones(len(kept))
    units, anomalies, alarms = float(weights.sum()), float(weights[truth].sum()), float(weights[alarm].sum())
    hits = float(weights[truth & alarm].sum())
    correct = float(weights[truth == alarm].sum())
    normals, false_alarms = float(weights[~truth].sum()), float(weights[alarm & ~truth].sum())
    misses, passes = float(weights[truth & ~alarm].sum()), float(weights[~truth & ~alarm].sum())
    hit, wrong, threshold = _counts(truth, scores, weights)
    f1 = 2.0 * hit / (hit + wrong + anomalies) if anomalies else np.zeros(1)
    best = int(np.argmax(f1))

    def f1_at(most: float) -> float:
        """F1 of the lowest threshold that flags at most so many units."""
        if not anomalies:
            return math.nan
        last = int(np.searchsorted(hit + wrong, most * (1 + 1e-12), side="right")) - 1
        return float(f1[last]) if last >= 0 else 0.0

    return Metrics(
        precision=hits / alarms if alarms else 0.0,
        recall=_ratio(hits, anomalies),
        f1=_ratio(2.0 * hits, 2.0 * hits + false_alarms + misses) if anomalies else math.nan,
        f1_half=f1_at(alarms / 2),
        f1_twice=f1_at(2 * alarms),
        accuracy=correct / units,
        fpr=_ratio(false_alarms, normals),
        ap=_average_precision(hit, wrong),
        auc=_area(hit, wrong),
        mcc=_matthews(hits, false_alarms, misses, passes),
        alerts_per_1000=1000.0 * alarms / units,
        best_f1=float(f1[best]) if anomalies else math.nan,
        best_threshold=float(threshold[best]) if anomalies else math.nan,
        units=units,
        anomalies=anomalies,
        alarms=alarms,
        rows=len(truth),
    )


def deduplicated(y: ArrayLike, distinct: ArrayLike) -> NDArray[np.int64]:
    """Positions of the first unit of each distinct sequence and label, in their order.

    Logs repeat, and a figure over all units is mostly about the few sequences that come most often. A sequence that is
    sometimes normal and sometimes anomalous is kept once as each: no detector that looks at the sequence only can get
    both right, and leaving one out would hide that.

    Args:
        y: whether each unit is anomalous; shape (rows,).
        distinct: what tells sequences apart; shape (rows,).
    """
    truth, sequences = np.asarray(y, dtype=bool), np.asarray(distinct)
    if truth.shape != sequences.shape:
        raise OffbeatError(f"{len(truth)} labels but {len(sequences)} sequences", where="measure")
    codes = np.unique(sequences, return_inverse=True)[1].reshape(-1)
    first = np.unique(codes * 2 + truth, return_index=True)[1]
    return np.sort(first).astype(np.int64)


def pr_curve(y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> PrecisionRecall:
    """Precision and recall at every distinct score; arguments and errors as for :func:`measure`."""
    truth, scores, _, weights = _arrays(y, score, np.zeros(np.shape(y), bool), weight)
    hit, wrong, threshold = _counts(truth, scores, weights)
    total = hit[-1] if hit[-1] else math.nan
    return PrecisionRecall(hit / (hit + wrong), hit / total, threshold)


def roc_curve(y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> Roc:
    """False and true positive rates at every distinct score; arguments and errors as for :func:`measure`."""
    truth, scores, _, weights = _arrays(y, score, np.zeros(np.shape(y), bool), weight)
    hit, wrong, threshold = _counts(truth, scores, weights)
    hits, wrongs = np.append(0.0, hit), np.append(0.0, wrong)
    normals, anomalies = wrong[-1] or math.nan, hit[-1] or math.nan
    return Roc(wrongs / normals, hits / anomalies, np.append(np.inf, threshold))


def _arrays(
    y: ArrayLike, score: ArrayLike, is_anomaly: ArrayLike, weight: ArrayLike | None
) -> tuple[Bools, Floats, Bools, Floats]:
    truth, alarm = np.asarray(y, dtype=bool), np.asarray(is_anomaly, dtype=bool)
    scores = np.asarray(score, dtype=np.float64)
    weights = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not truth.shape == scores.shape == alarm.shape == weights.shape or truth.ndim != 1:
        shapes = ", ".join(str(array.shape) for array in (truth, scores, alarm, weights))
        raise OffbeatError(f"labels, scores, alarms and weights differ in shape: {shapes}", where="measure")
    if not np.isfinite(scores).all():
        raise OffbeatError("a score is not a finite number", where="measure")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise OffbeatError("a weight is negative or not a finite number", where="measure")
    counted = weights > 0
    if not counted.any():
        raise OffbeatError("there is no unit to measure on", where="measure")
    return truth[counted], scores[counted], alarm[counted], weights[counted]


def _counts(truth: Bools, scores: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """True and false positives at each distinct score, from the highest down, and the scores."""
    order = np.argsort(-scores, kind="stable")
    ranked, positive, mass = scores[order], truth[order], weights[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    return np.cumsum(np.where(positive, mass, 0.0))[last], np.cumsum(np.where(positive, 0.0, mass))[last], ranked[last]


def _average_precision(hit: Floats, wrong: Floats) -> float:
    if not hit[-1]:
        return math.nan
    gained = np.diff(hit, prepend=0.0)
    return float(np.sum(gained * hit / (hit + wrong)) / hit[-1])


def _area(hit: Floats, wrong: Floats) -> float:
    """Area under the ROC curve by trapezoids: ties count half."""
    if not hit[-1] or not wrong[-1]:
        return math.nan
    before = np.append(0.0, hit[:-1])
    return float(np.sum(np.diff(wrong, prepend=0.0) * (hit + before)) / (2.0 * hit[-1] * wrong[-1]))


def _matthews(hits: float, false_alarms: float, misses: float, passes: float) -> float:
    below = (hits + false_alarms, hits + misses, passes + false_alarms, passes + misses)
    if min(below) <= 0.0:
        return 0.0
    return (hits * passes - false_alarms * misses) / math.prod(math.sqrt(part) for part in below)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
