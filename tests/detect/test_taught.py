"""Detectors that learn from labels, against scikit-learn and against what can be worked out by hand."""

import numpy as np
import polars as pl
from samples import frame, labels, sequences
from sklearn.tree import DecisionTreeClassifier

from offbeat.detect import DecisionTree, Ragged
from offbeat.detect.vectors import Columns


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
    """Template 3 was labelled; a template that no labelled unit held lifts a score halfway to 1."""
    X, y = frame([[0, 1, 2]] * 20 + [[0, 1, 3]] * 5), pl.Series([False] * 20 + [True] * 5)
    learned = DecisionTree().fit(X, y)
    assert learned.anomaly_score(frame([[0, 2], [0, 2, 3], [0, 2, 9], [3, 9]])).to_list()[:1] == [0.0]
    told, new, both = learned.anomaly_score(frame([[0, 3], [0, 1, 2, 9], [0, 3, 9]]))
    assert (told, new, both) == (1.0, 0.5, 1.0)


def test_large_leaves_do_not_single_out():
    """With leaves of at least ten units, five anomalies are not split off."""
    X, y = frame([[0, 1]] * 30 + [[0, 2]] * 5), pl.Series([False] * 30 + [True] * 5)
    pure, rough = (DecisionTree(leaf=leaf).fit(X, y).anomaly_score(frame([[0, 2]]))[0] for leaf in (1, 10))
    assert pure == 1.0
    assert rough == 5 / 35
