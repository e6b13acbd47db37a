"""Numbers of many series are kept, or means of neighbours, and the cut of the input does not matter."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from offbeat.detect.means import Means

SCHEMA = {
    "what": pl.UInt8,
    "lane": pl.UInt32,
    "source": pl.UInt32,
    "at": pl.Int64,
    "place": pl.UInt64,
    "number": pl.Float64,
}


def numbers(n: int, series: int = 5) -> pl.DataFrame:
    """Whole numbers of some series, in the order of time."""
    random = np.random.default_rng(0)
    columns = {
        "what": random.integers(0, 2, n),
        "lane": random.integers(0, series, n) * 1000,
        "source": random.integers(0, 2**31, 3)[random.integers(0, 3, n)],
        "at": np.arange(n) * 10,
        "place": np.arange(n) + 2**40,
        "number": random.integers(0, 1000, n).astype(float),
    }
    return pl.DataFrame(columns).cast(SCHEMA)


def kept(rows: pl.DataFrame, cut: int, most: int) -> pl.DataFrame:
    """What is kept of rows that come so many at a time."""
    made = Means(most)
    for part in rows.iter_slices(cut):
        made.add(part)
    return made.frame().sort("what", "lane", "source", "at")


def test_all_numbers_are_kept_while_there_is_room():
    """As many rows as numbers, each with its series, its time and its place."""
    rows = numbers(500)
    found = kept(rows, 60, most=500)
    assert found["n"].unique().to_list() == [1]
    told = found.sort("at").select(*SCHEMA).cast(SCHEMA)
    assert_frame_equal(told, rows)


@pytest.mark.parametrize("most", [40, 100, 333])
def test_means_of_neighbours_do_not_depend_on_the_cut(most: int):
    """Added at once, or in parts of any size: the same means, no more than so many, and none is lost."""
    rows = numbers(3000)
    whole = kept(rows, 3000, most)
    assert whole.height <= most
    assert whole["n"].sum() == 3000
    assert whole["number"].sum() == rows["number"].sum()
    assert whole["n"].max() >= 8
    for cut in (1, 7, 500):
        assert_frame_equal(kept(rows, cut, most), whole)


def test_one_number_a_series_is_always_kept():
    """There may be more series than numbers asked for."""
    found = kept(numbers(2000, series=50), 100, most=10)
    assert found.height == found.select("what", "lane", "source").n_unique() > 10


def test_nothing_comes_of_nothing():
    """Without numbers there are no rows, but all columns."""
    made = Means(10)
    made.add(numbers(0))
    assert made.frame().height == 0
    assert made.frame().columns == ["what", "lane", "source", "n", "number", "at", "place"]
