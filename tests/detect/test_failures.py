"""Errors that are news: new to what was learned, or written once; by template."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from samples import shop_log

from offbeat import Lines, Pipeline
from offbeat.detect.failures import FAILURES, Failures
from offbeat.learn import DEFAULT
from offbeat.rules import RuleSet

START = datetime(2026, 3, 2, 8, tzinfo=UTC)


def events(*rows):
    """Return events a second apart from (template, level), one a line."""
    frame = pl.DataFrame(rows, schema={"template": pl.UInt32, "level": pl.UInt8}, orient="row")
    at = pl.lit(START).cast(pl.Datetime("us", "UTC")) + pl.duration(seconds=pl.int_range(pl.len()))
    return frame.with_columns(
        timestamp=at,
        source=pl.lit(3, pl.UInt32),
        file=pl.lit(1, pl.UInt16),
        line=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32),
    )


def gathered(frame, cut=10**6):
    """Return the view that took up the events."""
    made = Failures()
    for part in frame.iter_slices(cut):
        made.add(part)
        made._settle()
    return made


LOG = events((1, 9), (5, 17), (2, 9), (6, 21), (7, 17), (7, 17), (1, 9), (5, 13))


def test_errors_written_once_are_told_the_most_severe_first():
    """A template with two errors is none; one that is a warning elsewhere is; with the place and time of its line."""
    alarms = gathered(LOG).alarms()
    assert alarms.schema == FAILURES
    assert alarms.select("template", "level", "events").rows() == [(6, 21, 1), (5, 17, 1)]
    assert alarms["places"].to_list() == [[(1 << 40) + 4], [(1 << 40) + 2]]
    assert alarms["start"].to_list() == alarms["end"].to_list() == [START + timedelta(seconds=s) for s in (3, 1)]


def test_errors_that_training_never_saw_are_told_however_often():
    """Beside what was learned a template counts by its code."""
    alarms = gathered(LOG).alarms(known=6)
    assert alarms.select("template", "events").rows() == [(6, 1), (7, 2)]


def test_many_kinds_of_errors_are_a_habit():
    """Where four kinds are written once, none of them is told."""
    assert gathered(events(*[(t, 17) for t in range(3)])).alarms().height == 3
    assert gathered(events(*[(t, 17) for t in range(4)])).alarms().height == 0


def test_the_cut_and_names_do_not_matter():
    """In pieces, or by other codes: the same; what becomes one template is two errors of one."""
    assert_frame_equal(gathered(LOG).alarms(), gathered(LOG, 1).alarms())
    made = gathered(LOG)
    made.rename(lambda codes: codes.replace({5: 6}))
    assert made.alarms().height == 0
    assert Failures().alarms().schema == FAILURES


@pytest.mark.parametrize("itself", [True, False])
def test_a_first_error_is_found_where_much_is_rare(itself):
    """In a small log in which each tenth order has a line of its own, the one error is told before all else."""
    views = [view for view in DEFAULT if view != "lstm"]
    words = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "karst", "levee"]

    def log(seed, error):
        lines = shop_log(120, (), seed)
        for i, word in enumerate(words[:6] if seed else words[6:]):
            key = lines[40 * i].split("order-")[1][:4]
            lines[40 * i] += f"\n{lines[40 * i][:23]} INFO {word} label printed for order-{key}"
        if error:
            lines[300] += f"\n{lines[300][:23]} ERROR cannot reach warehouse for order-1070"
        return "\n".join(lines).split("\n")

    made = Pipeline(detectors=views, session_by=r"order-\d+", rules=RuleSet())
    run = made.fit(Lines(log(0, itself)))
    run = run.cross_score() if itself else run.score(Lines(log(1, True)))
    one = run.find()[0]
    assert one.kind == ("rare pattern" if itself else "new pattern")
    assert one.severity != "low"
    assert "cannot reach warehouse" in one.reason
    assert any("cannot reach warehouse" in line.text for line in one.lines)
    assert not any("cannot reach warehouse" in f.reason for f in made.score(Lines(log(1, False))).find())
