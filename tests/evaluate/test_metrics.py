"""The metrics equal scikit-learn's, with ties and weights, and say plainly what is undefined."""

from __future__ import annotations

import math
import warnings

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from offbeat.errors import OffbeatError
from offbeat.evaluate import deduplicated, measure, pr_curve, roc_curve


@st.composite
def runs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels of both classes, scores with many ties, alarms by a threshold or at will, and weights."""
    size = draw(st.integers(2, 40))
    y = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    y[0], y[1] = True, False
    values = st.sampled_from([-1e9, -1.0, 0.0, 1e-12, 0.5, 1.0, 3.25, 1e300])
    score = np.array(draw(st.lists(values, min_size=size, max_size=size)))
    alarm = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    weight = np.array(draw(st.lists(st.sampled_from([1.0, 2.0, 50.1, 0.25]), min_size=size, max_size=size)))
    return y, score, alarm, weight


@given(runs())
def test_equals_scikit_learn(run: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Every figure equals scikit-learn's for the same labels, scores, alarms and weights."""
    y, score, alarm, weight = run
    found = measure(y, score, alarm, weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where nothing raised an alarm
        precision, recall, f1, _ = reference.precision_recall_fscore_support(
            y, alarm, average="binary", sample_weight=weight, zero_division=0
        )
        mcc = reference.matthews_corrcoef(y, alarm, sample_weight=weight)
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.f1 == pytest.approx(f1)
    assert found.accuracy == pytest.approx(reference.accuracy_score(y, alarm, sample_weight=weight))
    assert found.mcc == pytest.approx(mcc, abs=1e-9)
    assert found.ap == pytest.approx(reference.average_precision_score(y, score, sample_weight=weight))
    assert found.auc == pytest.approx(reference.roc_auc_score(y, score, sample_weight=weight))
    assert found.fpr == pytest.approx(np.average(alarm[~y], weights=weight[~y]))
    assert found.alerts_per_1000 == pytest.approx(1000 * np.average(alarm, weights=weight))


@given(runs())
def test_best_f1_is_reached_by_its_threshold_and_by_none_surpassed(
    run: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Alarming at the best threshold gives the best F1, and no other threshold gives more."""
    y, score, alarm, weight = run
    found = measure(y, score, alarm, weight)
    at = {t: measure(y, score, score >= t, weight).f1 for t in np.unique(score)}
    assert at[found.best_threshold] == pytest.approx(found.best_f1)
    assert max(at.values()) == pytest.approx(found.best_f1)


@given(runs(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(
    run: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], random: object
) -> None:
    """Shuffling the rows changes nothing."""
    y, score, alarm, weight = run
    order = np.arange(len(y))
    random.shuffle(order)
    first = measure(y, score, alarm, weight).as_dict()
    second = measure(y[order], score[order], alarm[order], weight[order]).as_dict()
    assert second == pytest.approx(first)


@given(runs(), st.lists(st.integers(1, 4), min_size=40, max_size=40))
def test_a_weight_is_a_repetition(run: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], times: list[int]) -> None:
    """A row of weight three gives the figures of three such rows; only the count of rows differs."""
    y, score, alarm, _ = run
    repeats = np.array(times[: len(y)])
    weighted = measure(y, score, alarm, repeats).as_dict()
    repeated = measure(*(np.repeat(array, repeats) for array in (y, score, alarm))).as_dict()
    assert weighted.pop("rows") == len(y)
    assert repeated.pop("rows") == repeats.sum()
    assert weighted == pytest.approx(repeated)


@given(runs())
def test_curves_equal_scikit_learn(run: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Both curves pass through the points of scikit-learn's."""
    y, score, _, weight = run
    ours = pr_curve(y, score, weight)
    precision, recall, threshold = reference.precision_recall_curve(y, score, sample_weight=weight)
    assert ours.precision[::-1] == pytest.approx(precision[:-1])
    assert ours.recall[::-1] == pytest.approx(recall[:-1])
    assert ours.threshold[::-1] == pytest.approx(threshold)
    roc = roc_curve(y, score, weight)
    fpr, tpr, threshold = reference.roc_curve(y, score, sample_weight=weight, drop_intermediate=False)
    assert roc.fpr == pytest.approx(fpr)
    assert roc.tpr == pytest.approx(tpr)
    assert roc.threshold[1:] == pytest.approx(threshold[1:])


def test_by_hand() -> None:
    """A case small enough to check on paper."""
    found = measure([1, 0, 1, 0, 0], [5, 4, 3, 2, 1], [1, 1, 0, 0, 0])
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert found.accuracy == 0.6
    assert found.fpr == pytest.approx(1 / 3)
    assert found.ap == pytest.approx((1 + 2 / 3) / 2)
    assert found.auc == pytest.approx(5 / 6)
    assert found.mcc == pytest.approx(1 / 6)
    assert (found.best_f1, found.best_threshold) == (0.8, 3.0)
    assert found.alerts_per_1000 == 400.0
    assert (found.units, found.anomalies, found.alarms, found.rows) == (5.0, 2.0, 2.0, 5)


def test_no_anomalies() -> None:
    """Without anomalies recall, F1, AP and AUC are undefined, and None in the dictionary; false alarms still count."""
    found = measure([0, 0], [1.0, 2.0], [0, 1])
    assert math.isnan(found.recall)
    plain = orjson.loads(orjson.dumps(found.as_dict()))
    assert {name for name, value in plain.items() if value is None} == {
        *("recall", "f1", "f1_half", "f1_twice", "ap", "auc", "best_f1", "best_threshold")
    }
    assert (plain["precision"], plain["fpr"], plain["mcc"]) == (0.0, 0.5, 0.0)


def test_anomalies_only() -> None:
    """Without normal units the false-positive rate and AUC are undefined, and AP is 1."""
    found = measure([1, 1], [1.0, 2.0], [0, 1])
    assert math.isnan(found.fpr)
    assert math.isnan(found.auc)
    assert (found.ap, found.best_f1, found.recall) == (1.0, 1.0, 0.5)


def test_no_alarms() -> None:
    """Without alarms precision and F1 are nought."""
    found = measure([1, 0], [1.0, 2.0], [0, 0])
    assert (found.precision, found.recall, found.f1, found.alerts_per_1000) == (0.0, 0.0, 0.0, 0.0)


def test_deduplicated_keeps_each_sequence_and_label_once() -> None:
    """Of equal sequences the first of each label is kept, in order."""
    sequences = ["a", "b", "a", "a", "c", "b"]
    assert deduplicated([0, 0, 0, 1, 1, 0], sequences).tolist() == [0, 1, 3, 4]


def test_measure_on_distinct_sequences() -> None:
    """With ``distinct`` a thousand copies of an easy normal sequence count once, whatever their weights."""
    y = np.array([0] * 1000 + [0, 1])
    score = np.array([0.0] * 1000 + [2.0, 1.0])
    distinct = np.array([7] * 1000 + [8, 9])
    found = measure(y, score, score > 0, np.full(1002, 3.0), distinct)
    assert (found.rows, found.units, found.alerts_per_1000) == (3, 3.0, pytest.approx(2000 / 3))
    assert measure(y, score, score > 0).fpr < 0.01
    assert found.fpr == 0.5


def test_weight_nought_takes_a_row_out() -> None:
    """A row of weight nought does not count at all."""
    assert measure([1, 0, 0], [3, 2, 9], [1, 0, 1], [1, 1, 0]) == measure([1, 0], [3, 2], [1, 0])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([1], [1.0, 2.0], [0, 1]), "differ in shape"),
        (([1, 0], [1.0, math.nan], [0, 1]), "not a finite"),
        (([1, 0], [1.0, math.inf], [0, 1]), "not a finite"),
        (([1, 0], [1.0, 2.0], [0, 1], [1.0, -1.0]), "weight is negative"),
        (([1, 0], [1.0, 2.0], [0, 1], [0.0, 0.0]), "no unit"),
        (([], [], []), "no unit"),
        (([1, 0], [1.0, 2.0], [0, 1], None, [1]), "2 labels but 1 sequences"),
    ],
)
def test_bad_arguments(arguments: tuple[object, ...], says: str) -> None:
    """Arrays that cannot be measured raise one clear sentence."""
    with pytest.raises(OffbeatError, match=says):
        measure(*arguments)


def test_f1_at_half_and_twice_the_alarms() -> None:
    """The figures beside the own F1 are those of half and twice as many units, the strangest."""
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
    score = np.arange(10.0, 0.0, -1.0)
    found = measure(y, score, score >= 7)
    assert (found.f1, found.f1_half, found.f1_twice) == pytest.approx((1.0, 2 * 2 / 6, 2 * 4 / 12))
    none = measure(y, score, np.zeros(10, dtype=bool))
    assert (none.f1_half, none.f1_twice) == (0.0, 0.0)
