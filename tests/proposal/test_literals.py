"""The search for a conjunction that holds of one unit and of hardly any normal one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offbeat.proposal.literals import Corpus, Term, between, search


def corpus(units, odd=(), **numbers):
    """Return units as a corpus; those at the places ``odd`` are not normal."""
    lengths = [len(one) for one in units]
    normal = np.array([i not in odd for i in range(len(units))])
    ids = np.array([code for one in units for code in one], dtype=np.int64)
    return Corpus(ids, np.concatenate([[0], np.cumsum(lengths)]), np.ones(len(units)), normal, **numbers)


USUAL = [[0, 1, 2, 3], [0, 1, 1, 2, 3], [0, 2, 1, 3]] * 40


def first(unit, kind, template, **given):
    """Return the literals of the best conjunction for a unit beside the usual ones."""
    best, *_ = search(corpus([unit, *USUAL], odd=(0,), **given), 0, kind, template)
    assert best.false == 0
    return best.terms


def test_a_new_template_is_named():
    """A template that no normal unit holds is all that the rule needs."""
    assert first([0, 1, 9, 3], "new pattern", 9) == (Term("holds", 9),)


def test_a_missing_template_is_named():
    """A template that every other unit holds is said to be lacking."""
    assert first([0, 1, 2], "missing event", 3) == (Term("lacks", 3),)


def test_a_count_gets_a_bound_between_usual_and_seen():
    """The bound lies above what normal units have, and not above what this one has."""
    (term,) = first([0, *[1] * 20, 2, 3], "count", 1)
    assert (term.what, term.template) == ("at_least", 1)
    assert 2 < term.bound <= 20


def test_an_order_is_told_by_two_templates():
    """Where all templates are there as often as usual, their order is what remains to be said."""
    (term,) = first([3, 0, 1, 2], "order", 3)
    assert (term.what, term.template) == ("before", 3)


def test_two_literals_where_one_is_not_enough():
    """Two templates that are usual, but never together, make a rule of two literals."""
    units = [[0, 1], [0, 2]] * 50
    (best, *_) = search(corpus([[0, 1, 2], *units], odd=(0,)), 0, "mix", 1)
    assert best.false == 0
    assert len(best.terms) <= 2


def test_a_number_beyond_all_others_is_a_bound():
    """The bound of a number lies between the largest of the normal ones and the one in question."""
    units = [[0, 1]] * 50
    values = np.array([np.nan, 80.0] + [np.nan, 3.0] * 50)
    found = search(corpus([[0, 1], *units], odd=(0,), values=values), 0, "value", 1)
    (term,) = found[0].terms
    assert term.what == "value"
    assert 3 < term.bound <= 80
    assert not term.below


def test_without_times_only_single_events_are_looked_at():
    """Events without times cannot be joined, so that only what one of them shows is said."""
    found = search(corpus([[0, 1, 2], *USUAL], odd=(0,)), 0, "missing event", 3, timed=False)
    assert {term.what for one in found for term in one.terms} <= {"holds", "value"}


def test_an_empty_unit_has_no_rule():
    """A unit without events, which no rule could be about, does no harm."""
    assert isinstance(search(corpus([[], *USUAL], odd=(0,)), 0, "length", None), list)


@pytest.mark.parametrize(("low", "high", "found"), [(3, 80, 40), (0.5, 0.6, 0.55), (7, 8, 7.5), (-np.inf, 4, 4)])
def test_a_bound_has_few_figures(low, high, found):
    """A bound between two numbers is as round as there is room for."""
    assert between(low, high) == found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=2, max_size=12))
def test_every_conjunction_holds_of_the_unit_and_counts_right(units):
    """Whatever is returned holds of the unit asked about, and its false alarms are those that a plain count gives."""

    def holds(term, one):
        match term.what:
            case "holds":
                return term.template in one
            case "lacks":
                return bool(one) and term.template not in one
            case "at_least":
                return one.count(term.template) >= term.bound
            case "at_most":
                return 0 < one.count(term.template) <= term.bound
            case "before":
                return any(a == term.template and term.other in one[i + 1 :] for i, a in enumerate(one))
            case "longer":
                return len(one) >= term.bound
        return len(one) <= term.bound

    for found in search(corpus(units, odd=(0,)), 0, "mix", 1)[:40]:
        assert all(holds(term, units[0]) for term in found.terms)
        assert found.false == sum(all(holds(t, one) for t in found.terms) for one in units[1:])
