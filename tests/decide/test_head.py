"""The head that learns from answers: close to what was answered it speaks, elsewhere it is silent."""

import numpy as np
import pytest

from offbeat.decide.head import QUIET, RAISED, SILENT, Features, Head, distance, worth_asking


def units(kinds: list[int], score: float = 5.0, flagged: bool = True, nats: float = 3.0) -> Features:
    """Return units of a few kinds, each with counts of its own."""
    mixes = np.array([[4, 4, 4, 0, 0], [4, 4, 0, 3, 0], [4, 0, 0, 0, 9], [0, 1, 9, 9, 0]], dtype=float)
    n = len(kinds)
    return Features(mixes[np.array(kinds, dtype=int)], np.full((n, 2), nats), np.full(n, score), np.full(n, flagged))


def taught(kinds: list[int], real: list[bool], **given) -> Head:
    """Return a head that learned from answered units."""
    return Head.fit(units(kinds, **given), np.array(real, dtype=bool))


def test_distance_is_nought_between_equals_and_one_between_strangers():
    """It is symmetric, grows with what differs, and counts what views say."""
    some = units([0, 1, 2, 3])
    apart = distance(some, some)
    assert np.allclose(np.diag(apart), 0)
    assert np.allclose(apart, apart.T)
    nothing = Features(np.array([[0, 0, 0, 7.0]]), np.zeros((1, 1)), np.zeros(1), np.ones(1, bool))
    other = Features(np.array([[7.0, 0, 0, 0]]), np.zeros((1, 1)), np.zeros(1), np.ones(1, bool))
    assert distance(nothing, other)[0, 0] == pytest.approx(1.0)
    assert distance(units([0], nats=3.0), units([0], nats=8.0))[0, 0] > 0


def test_a_head_quiets_what_is_like_false_alarms_and_nothing_else():
    """Units like those called false are quiet, those like confirmed ones stay, and of others it has no opinion."""
    head = taught([0] * 6 + [1] * 6, [False] * 6 + [True] * 6)
    assert head.gain.is_real
    assert (head.gain.mended, head.gain.broken) == (6, 0)
    assert head.gain.head_f1 == 1.0 > head.gain.model_f1
    assert head.judge(units([0, 1, 2, 3])).tolist() == [QUIET, RAISED, SILENT, SILENT]


def test_a_head_raises_only_what_is_as_strange_as_what_was_confirmed():
    """An unflagged unit like confirmed ones is raised if it scores nearly as high, not if far lower."""
    head = taught([0] * 6 + [1] * 6, [False] * 6 + [True] * 6)
    near = head.judge(units([1], score=4.2, flagged=False))
    far = head.judge(units([1], score=3.9, flagged=False))
    assert (near[0], far[0]) == (RAISED, SILENT)


def test_a_stranger_unit_of_the_same_mix_is_not_quieted():
    """What a view finds far stranger than in the answered units is another matter."""
    head = taught([0] * 6, [False] * 6)
    assert head.judge(units([0], nats=3.0))[0] == QUIET
    assert head.judge(units([0], nats=23.0))[0] == SILENT


@pytest.mark.parametrize("n", [0, 1, 4])
def test_few_answers_show_no_gain(n):
    """Four right changes happen by chance one time in sixteen, so they are not relied on; none break nothing."""
    gain = taught([0] * n, [False] * n).gain
    assert not gain.is_real
    assert gain.mended == max(0, n if n > 1 else 0)


def test_answers_that_contradict_each_other_are_not_used():
    """Where alike units were answered both ways there is nothing to learn."""
    head = taught([0] * 20, [False, True] * 10)
    assert not head.gain.is_real
    assert head.judge(units([0]))[0] == SILENT


def test_a_head_that_only_agrees_is_not_used():
    """Where all alarms were right there is nothing to mend."""
    head = taught([0] * 9 + [1] * 9, [True] * 18)
    assert (head.gain.mended, head.gain.broken, head.gain.is_real) == (0, 0, False)


def test_questions_cover_what_there_is():
    """Each kind is asked about before any is asked about often; the most frequent first."""
    some = units([0] * 30 + [1] * 10 + [2] * 3 + [3])
    asked = worth_asking(some, 5.0, 8)
    kinds = np.array([0] * 30 + [1] * 10 + [2] * 3 + [3])[asked]
    assert kinds[0] == 0
    assert set(kinds) == {0, 1, 2, 3}
    assert len(set(asked.tolist())) == 8


def test_questions_avoid_what_is_known_and_what_is_clear():
    """What answered units already say is asked last; so is what lies far beyond the threshold, either way."""
    known = units([0] * 3)
    asked = worth_asking(units([0] * 20 + [1] * 2), 5.0, 1, known)
    assert asked[0] >= 20
    parts = [units([0], score=5.2), units([1], score=9.0), units([2], score=0.1, flagged=False)]
    mixed = Features(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("counts", "nats", "score", "flagged"))
    )
    assert worth_asking(mixed, 5.0, 3)[0] == 0


def test_questions_end_where_units_do():
    """No more is asked than there is, and nothing of nothing."""
    assert sorted(worth_asking(units([0, 1]), 5.0, 9).tolist()) == [0, 1]
    assert len(worth_asking(units([]), 5.0, 3)) == 0
