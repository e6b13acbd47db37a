"""Isolation forest against scikit-learn; ends and new templates against their formulas worked out by hand."""

import math

import numpy as np
import pytest
from samples import frame, sequences
from sklearn.ensemble import IsolationForest as Reference

from offbeat.detect import End, IsolationForest, NewTemplate, Ragged
from offbeat.detect.vectors import Columns, representatives


def test_the_forest_is_scikit_learns():
    """Path lengths from flat arrays give scikit-learn's scores."""
    learned = IsolationForest(trees=40, sample=64, seed=3).fit(sequences(300))
    kept, times = representatives(Ragged.of(sequences(300)), 300, 3)
    columns = Columns.fit(Ragged.of(sequences(300)), 1000)
    train = np.log1p(columns.counts(kept)[:, :-1]).repeat(times, axis=0)
    reference = Reference(n_estimators=40, max_samples=64, random_state=3).fit(train)
    asked = frame([*sequences(200, seed=1)["templates"].to_list(), [], [0] * 50, [8, 8, 7, 6]])
    vectors = np.log1p(columns.counts(Ragged.of(asked))[:, :-1])
    np.testing.assert_allclose(learned.score_samples(asked), reference.score_samples(vectors), rtol=0, atol=1e-6)


def test_the_forest_shortens_the_path_of_what_is_new():
    """With one varying column, a new template halves what is left of the path at each cut."""
    learned = IsolationForest().fit(frame([[0]] * 30 + [[0, 0]] * 30))
    usual, new = learned.anomaly_score(frame([[0], [0, 7]]))
    # The single column is cut once, which leaves half of the units; the path goes on from there by c(n).
    path = learned.trees_.leaves(np.log1p(np.array([[1.0, 0.0]])))
    assert usual == pytest.approx(2 ** (-path.mean() / learned.usual_path_))
    assert new == pytest.approx(2 ** (-((1 - 0.5**path) / 0.5).mean() / learned.usual_path_))


def test_the_forest_blames_what_stands_out():
    """The template whose usual count would lower the score most is named, be it too frequent, missing or new."""
    learned = IsolationForest().fit(frame([[0, 1, 2, 2]] * 60 + [[0, 1, 2]] * 40 + [[0, 1]] * 3 + [[0, 1, 2] * 2] * 2))
    rows = learned.evidence(frame([[0, 1, 2, 2, 2, 2, 2, 2], [0, 1], [0, 1, 2, 2, 9]])).rows(named=True)
    assert [(r["kind"], r["template"], r["event"]) for r in rows] == [
        ("count", 2, 2),
        ("missing event", 2, None),
        ("new pattern", 9, 4),
    ]
    assert (rows[0]["seen"], rows[0]["usual"]) == (6.0, 2.0)
    assert rows[1]["share"] == pytest.approx(102 / 105)


def test_a_sample_is_in_proportion_to_weight():
    """Of more units than may be kept each distinct sequence is drawn in proportion, give or take one."""
    data = Ragged.of(frame([[0], [1], [2], [0]], [500.0, 300.0, 100.0, 100.0]))
    kept, times = representatives(data, 50, 0)
    drawn = {int(kept.ids[kept.offsets[i]]): n for i, n in enumerate(times)}
    assert sum(drawn.values()) == 50
    assert all(abs(drawn[code] - n) <= 1 for code, n in {0: 30, 1: 15, 2: 5}.items())


def test_few_units_are_all_kept():
    """No more units than may be kept: each distinct sequence counts as often as it was there, in any order of rows."""
    lists = [[0, 1]] * 3 + [[2]] + [[0, 1]] * 2
    one, times = representatives(Ragged.from_lists(lists), 100, 0)
    other, again = representatives(Ragged.from_lists(lists[::-1]), 100, 1)
    assert sorted(times) == [1, 5]
    assert one.ids.tolist() == other.ids.tolist()
    assert times.tolist() == again.tolist()


def test_templates_beyond_the_limit_share_a_column():
    """The rarest templates are counted together, new ones apart, and evidence still names them."""
    columns = Columns.fit(Ragged.from_lists([[0, 1, 2]] * 5 + [[0, 1, 3]]), 2)
    data = Ragged.from_lists([[0, 2, 3, 3, 9], []])
    assert columns.counts(data).tolist() == [[1, 0, 3, 1], [0, 0, 0, 0]]
    found = columns.evidence(data, np.array([2, -1]))
    assert found["template"].to_list() == [3, None]
    assert found["kind"].tolist() == ["count", "length"]


def test_the_end_is_interpolated():
    """After an event that always ends a unit the end is as probable as the formula gives, after another it is not."""
    learned = End(order=1, prior=1.0).fit(frame([[0, 1]] * 9))
    # 27 places to end in, of which 9 are ends; half a place is the prior's.
    alone = (9 + 0.5) / 28
    ended, cut, empty = learned.anomaly_score(frame([[0, 1], [0], []]))
    assert ended == pytest.approx(-math.log((9 + alone) / 10))
    assert cut == pytest.approx(-math.log(alone / 10))
    assert empty == pytest.approx(-math.log(alone / 10))


def test_the_end_looks_back():
    """A longer context tells an end that the last event alone does not."""
    usual = frame([[0, 1, 0, 2]] * 50 + [[0, 3, 0]] * 50)
    asked = frame([[0, 1, 0], [0, 3, 0]])
    cut, ended = End(order=2).fit(usual).anomaly_score(asked)
    assert cut > 3
    assert ended < 0.1
    assert End(order=1).fit(usual).anomaly_score(asked).n_unique() == 1


def test_an_end_never_reads_the_row_before():
    """A sequence's context stops at its start."""
    learned = End().fit(sequences())
    alone = [learned.anomaly_score(frame([one]))[0] for one in ([4], [0, 4], [])]
    together = learned.anomaly_score(frame([[0, 1, 2], [4], [], [0, 4], []])).to_list()
    assert together[1:] == [alone[0], alone[2], alone[1], alone[2]]


def test_the_end_names_the_last_event():
    """Evidence of an early end is the event after which it came, and its probability."""
    learned = End().fit(frame([[0, 1, 2]] * 50))
    row = learned.evidence(frame([[0, 1]])).row(0, named=True)
    assert (row["kind"], row["template"], row["event"]) == ("end", 1, 1)
    assert row["share"] == pytest.approx(math.exp(-learned.anomaly_score(frame([[0, 1]]))[0]))


def test_new_templates_add_up():
    """Each distinct template never seen counts once, and the rarest of those seen on top; what is missing does not."""
    learned = NewTemplate().fit(frame([[0, 1]] * 8 + [[0, 2]]))
    new, rare, usual = -math.log(0.5 / 10), -math.log(1.5 / 10), -math.log(9.5 / 10)
    scores = learned.anomaly_score(frame([[0, 7, 7], [7, 8, 2], [0, 2], [0], []]))
    assert scores.to_list() == pytest.approx([usual + new, rare + 2 * new, rare, usual, 0])


def test_new_templates_are_named():
    """Evidence names the new template, else the rarest."""
    learned = NewTemplate().fit(frame([[0, 1]] * 99 + [[0, 1, 2]]))
    rows = learned.evidence(frame([[0, 7, 1], [0, 1, 2], [1]])).rows(named=True)
    assert [(r["kind"], r["template"]) for r in rows] == [("new pattern", 7), ("rare pattern", 2), ("rare pattern", 1)]
