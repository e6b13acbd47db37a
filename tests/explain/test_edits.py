"""The nearest normal sequence, and the fewest edits that turn a verdict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.explain.counterfactual import fewest
from offbeat.explain.edits import Edit, apply, changes, differences, in_common, nearest, occlude, shares, steps

CODES = st.lists(st.integers(0, 4), max_size=12)


@given(CODES, CODES)
def test_differences_lead_from_one_sequence_to_the_other(one, other):
    """Making all the differences gives the other sequence; the steps hold both."""
    assert apply(one, differences(one, other)) == other
    found = steps(one, other)
    assert [c for how, c in found if how != "add"] == one
    assert [c for how, c in found if how != "remove"] == other


@given(CODES, CODES)
def test_what_is_in_common_is_the_longest_common_subsequence(one, other):
    """It is what dynamic programming finds, and no difference has fewer edits than it leaves."""
    table = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
    assert in_common(one, other) == table[-1, -1]
    assert len(differences(one, other)) >= len(one) + len(other) - 2 * in_common(one, other)


def missing_two(sequences):
    """Score how many of the events 2 and 3 are missing, and how many 9 there are."""
    return np.array([(2 not in s) + (3 not in s) + 2.0 * s.count(9) for s in sequences])


@pytest.mark.parametrize(
    ("codes", "edits"),
    [
        ([1, 2, 9, 3], [Edit("remove", 2, 9)]),
        ([1, 3], [Edit("add", 0, 2)]),
        ([1], [Edit("add", 1, 2), Edit("add", 1, 3)]),
        ([9, 1, 9, 3], [Edit("remove", 0, 9), Edit("add", 2, 2), Edit("remove", 2, 9)]),
    ],
)
def test_the_fewest_edits_turn_the_verdict(codes, edits):
    """No more edits than are needed are named, and the sequence with them scores below the threshold."""
    near = nearest(codes, [[1, 2, 3]], np.ones(1))
    found = fewest(codes, missing_two, 0.5, near)
    assert len(found.edits) == len(edits)
    assert {(e.how, e.template) for e in found.edits} == {(e.how, e.template) for e in edits}
    assert apply(codes, found.edits) == found.codes
    assert missing_two([found.codes])[0] == found.score < 0.5


def test_what_is_out_of_place_is_moved():
    """Two events in the wrong order are one move, not one event less and one more."""
    target = [1, 2, 3, 4, 5]
    score = lambda many: np.array([float(s != target) for s in many])  # noqa: E731 - one line
    found = fewest([1, 3, 4, 2, 5], score, 0.5, nearest([1, 3, 4, 2, 5], [target], np.ones(1)))
    assert found.edits == [Edit("move", 3, 2, 1)]
    assert found.codes == target


def test_no_edit_is_made_that_is_not_needed():
    """Leaving out any one of the edits leaves the sequence strange, though fewer changes could be had with more."""
    codes = [9, 1, 9, 1, 9]
    found = fewest(codes, missing_two, 0.5, nearest(codes, [[2, 3]], np.ones(1)))
    for i in range(len(found.edits)):
        fewer = found.edits[:i] + found.edits[i + 1 :]
        assert missing_two([apply(codes, fewer)])[0] >= 0.5
    assert found.codes.count(1) == 2


@pytest.mark.parametrize(
    ("gone", "runs"),
    [
        ([4, 5, 6], [[4, 5, 6]]),
        ([4, 5, 7, 8], [[4, 5, 7, 8]]),
        ([4, 6, 7, 8], [[4, 6, 7, 8]]),
        ([4, 6], [[4], [6]]),
        ([1, 2, 4, 5, 9], [[1, 2, 4, 5], [9]]),
    ],
)
def test_a_run_removed_is_one_change(gone, runs):
    """Consecutive events are one change, and so they are if at most a quarter of them stays."""
    found = changes([Edit("remove", i, 0) for i in gone])
    assert [[edit.place for edit in run] for run in found] == runs


def test_what_is_added_at_one_place_is_one_change():
    """Events added at one place are one change, at two places two; a move is another."""
    edits = [Edit("add", 2, 7), Edit("add", 2, 8), Edit("add", 5, 7), Edit("move", 0, 1, 3), Edit("move", 1, 1, 3)]
    assert [len(run) for run in changes(edits)] == [2, 2, 1]
    assert apply([0, 1, 2, 3, 4], edits) == [7, 8, 2, 0, 1, 3, 4, 7]


def test_many_edits_are_found_where_all_are_needed():
    """Should a sequence need more changes than are tried one by one, all differences are made."""
    target = list(range(20))
    found = fewest(
        [], lambda many: np.array([float(s != target) for s in many]), 0.5, nearest([], [target], np.ones(1))
    )
    assert found.codes == target


def test_a_long_difference_is_found_in_few_tries():
    """Hundreds of edits are one change where they are one run, and are not each left out in turn."""
    codes = [1, *[2, 3] * 300, 4]
    tried = []

    def score(many):
        tried.extend(many)
        return np.array([float(len(s) > 20) for s in many])

    found = fewest(codes, score, 0.5, nearest(codes, [[1, *[2, 3] * 9, 4]], np.ones(1)))
    assert len(found.changes) == 1
    assert len(found.edits) == 582
    assert len(tried) < 2_000


def test_what_is_not_needed_is_left_out_together():
    """Of forty differences in as many places two are needed, and that is found in a few rounds of scoring."""
    codes = [code for i in range(40) for code in (1, 100 + i)]
    other = [code for i in range(40) for code in (1, 200 + i)]
    rounds = []

    def score(many):
        rounds.append(len(many))
        return np.array([float(105 in s or 125 in s or 1 not in s) for s in many])

    found = fewest(codes, score, 0.5, nearest(codes, [other], np.ones(1)), lambda many: np.ones(len(many)))
    assert [(e.how, e.template) for e in found.edits] == [("remove", 105), ("remove", 125)]
    assert len(rounds) < 20


def test_there_may_be_no_edit():
    """Where no near sequence is below the threshold, nothing is claimed."""
    assert fewest([1, 9], lambda many: np.ones(len(many)), 0.5, nearest([1, 9], [[1]], np.ones(1))) is None


def test_the_nearest_has_the_fewest_differences_and_most_units():
    """Of equally near sequences the one that more units have comes first."""
    found = nearest([1, 2, 3], [[1, 2], [2, 3], [7, 8, 9]], np.array([1.0, 5.0, 99.0]))
    assert [n.codes for n in found] == [[2, 3], [1, 2], [7, 8, 9]]
    assert [n.edits for n in found] == [1, 1, 6]


def test_occlusion_names_what_the_score_is_made_of():
    """The score falls only without the events that make it; events that stand in for one another share."""
    assert occlude([1, 2, 9, 3], missing_two).tolist() == [0, -1, 2, -1]
    present = occlude([1, 9, 9], lambda many: np.array([float(9 in s) for s in many]))
    assert present.tolist() == [0, 0.5, 0.5]
    assert len(occlude([], missing_two)) == 0


def test_of_a_long_sequence_what_is_likely_and_rare_is_tried():
    """Few sequences are scored of a long one, and yet what is rare in it, or named beforehand, gets what it adds."""
    codes = [1, 2, 3] * 400 + [9] + [1, 2, 3] * 400
    tried = []

    def score(many):
        tried.append(len(many))
        return missing_two(many) + np.array([5.0 * (s[:7] == codes[:7]) for s in many])

    found = occlude(codes, score, [3])
    assert sum(tried) < 60
    assert found[1200] == 2.0
    assert found[3] == 5.0
    assert np.isfinite(found).all()


@given(st.lists(st.floats(-2, 30, allow_nan=False), min_size=1, max_size=9))
def test_shares_sum_to_the_largest(values):
    """Shares are not negative, sum to the largest value, and a larger value never has a smaller share."""
    found = shares(values)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(max(0.0, *values))
    order = np.argsort(values)
    assert (np.diff(found[order]) >= -1e-9).all()


def test_edits_that_are_alike_count_each():
    """Three times the same template at one place are three edits."""
    near = nearest([1], [[1, 2, 2, 2]], np.ones(1))
    found = fewest([1], lambda many: np.array([3.0 - min(3, s.count(2)) for s in many]), 0.5, near)
    assert found.edits == [Edit("add", 1, 2)] * 3
    assert found.codes == [1, 2, 2, 2]
