"""What no counterfactual can do without: where a search starts, and where it may end."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offbeat.explain.cores import Needs, cores
from offbeat.explain.counterfactual import fewest
from offbeat.explain.edits import Edit, apply, differences, nearest

CODES = st.lists(st.integers(0, 4), max_size=10)


@given(CODES, CODES, st.data())
def test_cores_meet_a_need_and_do_no_more(codes, other, data):
    """With the edits of a core each template comes so much more or less often as is needed, and no other does."""
    held = Counter(codes)
    need = {
        code: data.draw(st.integers(-held[code], 3).filter(bool)) for code in data.draw(st.sets(st.integers(0, 5)))
        if held[code] or code
    }  # fmt: skip
    found = cores(codes, [need], [differences(codes, other)])
    assert bool(found) == bool(need)
    for edits in found:
        after = Counter(apply(codes, edits))
        assert {code: after[code] - held[code] for code in after | held if after[code] != held[code]} == need
        assert len(edits) == sum(map(abs, need.values()))


def test_a_core_adds_where_a_near_sequence_has_it_and_in_its_order():
    """What is added comes in the places and in the order that the near sequence has."""
    codes, other = [1, 2], [1, 3, 4, 3, 2]
    found = cores(codes, [{3: 2, 4: 1}], [differences(codes, other)])
    assert other in [apply(codes, edits) for edits in found]


def test_the_search_ends_where_no_less_will_do():
    """Where what is needed turns the verdict, nothing else is tried, and it is known to be the least."""
    tried = []

    def score(many):
        tried.extend(many)
        return np.array([float(s.count(9)) for s in many])

    codes = [1, 9, 2, 9, 3, 9]
    near = nearest(codes, [[1, 2, 3], [7, 7, 7]], np.ones(2))
    found = fewest(codes, score, 0.5, near, needs=Needs([{9: -3}], 3))
    assert found.edits == [Edit("remove", i, 9) for i in (1, 3, 5)]
    assert found.at_least == 3
    assert len(tried) < 10


def test_fewer_events_come_before_fewer_changes():
    """Two events in two places are less than one run of seven; of equally many events the fewest changes are taken."""
    codes = [1, 9, 2, 2, 2, 2, 2, 9, 3]
    score = lambda many: np.array([float(9 in s) for s in many])  # noqa: E731 - one line
    found = fewest(codes, score, 0.5, nearest(codes, [[1, 3], [1, 2, 2, 2, 2, 2, 3]], np.ones(2)))
    assert found.edits == [Edit("remove", 1, 9), Edit("remove", 7, 9)]
    score = lambda many: np.array([float(s.count(5) > 2) for s in many])  # noqa: E731 - one line
    codes = [5, 1, 5, 2, 5, 5]
    found = fewest(codes, score, 0.5, nearest(codes, [[1, 2], [5, 1, 5, 2]], np.ones(2)), needs=Needs([{5: -2}], 2))
    assert [[edit.place for edit in change] for change in found.changes] == [[4, 5]]
