"""compare: a steady log has next to nothing to tell, what was injected is told first, and the numbers are right."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cli_cases import offbeat  # noqa: F401 - a fixture

from offbeat import courses
from offbeat.compare import compare
from offbeat.courses import Family, edges
from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.rates import Windows, compare_rates, false_discovery, student_p
from offbeat.read import Lines, open_logs

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
_WORDS = (
    "alpha bravo carol delta echo fox golf hotel india jolly kilo lima mike nova oscar papa quip romeo sierra tango"
)


def log(n: int = 4_000, seed: int = 0, errors: float = 0.01, start: int = 0, gone: bool = False) -> list[str]:
    """JSON lines of 40 kinds of events, four hosts and two states, in bursts of up to ten, at the same rates always."""
    rng = random.Random(seed)
    kinds = [f"{a} {b} done" for a in _WORDS.split() for b in ("read", "write")]
    weights = [1 / (1 + i) for i in range(len(kinds))]
    out: list[str] = []
    while len(out) < n:
        kind, host = rng.choices(kinds, weights)[0], f"node-{rng.choice('abcd')}"
        if gone and kind.startswith("alpha"):
            continue
        for _ in range(rng.choice((1, 1, 1, 2, 10))):
            failed = rng.random() < errors
            fields = {
                "timestamp": (START + timedelta(seconds=start + len(out))).isoformat(),
                "level": "ERROR" if failed else "INFO",
                "host": host,
                "status": 500 if failed else 200,
                "took": rng.randrange(1, 100_000),
                "message": "request failed at the backend" if failed else kind,
            }
            out.append(json.dumps(fields))
    return out[:n]


def both(before: list[str], after: list[str]):
    """Compare two lists of lines."""
    return compare(open_logs(Lines(before)), open_logs(Lines(after)))


def test_halves_of_a_steady_log_do_not_differ():
    """Over twelve pairs of halves, of some 500 things tested hardly one is told, though lines come in bursts."""
    told = tested = runs = 0
    for seed in range(12):
        lines = log(3_000, seed)
        found = both(lines[:1_500], lines[1_500:])
        told += len(found.changes)
        tested += found.tested
        runs += bool(found.changes)
    assert tested > 300
    assert told <= 2
    assert runs <= 2


def test_rates_of_bursty_counts_hold_their_level():
    """Of rates that are the same the share called different is at most the level, however much they spread."""
    rng = np.random.default_rng(0)
    for spread in (0.01, 1.0, 4.0):
        mean = rng.gamma(1.0, 3.0, size=(2_000, 1))
        a, b = (rng.poisson(mean * rng.gamma(1 / spread, spread, size=(2_000, 20))).astype(float) for _ in range(2))
        some = a.sum(axis=1) + b.sum(axis=1) >= 10
        found = compare_rates(Windows(a[some], np.ones(20)), Windows(b[some], np.ones(20)))
        assert (found.p_value < 0.05).mean() < 0.06
        assert (found.p_value < 0.001).mean() < 0.003
        assert (found.q_value < 0.05).sum() <= 1
        inside = (found.low <= 1) & (found.high >= 1)
        assert inside.mean() > 0.92


def test_one_stretch_is_judged_by_how_stretches_differ():
    """Where a week's hours differ threefold, an hour that does so too is nothing; without that it would be."""
    rng = np.random.default_rng(1)
    week = rng.poisson(rng.choice([5.0, 15.0], size=(159, 1)), size=(159, 200)).astype(float)
    hour = Windows(rng.poisson(15.0, size=(1, 200)).astype(float), np.ones(200))
    narrow = Windows(week.reshape(1, -1), np.ones(week.size))
    blocks = Windows(week.reshape(1, -1), np.ones(week.size), week.sum(axis=1)[None], np.full(159, 200.0))
    assert compare_rates(narrow, hour).p_value[0] < 0.01
    assert compare_rates(blocks, hour).p_value[0] > 0.05


@pytest.mark.parametrize("n", [1_500, 4_000])
def test_an_injected_change_comes_first(n):
    """Failures that become ten times as frequent are told first, once, with their level and status, and an example."""
    found = both(log(n, 1), log(n, 2, errors=0.1, start=n))
    first = found.changes[0]
    assert (first.change, first.kind, first.value) == ("more", "template", "request failed at the backend")
    assert set(first.also) == {"level=ERROR", "status=500"}
    assert first.count_after == pytest.approx(0.1 * n, rel=0.3)
    assert first.ratio_low < 10 < first.ratio_high
    assert first.share_after == first.count_after / n
    assert json.loads(first.example)["message"] == first.value
    assert "times as frequent" in first.sentence
    assert len(found.changes) <= 3


def test_new_and_gone_are_told():
    """What is there on one side only is said to be new, or gone, with how often it was there."""
    found = {c.value: c for c in both(log(3_000, 3, errors=0), log(3_000, 4, errors=0.02, gone=True)).changes}
    assert found["request failed at the backend"].change == "new"
    assert found["request failed at the backend"].ratio is None
    gone = found["alpha read done"]
    assert (gone.change, gone.count_after, gone.ratio) == ("gone", 0, 0.0)
    assert "is gone: none now" in gone.sentence


def test_a_storm_does_not_make_everything_else_rarer():
    """Where one template fills half of the log, only that is told; the others kept their proportions."""
    calm = log(2_000, 5)
    storm = [line for pair in zip(log(2_000, 6), log(2_000, 7, errors=1.0), strict=True) for line in pair]
    found = both(calm, storm)
    assert found.changes[0].value == "request failed at the backend"
    assert {c.kind for c in found.changes} <= {"template", "field", "level"}
    assert [c for c in found.changes if c.kind == "template"] == found.changes[:1]


def test_a_burst_is_told_apart_from_a_changed_rate():
    """Forty failures within a minute are no changed rate, but they are told, after what is."""
    after = log(2_000, 9, errors=0.0, start=2_000)
    after[1_000:1_040] = [line.replace("INFO", "ERROR") for line in log(40, 10, errors=1.0, start=3_000)]
    found = both(log(2_000, 8, errors=0.001), after)
    burst = next(c for c in found.changes if c.value == "request failed at the backend")
    assert burst.change == "burst"
    assert burst.most_after == 40
    assert "in a burst: 40 of 40 lines" in burst.sentence
    assert replace(burst, most_before=7).sentence.endswith("before, at most 7 at a time.")
    assert replace(burst, most_before=0).sentence.endswith("before, none.")


def test_two_ranges_of_one_log_are_compared():
    """Ranges give what two files of the same lines give; other lines are counted."""
    lines = log(2_000, 11) + log(1_000, 12, errors=0.2, start=2_000) + log(500, 13, start=3_000)
    at = [START + timedelta(seconds=s) for s in (0, 2_000, 3_000)]
    one = compare(open_logs(Lines(lines)), ranges=((at[0], at[1]), (at[1], at[2])))
    two = both(lines[:2_000], lines[2_000:3_000])
    assert [c.sentence for c in one.changes] == [c.sentence for c in two.changes]
    assert one.changes[0].count_after == two.changes[0].count_after > 100
    assert (one.lines, one.outside) == ((2_000, 1_000), 500)


def test_the_result_does_not_depend_on_how_lines_are_cut(monkeypatch):
    """However often what waits is added up, and whether or not buckets widened, the same is told."""
    whole = both(log(2_000, 14), log(2_000, 15, errors=0.1))
    monkeypatch.setattr(courses, "_PENDING", 10)
    cut = both(log(2_000, 14), log(2_000, 15, errors=0.1))
    assert [c.as_dict() for c in cut.changes] == [c.as_dict() for c in whole.changes]


def test_counts_of_families_are_exact_and_bounded():
    """Buckets widen rather than grow in number, no line is lost, and a field of too many values is given up."""
    import polars as pl

    family, ids = Family(), Family()
    for part in range(10):
        at = pl.Series(np.arange(part * 1_000, (part + 1) * 1_000) * 977, dtype=pl.Int64)
        place = pl.Series(np.arange(1_000), dtype=pl.UInt64)
        family.add(0, at, pl.Series([None, "a", "b", "b"] * 250), place)
        ids.add(0, at, pl.Series([f"id-{part}-{i}" for i in range(1_000)]), place)
    cells = family.cells(0)
    assert cells["at"].n_unique() <= 2_048
    assert dict(cells.group_by("code").agg(pl.col("count").sum()).iter_rows()) == {0: 2_500, 1: 5_000}
    assert ids.full
    assert ids.cells(0).is_empty()


def test_windows_hold_lines_even_with_a_stray_time():
    """A line of another decade does not leave all windows but two empty."""
    at = np.array([0, *range(10**9, 10**9 + 100)])
    bounds = edges(at, np.ones(101, dtype=np.int64), 20)
    assert (np.histogram(at, bounds)[0] > 0).all()
    assert len(edges(np.arange(100), np.ones(100, dtype=np.int64), 20)) == 21


def test_tail_probabilities_are_those_of_the_books():
    """Student's t agrees with tables, q-values with Benjamini and Hochberg's example of steps."""
    assert student_p(np.array([2.228, 3.169]), np.array([10.0, 10.0])) == pytest.approx([0.05, 0.01], rel=0.02)
    assert false_discovery(np.array([0.04, 0.01, 0.5])) == pytest.approx([0.06, 0.03, 0.5])


def test_without_times_the_order_stands_in():
    """A log without any time is compared in windows of lines."""
    before = [f"step {i} of {'ab'[i % 2]}" for i in range(600)]
    after = [f"step {i} of {'ab'[i % 2]}" if i % 5 else "the disk is full" for i in range(600)]
    found = both(before, after)
    assert found.spans == (None, None)
    assert (found.changes[0].value, found.changes[0].change) == ("the disk is full", "new")


@pytest.mark.parametrize(("spread", "told"), [(0, []), (3, ["disk has failed here"])])
def test_times_that_are_all_the_same(spread, told):
    """Lines of a few microseconds are compared as others are; those of one moment have no windows to judge rates by."""

    def dump(failed: int) -> Lines:
        words = ["all is well here"] * (400 - failed) + ["disk has failed here"] * failed
        times = [(START + timedelta(microseconds=i % (spread + 1))).isoformat() for i in range(400)]
        return Lines([json.dumps({"timestamp": t, "message": w}) for t, w in zip(times, words, strict=True)])

    assert not compare(open_logs(dump(8)), open_logs(dump(8))).changes
    changed = compare(open_logs(dump(8)), open_logs(dump(200))).changes
    assert [change.value for change in changed if change.kind == "template"] == told


def test_command_tells_and_writes_json(offbeat, tmp_path):  # noqa: F811 - the fixture
    """The table, the sentences and the JSON lines name the change; halves of one log give no line."""
    for name, lines in (("a", log(1_500, 1)), ("b", log(1_500, 2, errors=0.2)), ("c", log(1_500, 3))):
        (tmp_path / f"{name}.log").write_text("\n".join(lines) + "\n")
    shown = offbeat("compare a.log b.log").out
    assert "request failed at the backend  (also " in shown
    assert "b.log:" in shown
    rows = [json.loads(line) for line in offbeat("compare a.log b.log --json").out.splitlines()]
    assert rows[0]["value"] == "request failed at the backend"
    assert rows[0]["sentence"] in shown
    assert rows[0]["example"]["file"] == "b.log"
    assert offbeat("compare a.log c.log --json").out == ""
    assert "nothing among" in offbeat("compare a.log c.log").out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("compare a.log", "not two sides"),
        ("compare a.log a.log --before 2026-01-01/2026-01-02", "are for one log"),
        ("compare a.log --before 2026-01-01/2026-01-02", "--after: is needed"),
        ("compare a.log --before 2026-01-01 --after 2026-01-01/2026-01-02", "no stretch of time"),
        ("compare a.log --before 2026-01-02/2026-01-01 --after 2026-01-01/2026-01-02", "ends before it begins"),
        ("compare a.log --before 2026-01-01/2026-01-02 --after 2026-01-01/2026-01-02", "0 lines are too few"),
    ],
)
def test_mistakes_are_said(offbeat, tmp_path, command, words):  # noqa: F811 - the fixture
    """Each mistake is one sentence that says where, and the exit code is 2."""
    (tmp_path / "a.log").write_text("\n".join(log(100)) + "\n")
    done = offbeat(command)
    assert done.code == 2
    assert words in done.err


def test_sides_are_checked():
    """Python users are told, too."""
    with pytest.raises(OptionError, match="not two sides"):
        compare(open_logs(Lines(log(50))))
    with pytest.raises(NotEnoughDataError, match="8 lines are too few"):
        both(log(50), log(8))


def test_measured_numbers_are_no_kinds():
    """A status is a name, a load is a measure: of the latter no single value is told, and the field is named."""
    rng = random.Random(1)

    def lines(low: int) -> list[str]:
        rows = (
            {"message": "checked", "status": rng.choice((200, 404)), "cpu": rng.randrange(low, low + 40)}
            for _ in range(800)
        )
        return [json.dumps(row) for row in rows]

    found = both(lines(10), lines(30))
    assert found.changes == []
    assert "cpu" in found.left_out
    assert "status" not in found.left_out
