"""Detectors that learn from labels, against scikit-learn and against what can be worked out by hand."""

import numpy as np
import polars as pl
import pytest
from samples import frame, labels, sequences
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from offbeat.detect import SVM, DecisionTree, NearestNeighbour, Ragged
from offbeat.detect.vectors import Columns, thinned
from offbeat.errors import OptionError


def test_the_tree_is_scikit_learns():
    """Shares of anomalies from flat arrays are scikit-learn's probabilities."""
    X = sequences(300)
    learned = DecisionTree(depth=2, seed=1).fit(X, labels(X))
    columns = Columns.fit(Ragged.of(X), 1000)
    reference = DecisionTreeClassifier(max_depth=2, random_state=1)
    reference.fit(columns.counts(Ragged.of(X))[:, :-1], labels(X).to_numpy())
    asked = sequences(200, seed=1)
    expected = reference.predict_proba(columns.counts(Ragged.of(asked))[:, :-1])[:, 1]
    np.testing.assert_allclose(learned.anomaly_score(asked).to_numpy(), expected, rtol=0, atol=1e-9)
    assert 0 < expected.min() < expected.max()


def test_the_tree_tells_what_it_was_taught():
    """Template 3 was labelled; among equals a unit with a template that no labelled unit held comes first."""
    X, y = frame([[0, 1, 2]] * 20 + [[0, 1, 3]] * 5), pl.Series([False] * 20 + [True] * 5)
    scores = DecisionTree().fit(X, y).anomaly_score(frame([[0, 3], [0, 1, 2], [0, 1, 2, 9], [0, 3, 9]]))
    assert scores.to_list() == [1.0, 0.0, 0.01, 1.0]


def test_large_leaves_do_not_single_out():
    """With leaves of at least ten units, five anomalies are not split off."""
    X, y = frame([[0, 1]] * 30 + [[0, 2]] * 5), pl.Series([False] * 30 + [True] * 5)
    pure, rough = (DecisionTree(leaf=leaf).fit(X, y).anomaly_score(frame([[0, 2]]))[0] for leaf in (1, 10))
    assert pure == 1.0
    assert rough == 5 / 35


def test_the_machine_is_scikit_learns():
    """The decision from support vectors is that of scikit-learn on the same weighted counts."""
    X, asked = sequences(300), sequences(200, seed=1)
    learned = SVM(penalty=3.0, gamma=0.2).fit(X, labels(X))
    columns = Columns.fit(Ragged.of(X), 1000)
    train, test = (columns.counts(Ragged.of(x))[:, :-1] * learned.weighting_.idf[:-1] for x in (X, asked))
    reference = SVC(C=3.0, gamma=0.2, tol=1e-9).fit(train, labels(X).to_numpy())
    np.testing.assert_allclose(learned.anomaly_score(asked).to_numpy(), reference.decision_function(test), atol=5e-3)
    assert ((learned.anomaly_score(X) > 0) == labels(X)).all()


def test_templates_are_weighed_by_how_few_hold_them():
    """TF-IDF: what every unit holds weighs nothing, what half of them hold ln 2, what none held ln of twice as many."""
    X, y = frame([[0, 1]] * 10 + [[0, 2]] * 10), pl.Series([False] * 10 + [True] * 10)
    idf = SVM().fit(X, y).weighting_.idf
    assert idf == pytest.approx([0, np.log(2), np.log(2), np.log(40), np.log(40)])


def test_a_new_template_comes_first_among_equals():
    """What looks normal but for a new template still does, before what looks as normal without."""
    X, y = frame([[0, 1]] * 10 + [[0, 2]] * 10), pl.Series([False] * 10 + [True] * 10)
    usual, new = SVM().fit(X, y).anomaly_score(frame([[0, 1], [0, 1, 9]]))
    assert usual == pytest.approx(-1, abs=1e-3)
    assert new == pytest.approx(usual + 0.01)


def test_the_nearest_neighbour_decides():
    """The score is the distance to the nearest normal vector against that to the nearest anomalous one."""
    X, y = frame([[0, 1]] * 3 + [[0] * 4 + [1]]), pl.Series([False] * 3 + [True])
    learned = NearestNeighbour().fit(X, y)
    scores = learned.anomaly_score(frame([[0, 1], [0, 0, 1], [0] * 4 + [1], [0] * 6 + [1], [0, 1, 9]]))
    assert scores.to_list() == pytest.approx([0, 1 / 3, 1, 5 / 7, 0.01])


def test_a_vector_seen_with_both_labels_scores_their_share():
    """One anomaly in four units with the same counts is a quarter."""
    X, y = frame([[0, 1]] * 4 + [[2]]), pl.Series([False, False, True, False, True])
    assert NearestNeighbour().fit(X, y).anomaly_score(frame([[1, 0], [2]])).to_list() == [0.25, 1.0]


def test_without_labels_the_distance_counts():
    """Labels are optional: then it is the distance to the nearest vector, and it is named what differs most."""
    learned = NearestNeighbour().fit(frame([[0, 1]] * 3 + [[0, 0, 1]]))
    assert learned.anomaly_score(frame([[0, 1], [0] * 5 + [1], [0, 1, 9, 9]])).to_list() == [0, 3, 2]
    rows = learned.evidence(frame([[0] * 5 + [1], [0], [0, 1, 9, 9]])).rows(named=True)
    assert [(r["kind"], r["template"], r["seen"], r["usual"]) for r in rows] == [
        ("mix", 0, 5.0, 2.0),
        ("missing event", 1, 0.0, 1.0),
        ("new pattern", 9, 2.0, 0.0),
    ]


def test_anomalies_alone_are_refused():
    """Without a normal sequence there is nothing to be near to."""
    with pytest.raises(OptionError, match="normal sequences are needed"):
        NearestNeighbour().fit(frame([[0], [1]]), pl.Series([True, True]))


def test_vectors_beyond_the_limit_are_drawn_by_weight():
    """Of more vectors of a label than may be kept a sample stands for them all; the rarer label is kept whole."""
    weight, label = np.array([100.0, 1, 300, 1, 2, 200]), np.array([False, False, False, True, True, False])
    kept, mass = thinned(weight, label, 3, 0)
    assert set(kept) >= {3, 4}
    assert mass[label[kept]].tolist() == [1, 2]
    assert mass[~label[kept]].sum() == pytest.approx(601)
    assert len(kept) <= 5
