"""What a model keeps of what it learned from: a bounded sample that still weighs as much."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from samples import frame

from offbeat.detect import Ragged
from offbeat.errors import OptionError
from offbeat.memory import Memory, ages, kept, sample, spread_of


def units(lists: list[list[int]], weight: list[float] | None = None) -> pl.DataFrame:
    """Return units as a memory keeps them, one a minute."""
    made = frame(lists, weight).with_row_index("i")
    start = pl.datetime(2026, 3, 1, time_zone="UTC") + pl.duration(minutes="i")
    return kept(made.with_columns(start=start, end=start, open_at_end=pl.lit(False)))


def masses(of: pl.DataFrame) -> dict[tuple[int, ...], float]:
    """Return the weight of each distinct sequence."""
    rows = of.group_by("templates").agg(pl.col("weight").sum()).iter_rows()
    return {tuple(templates): weight for templates, weight in rows}


def test_the_weight_of_each_sequence_is_kept():
    """Common sequences keep several of their units, and every sequence the weight of all."""
    all_units = units([[1, 2]] * 500 + [[3]] * 40 + [[4, 4, 4]])
    small = sample(all_units, most=60)
    assert small.height <= 60
    assert masses(small) == pytest.approx(masses(all_units))
    assert sum(t == [1, 2] for t in small["templates"].to_list()) > 20


def test_units_kept_of_a_sequence_are_spread_over_time():
    """Of what recurs all day the whole day is kept, not its first hour."""
    small = sample(units([[1, 2]] * 1000), most=10)
    gaps = small["start"].diff().drop_nulls().dt.total_minutes()
    assert gaps.min() >= 90
    assert gaps.max() <= 110


def test_with_too_many_kinds_a_random_part_stands_for_the_rare():
    """Where each unit is unlike all others the sample is as large as allowed and weighs as much as all."""
    all_units = units([[1]] * 50 + [[2, i] for i in range(300)])
    small = sample(all_units, most=40)
    assert small.height <= 40
    assert small["weight"].sum() == pytest.approx(350)
    assert masses(small)[1,] == pytest.approx(50)


def test_events_are_bounded_too():
    """Long units count by their length, and one that is longer than all there is room for is left out."""
    small = sample(units([[1] * 30] * 20 + [[2] * 500] + [[3]] * 10), most=1000, events=100)
    assert small["templates"].list.len().sum() <= 100
    assert 2 not in small["templates"].explode().to_list()


def test_the_sample_does_not_depend_on_the_order():
    """Equal units give an equal sample: models are compared byte by byte."""
    all_units = units([[i % 7, i % 3] for i in range(400)])
    assert_frame_equal(sample(all_units, most=50), sample(all_units.reverse(), most=50))


def test_sampling_again_and_again_keeps_the_weight():
    """A model that is updated every day loses nothing over the years but variety."""
    rng = np.random.default_rng(0)
    held = units([[0]])
    for _ in range(20):
        more = units([[int(code)] * 2 for code in rng.integers(0, 5, 100)])
        held = sample(pl.concat([held, more]), most=50)
    assert held["weight"].sum() == pytest.approx(2001)
    assert len(Ragged.of(held).distinct[0]) == 6


def test_keys_are_not_kept():
    """A session's key may be a person's name: it is no part of a model."""
    made = units([[1]]).with_columns(key=pl.lit("alice"), rows=pl.lit([1]))
    assert not {"key", "rows"} & set(kept(made).columns)


def test_numbers_are_spread_over_about_ten_parts():
    """Each template with enough numbers is cut so that each part holds a like share of them."""
    one = units([[5]] * 200).with_columns(values=pl.Series([[float(i)] for i in range(200)]))
    found = spread_of(one)
    assert found["template"].unique().to_list() == [5]
    assert found["low"][0] == -np.inf
    assert found["share"].to_numpy() == pytest.approx(np.full(10, 0.1), abs=0.01)
    assert spread_of(one.head(20)).height == 0


def test_lines_that_changed_twice_have_their_first_name():
    """A line that is worded anew in each release stays one line, and a circle does not hang."""
    lineage = pl.DataFrame({"new": ["b", "c", "x", "y"], "old": ["a", "b", "y", "x"]})
    memory = Memory(units([[1]]), lineage=lineage)
    codes = {"a": 0, "b": 1, "c": 2, "x": 3, "y": 4}
    assert memory.aliases(codes) | {1: 0, 2: 0} == memory.aliases(codes)


@pytest.mark.parametrize(("text", "days"), [("14d", 14.0), ("12h", 0.5), ("never", None)])
def test_ages_are_read(text, days):
    """Ages are written like windows of time."""
    assert ages(text, "--ttl") == (None if days is None else timedelta(days=days))


@pytest.mark.parametrize("text", ["14", "soon", "-3d", ""])
def test_what_is_no_age_is_refused(text):
    """A bare number could be days or lines, so it is refused, and the option named."""
    with pytest.raises(OptionError, match="--ttl"):
        ages(text, "--ttl")
