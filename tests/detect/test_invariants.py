"""Relations between counts: those that hold are found, and those that break are named."""

import math
import random

import numpy as np
import pytest
from samples import frame

from offbeat.detect import Invariants
from offbeat.explain import Facts, sentence


def transfers(n=200, seed=0):
    """Return units in which 0 comes as often as 1 and 2 together, and three times as often as 3."""
    rng = random.Random(seed)
    lists = []
    for _ in range(n):
        blocks, first = 3 * rng.randrange(1, 4), rng.randrange(1, 3)
        lists.append([0] * blocks + [1] * first + [2] * (blocks - first) + [3] * (blocks // 3) + [4] * rng.randrange(5))
    return lists


def relations(learned):
    """Return the relations as coefficients by template, the first one positive."""
    codes = learned.columns_.codes[learned.columns_.own]
    found = []
    for row in learned.relations_:
        at = np.flatnonzero(row)
        found.append({int(codes[i]): int(row[i] * np.sign(row[at[0]])) for i in at})
    return found


@pytest.mark.parametrize("everywhere", [True, False])
def test_relations_that_hold_are_found(everywhere):
    """Both independent relations are found, with the smallest whole coefficients, and no other."""
    learned = Invariants(everywhere=everywhere).fit(frame(transfers()))
    assert sorted(relations(learned), key=len) == [{0: 1, 3: -3}, {0: 1, 1: -1, 2: -1}]
    assert (learned.anomaly_score(frame(transfers(seed=1))) == 0).all()


def test_what_breaks_a_relation_is_strange():
    """One event too few breaks its relation, with the surprise of one that no unit broke."""
    learned = Invariants().fit(frame(transfers()))
    scores = learned.anomaly_score(frame([[0] * 3 + [1, 2] + [3], [0] * 3 + [1, 2, 2], [0, 0, 1, 1, 2]]))
    assert scores.to_list() == pytest.approx([-math.log(0.5 / 201)] * 3)


def test_a_relation_may_be_broken_now_and_then():
    """One that one unit in a hundred breaks is kept, and breaking it is as improbable as that."""
    learned = Invariants().fit(frame([[0, 1]] * 99 + [[0]]))
    assert relations(learned) == [{0: 1, 1: -1}]
    assert learned.anomaly_score(frame([[0, 0, 1]]))[0] == pytest.approx(-math.log(1.5 / 101))
    assert len(Invariants().fit(frame([[0, 1]] * 90 + [[0]] * 10)).relations_) == 0


def test_two_rare_templates_make_a_relation_only_where_absence_counts():
    """By default two templates that are nearly always absent go together, as in the paper."""
    lists = [[0]] * 80 + [[0, 0]] * 80 + [[0, 1], [0, 2], [0, 1, 2]]
    assert {1: 1, 2: -1} in relations(Invariants().fit(frame(lists)))
    assert relations(Invariants(everywhere=False).fit(frame(lists))) == []


def test_what_follows_is_left_out():
    """Of three templates that come equally often two relations are kept; the third follows."""
    rng = random.Random(0)
    lists = [[0] * n + [1] * n + [2] * n for n in (rng.randrange(1, 5) for _ in range(60))]
    assert relations(Invariants().fit(frame(lists))) == [{0: 1, 1: -1}, {0: 1, 2: -1}]


def test_the_broken_relation_is_told():
    """Evidence names the template farthest from its usual count, with the count that would fit the others."""
    learned = Invariants().fit(frame([[0, 1]] * 50 + [[0, 0, 1, 1]] * 10))
    rows = learned.evidence(frame([[0, 1, 1, 1, 1], [0], [0, 1, 7], [0, 1]])).rows(named=True)
    assert [(r["kind"], r["template"], r["seen"], r["usual"], r["share"]) for r in rows] == [
        ("relation", 1, 4.0, 1.0, 1.0),
        ("relation", 1, 0.0, 1.0, 1.0),
        ("new pattern", 7, 1.0, 0.0, 0.0),
        ("count", 0, 1.0, 1.0, pytest.approx(5 / 6)),
    ]
    reason, expected = sentence(Facts("relation", "session", "closed <*>", 0, 2, 0.998))
    assert reason == (
        "“closed <*>” does not come; it should come twice, as in 99.8 % of sessions with the events that go with it."
    )
    assert "twice" in expected


def test_the_search_ends():
    """However many templates there are, no more combinations are looked at than allowed."""
    lists = [[i, i + 1, i + 2] for i in range(60)]
    assert len(Invariants(candidates=5).fit(frame(lists)).relations_) <= 5
