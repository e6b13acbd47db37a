"""Perturbed logs differ in as many lines as asked for, in the way that is said, and in nothing else."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.errors import OffbeatError
from offbeat.evaluate.perturb import PERTURBATIONS, perturb, reworded


def units(n: int = 40, length: int = 10) -> pl.DataFrame:
    """Return units whose lines can all be told apart."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "key": [f"u{i}" for i in range(n)],
            "label": [i % 7 == 0 for i in range(n)],
            "templates": [[f"step {i} {j} done" for j in range(length)] for i in range(n)],
            "values": [[float(i * length + j) for j in range(length)] for i in range(n)],
            "timestamps": [[start + timedelta(seconds=i * length + j) for j in range(length)] for i in range(n)],
        }
    )


def flat(frame: pl.DataFrame, column: str = "templates") -> list:
    """Return a column of lists end to end."""
    return frame[column].explode().to_list()


def test_so_many_lines_are_reworded():
    """A tenth of the lines gets a text that was not there, the others keep theirs, and numbers stay."""
    before, after = units(), perturb(units(), "reworded", 0.1, 3)
    changed = [a != b for a, b in zip(flat(before), flat(after), strict=True)]
    assert sum(changed) == 40
    assert not set(flat(before)) & {b for b, c in zip(flat(after), changed, strict=True) if c}
    assert after["values"].to_list() == before["values"].to_list()


def test_dropped_and_doubled_lines_change_the_count():
    """A fifth is gone, or there twice in a row, with its number and its time."""
    fewer, more = (perturb(units(), how, 0.2, 1) for how in ("dropped", "doubled"))
    assert len(flat(fewer)) == 320
    assert len(flat(more)) == len(flat(more, "values")) == len(flat(more, "timestamps")) == 480
    assert set(flat(fewer)) < set(flat(units()))
    assert sorted(set(flat(more))) == sorted(flat(units()))


def test_reordered_lines_change_places_with_their_neighbour():
    """Every unit keeps its lines, none moves by more than one place, and times stay in order."""
    before, after = units(), perturb(units(), "reordered", 0.2, 5)
    moved = np.abs(np.array(flat(after, "values")) - np.array(flat(before, "values")))
    assert set(moved) == {0.0, 1.0}
    assert 0.2 < (moved > 0).mean() <= 0.4
    assert [sorted(one) for one in after["templates"]] == [sorted(one) for one in before["templates"]]
    assert after["timestamps"].to_list() == before["timestamps"].to_list()


@pytest.mark.parametrize("how", PERTURBATIONS)
@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=8), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_no_unit_is_lost_and_lists_stay_alike(how, lengths, share, seed):
    """Whatever the units, they keep their number, key and label; no unit with lines becomes empty."""
    frame = pl.DataFrame(
        {
            "key": [str(i) for i in range(len(lengths))],
            "templates": pl.Series([[f"a {j}" for j in range(n)] for n in lengths], dtype=pl.List(pl.String)),
            "values": pl.Series([[float(j) for j in range(n)] for n in lengths], dtype=pl.List(pl.Float64)),
        }
    )
    after = perturb(frame, how, share, seed)
    assert after["key"].to_list() == frame["key"].to_list()
    sizes = after["templates"].list.len().to_list()
    assert after["values"].list.len().to_list() == sizes
    assert [size == 0 for size in sizes] == [n == 0 for n in lengths]


def test_the_same_seed_alters_the_same_lines():
    """Twice the same seed gives the same lines, another seed others."""
    one, again, other = (perturb(units(), "dropped", 0.2, seed) for seed in (1, 1, 2))
    assert one.equals(again)
    assert not one.equals(other)


def test_rewording_keeps_variable_parts_and_makes_other_ids():
    """The parts in angle brackets stay; an id becomes one that is not the same."""
    text = "Receiving block <*> src: <ip> dest: <ip>"
    new = reworded(text)
    assert new != text
    assert [w for w in new.split() if w.startswith("<")] == ["<*>", "<ip>", "<ip>"]
    assert reworded("E17") not in ("E17", "")


def test_an_unknown_alteration_is_refused():
    """The error names those there are."""
    with pytest.raises(OffbeatError, match="reworded, dropped, doubled, reordered"):
        perturb(units(2), "burnt", 0.1, 0)
