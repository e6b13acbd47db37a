"""The nearest normal sequence, and the fewest edits that turn a verdict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.explain.counterfactual import fewest
from offbeat.explain.edits import Edit, apply, differences, nearest, occlude, shares, steps

CODES = st.lists(st.integers(0, 4), max_size=12)


@given(CODES, CODES)
def test_differences_lead_from_one_sequence_to_the_other(one, other):
    """Making all the differences gives the other sequence; the steps hold both."""
    assert apply(one, differences(one, other)) == other
    found = steps(one, other)
    assert [c for how, c in found if how != "add"] == one
    assert [c for how, c in found if how != "remove"] == other


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


def test_many_edits_are_found_where_all_are_needed():
    """Should a sequence need more changes than are tried one by one, all differences are made."""
    target = list(range(20))
    found = fewest(
        [], lambda many: np.array([float(s != target) for s in many]), 0.5, nearest([], [target], np.ones(1))
    )
    assert found.codes == target


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
