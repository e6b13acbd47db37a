"""Standard scores, moving averages, principal components and one-class machines, against what can be worked out."""

import math

import numpy as np
import polars as pl
import pytest
from samples import frame, sequences
from sklearn import decomposition
from sklearn.svm import OneClassSVM as ReferenceSVM

from offbeat.detect import PCA, MovingAverage, OneClassSVM, Ragged, ZScore
from offbeat.detect.vectors import Columns, Weighting


def test_a_count_that_never_varied_has_a_spread():
    """With n units one event more or fewer than always is the root of n + 1 standard deviations."""
    learned = ZScore().fit(frame([[0, 1]] * 24))
    missing, usual, new = learned.anomaly_score(frame([[0], [0, 1], [0, 1, 9]]))
    assert missing == pytest.approx(5)
    assert usual == 0
    assert new == pytest.approx(5)


def test_the_standard_score_is_the_formula():
    """Two kinds of units, half and half: mean and spread by hand."""
    learned = ZScore().fit(frame([[0]] * 8 + [[0] * 3] * 8))
    mean, sd = 1.5 * math.log(2), math.sqrt((16 * (0.5 * math.log(2)) ** 2 + math.log(2) ** 2) / 17)
    assert learned.anomaly_score(frame([[0] * 7]))[0] == pytest.approx((3 * math.log(2) - mean) / sd)


def test_the_largest_standard_score_is_named():
    """Evidence is the count that is farthest from its mean, or the number of events."""
    learned = ZScore().fit(frame([[0, 1, 2]] * 50))
    rows = learned.evidence(frame([[0, 1, 1, 1, 1, 2], [0, 2], [0, 1, 2, 7]])).rows(named=True)
    assert [(r["kind"], r["template"], r["event"]) for r in rows] == [
        ("count", 1, 1),
        ("missing event", 1, None),
        ("new pattern", 7, 3),
    ]
    crowd = ZScore().fit(frame([[i, i + 1, i + 2] for i in range(40)]))
    row = crowd.evidence(frame([list(range(0, 40, 2))])).row(0, named=True)
    assert (row["kind"], row["seen"], row["usual"]) == ("length", 20.0, 3.0)


def test_the_average_moves():
    """A level that lasts becomes usual; what differs from it is strange then, the old level too."""
    learned = MovingAverage(window=10).fit(frame([[0]] * 50 + [[0, 0]] * 50))
    lists = [[0]] * 10 + [[0] * 8] * 15 + [[0]]
    scores = learned.anomaly_score(frame(lists)).to_numpy()
    assert scores[10] == pytest.approx(scores.max())
    assert (np.diff(scores[10:21]) < 0).all()
    assert scores[20:25] == pytest.approx(np.zeros(5), abs=1e-9)
    assert scores[25] == pytest.approx(scores[10])


def test_the_average_starts_at_training():
    """Before the first row stands the mean of training: the first score is the z-score."""
    X, asked = sequences(), sequences(1, seed=4)
    assert MovingAverage().fit(X).anomaly_score(asked)[0] == pytest.approx(ZScore().fit(X).anomaly_score(asked)[0])


def test_the_average_does_not_get_used_to_what_is_new():
    """A template that training did not hold is as strange the hundredth time."""
    learned = MovingAverage(window=5).fit(frame([[0]] * 60))
    assert learned.anomaly_score(frame([[0, 9]] * 100)).round(9).n_unique() <= 6
    assert learned.anomaly_score(frame([[0, 9]] * 100))[99] == pytest.approx(math.sqrt(61))


def test_the_residual_is_that_of_the_components():
    """The score is the squared distance from scikit-learn's principal subspace of the weighted counts."""
    X, asked = sequences(300), sequences(100, seed=1)
    learned = PCA(variance=0.8).fit(X)
    columns = Columns.fit(Ragged.of(X), 1000)
    train, test = (columns.counts(Ragged.of(x)) * learned.weighting_.idf for x in (X, asked))
    reference = decomposition.PCA(n_components=len(learned.components_)).fit(train)
    back = reference.inverse_transform(reference.transform(test))
    np.testing.assert_allclose(learned.anomaly_score(asked).to_numpy(), ((test - back) ** 2).sum(axis=1), atol=1e-8)
    explained = np.cumsum(decomposition.PCA().fit(train).explained_variance_ratio_)
    assert explained[len(learned.components_) - 2] < 0.8 <= explained[len(learned.components_) - 1] + 1e-9


def test_the_residual_names_what_no_component_explains():
    """Templates that come together may come more often; one of them alone is what is left over."""
    learned = PCA().fit(frame([[0] + [1, 2] * (i % 4) for i in range(80)]))
    together, alone = learned.anomaly_score(frame([[0] + [1, 2] * 5, [0, *[1] * 5]]))
    assert alone > 10 * together + 0.1
    new = learned.evidence(frame([[0, 1, 2, 9]])).row(0, named=True)
    assert (new["kind"], new["template"]) == ("new pattern", 9)


def test_templates_beyond_the_limit_weigh_as_the_most_held_of_them():
    """The shared column has the weight of its most frequent template, the column of new ones that of half a unit."""
    columns = Columns.fit(Ragged.from_lists([[0, 1]] * 8 + [[0, 2], [0, 1, 3]]), 2)
    assert Weighting.fit(columns, 10.0).idf == pytest.approx([0, math.log(10 / 9), math.log(10), math.log(20)])


def test_the_region_is_scikit_learns():
    """The score from support vectors is the opposite of scikit-learn's decision, divided by its scale."""
    X, asked = sequences(200), sequences(100, seed=1)
    learned = OneClassSVM(nu=0.1, gamma=0.5).fit(X)
    columns = Columns.fit(Ragged.of(X), 1000)
    train, test = (np.log1p(columns.counts(Ragged.of(x))) for x in (X, asked))
    reference = ReferenceSVM(nu=0.1, gamma=0.5, tol=1e-9).fit(train)
    expected = -reference.decision_function(test) / reference.dual_coef_.sum()
    np.testing.assert_allclose(learned.anomaly_score(asked).to_numpy(), expected, atol=2e-3)


def test_gamma_follows_the_spread():
    """Without one given gamma is one over columns times the variance of all cells, weights counted."""
    X = frame([[0, 1]] * 3 + [[0, 0, 0, 2]])
    logs = np.log1p(np.array([[1, 1, 0, 0, 0]] * 3 + [[3, 0, 1, 0, 0]]))
    assert OneClassSVM().fit(X).machine_.gamma == pytest.approx(1 / (5 * logs.var()))
    weighted = frame([[0, 1], [0, 0, 0, 2]], [3.0, 1.0])
    assert OneClassSVM().fit(weighted).machine_.gamma == pytest.approx(1 / (5 * logs.var()))


@pytest.mark.parametrize("view", [ZScore, PCA])
def test_learning_does_not_depend_on_the_order_of_rows(view):
    """Moments are sums."""
    lists = [[0, 1, 2]] * 5 + [[0, 2, 1]] * 3 + [[2]] + [[]]
    asked = frame([[0, 1, 2], [2, 2], [], [9]])
    one, other = (view().fit(frame(x)).anomaly_score(asked).to_numpy() for x in (lists, lists[::-1]))
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_detector_with_a_memory_scores_equal_rows_by_their_place():
    """Equal sequences are not merged where the rows before them count."""
    learned = MovingAverage(window=1).fit(frame([[0]] * 10 + [[0, 0]] * 10))
    scores = learned.anomaly_score(frame([[0] * 4, [0] * 4, [0] * 4]))
    assert scores[0] > scores[1] == pytest.approx(0)
    assert isinstance(scores, pl.Series)
