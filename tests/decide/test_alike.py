"""Units are of one sort where they hold much the same, and incidents are told apart by that."""

import numpy as np
import polars as pl
import pytest

from offbeat.decide import alike
from offbeat.decide.alike import bray_curtis, unlike
from offbeat.decide.incidents import told_apart

USUAL = [1, 1, 1, 2, 3, 4, 5, 6, 7, 8]
#: The same with three lines of its own, as after another step.
FURTHER = [*USUAL, 9, 9, 10]


def sorts(units: list[list[int]]) -> np.ndarray:
    """Return the sort of each unit."""
    return alike.sorts(pl.Series(units, dtype=pl.List(pl.UInt32)))


def test_dissimilarity_by_hand():
    """The sum of what differs over the sum of all, of log counts: 0 for the same, 1 for nothing in common."""
    a = np.array([[3.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    found = bray_curtis(a, a)
    assert found == pytest.approx(np.array([[0.0, 1.0], [1.0, 0.0]]))
    more = bray_curtis(a[:1], np.array([[1.0, 0.0, 1.0]]))[0, 0]
    assert more == pytest.approx(np.log(2) / (np.log(4) + 3 * np.log(2)))
    assert unlike({"a": 3, "c": 1}, {"a": 1, "c": 1}) == pytest.approx(more)
    assert unlike({}, {}) == 0
    assert unlike({"a": 1}, {"b": 1}) == 1


def test_two_large_sorts_are_two():
    """Twelve units of one mix and twelve of another are two sorts, numbered by who comes first."""
    assert sorts([FURTHER] * 12 + [USUAL] * 12).tolist() == [0] * 12 + [1] * 12
    assert sorts([USUAL[::-1], *[FURTHER] * 12, *[USUAL] * 12]).tolist() == [0] + [1] * 12 + [0] * 12


def test_what_is_linked_is_one_sort():
    """Units that differ by little each from the next are one sort, though the first and the last differ by much."""
    chain = [[*range(30), *[99] * n] for n in range(1, 12) for _ in range(12)]
    assert set(sorts(chain).tolist()) == {0}


@pytest.mark.parametrize("n", [1, 9, 10])
def test_few_are_no_sort_of_their_own(n):
    """Less than ten units are told with those they are closest to."""
    assert len(set(sorts([USUAL] * 20 + [FURTHER] * n).tolist())) == (2 if n == 10 else 1)


def test_a_small_share_is_no_sort_of_its_own():
    """What is less than a fifth of an incident is told with the rest."""
    assert len(set(sorts([USUAL] * 100 + [FURTHER] * 20).tolist())) == 1
    assert len(set(sorts([USUAL] * 100 + [FURTHER] * 30).tolist())) == 2


def test_stragglers_go_to_the_sort_they_are_closest_to():
    """A unit like none is told with the large sort that it resembles most."""
    found = sorts([USUAL] * 12 + [FURTHER] * 12 + [[*FURTHER, 10, 11, 11, 12]])
    assert found[-1] == found[12] == 1


def test_the_order_of_lines_does_not_matter():
    """Sorts are of what is in units, not of when."""
    rng = np.random.default_rng(0)
    units = [rng.permutation(mix).tolist() for mix in [USUAL] * 12 + [FURTHER] * 12]
    assert sorts(units).tolist() == [0] * 12 + [1] * 12


def test_too_many_mixes_are_one():
    """An incident of hundreds of different mixes is diverse, and told as one."""
    units = [[*mix, *[n] * 5] for n in range(20, 170) for mix in (USUAL, [*FURTHER, *FURTHER])]
    assert set(sorts(units).tolist()) == {0}


def test_parts_say_what_tells_them_apart():
    """Each part names the template that it has, or lacks, and the others lack, or have; one part names nothing."""
    frame = pl.DataFrame({"templates": pl.Series([FURTHER] * 12 + [USUAL] * 12, dtype=pl.List(pl.UInt32))})
    first, second = told_apart(frame.with_row_index("unit"))
    assert first["unit"].to_list() == list(range(12))
    assert first.row(0, named=True)["mark"] == second.row(0, named=True)["mark"] == 9
    assert (first["marked"][0], second["marked"][0]) == (True, False)
    (whole,) = told_apart(frame.head(12))
    assert whole.columns == ["templates"]


def test_parts_may_differ_in_numbers_alone():
    """Where every unit has every template, no template is named."""
    often = [code for code in USUAL for _ in range(6)]
    frame = pl.DataFrame({"templates": pl.Series([USUAL] * 12 + [often] * 12, dtype=pl.List(pl.UInt32))})
    parts = told_apart(frame)
    assert [part.height for part in parts] == [12, 12]
    assert all(part["mark"].null_count() == 12 for part in parts)
