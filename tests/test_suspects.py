"""Suspects: who failed first, who should have written what is missing, and who would have gone on."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from offbeat.blame import Ledger
from offbeat.finding import Finding, Line
from offbeat.suspects import Suspects
from offbeat.watch import Watch

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
NAMES = [None, "web", "cart", "stock"]
#: Of each request: source code, template and level.
USUAL = [(1, 0, 9), (2, 1, 9), (3, 2, 9), (2, 3, 9), (1, 4, 9)]
FAILED = [(1, 0, 9), (2, 1, 9), (3, 5, 17), (2, 6, 17), (1, 7, 17)]


def units(requests):
    """Return requests as units, a second apart, a line each event."""
    rows = []
    line = 1
    for n, events in enumerate(requests):
        times = [START + timedelta(seconds=n, milliseconds=10 * i) for i in range(len(events))]
        rows.append(
            {
                "unit": n,
                "key": f"r{n}",
                "start": times[0],
                "end": times[-1],
                "templates": [t for _, t, _ in events],
                "sources": [s for s, _, _ in events],
                "levels": [v for _, _, v in events],
                "timestamps": times,
                "rows": list(range(line, line + len(events))),
            }
        )
        line += len(events)
    lists = {"templates": pl.UInt32, "sources": pl.UInt32, "levels": pl.UInt8, "rows": pl.UInt64}
    time = pl.Datetime("us", "UTC")
    schema = {"unit": pl.UInt32, "start": time, "end": time, "timestamps": pl.List(time)}
    return pl.DataFrame(rows, schema_overrides=schema | {name: pl.List(kind) for name, kind in lists.items()})


def suspects(kept, windows=False):
    """Return what names the sources of findings of these units."""
    watch = Watch()
    watch.ledger.add(kept)
    return Suspects(watch, kept, NAMES, [f"line {i}" for i in range(8)], windows)


def finding(line, sources, kind="rule", session=None, mark="worst"):
    """Return a finding about one line."""
    return Finding(
        "id", kind, "low", "", 1.0, 0.1, START, START, session, sources, [], [], "", "",
        [Line("app.log", line, None, "", mark)], 1, {},
    )  # fmt: skip


def named(made, one):
    """Return the sources that a finding names in the end."""
    return made.with_first_failure([one], ["app.log"])[0].sources


def test_who_failed_first_is_named_first():
    """An error that the gateway passes on is that of the source that failed before it; the gateway stays named."""
    made = suspects(units([USUAL, FAILED, USUAL]))
    assert named(made, finding(10, ["web"])) == ["stock", "web"]
    assert named(made, finding(8, ["stock"])) == ["stock"]


@pytest.mark.parametrize(
    ("line", "given"),
    [(5, {}), (7, {}), (99, {}), (10, {"kind": "shift"}), (10, {"kind": "silence"}), (10, {"session": "web"})],
    ids=["no failure there", "before it", "no such line", "shift", "silence", "a burst's own"],
)
def test_others_name_their_sources_as_before(line, given):
    """Lines of sessions without a failure, or before it, and findings that are about one source, stay as they are."""
    made = suspects(units([USUAL, FAILED, USUAL]))
    assert named(made, finding(line, ["web"], **given)) == ["web"]


def test_in_windows_nobody_failed_because_another_did():
    """Windows hold what happens to be written at one time; a failure in them says nothing of the others."""
    assert named(suspects(units([USUAL, FAILED]), windows=True), finding(10, ["web"])) == ["web"]
    without = units([USUAL, FAILED]).drop("levels")
    assert named(suspects(without), finding(10, ["web"])) == ["web"]


def alarms(kept, **evidence):
    """Return the last of some units as an alarm."""
    row = {"source": None, "event": None, "template": None, "kind": "missing event", **evidence}
    kinds = {"source": pl.UInt32, "event": pl.UInt32, "template": pl.UInt32}
    return kept.tail(1).with_columns(pl.lit(value, kinds.get(name)).alias(name) for name, value in row.items())


def test_a_missing_line_is_its_usual_writers():
    """Where stock's line is missing stock comes first, though it wrote nothing in that session."""
    kept = units([USUAL] * 20 + [[e for e in USUAL if e[0] != 3]])
    found = suspects(kept).of_units(alarms(kept, template=2), ranked_too=False)
    assert found == ["stock", "web", "cart"]


def test_where_a_session_ends_early_who_goes_on_is_named():
    """After cart's first line stock goes on as a rule; where nobody does stock comes first."""
    kept = units([USUAL] * 20 + [USUAL[:2]])
    found = suspects(kept).of_units(alarms(kept, kind="end", template=1, event=1, source=2), ranked_too=False)
    assert found[0] == "stock"
    assert suspects(kept).watch.ledger.followers[1] == (2, 3)


def test_an_empty_ledger_knows_nobody():
    """Nothing taken up: no writers, nobody who follows."""
    assert Ledger().writers == {}
    assert Ledger().followers == {}


@pytest.mark.parametrize(("slow", "first"), [(3, "stock"), (None, "web")], ids=["stock is late", "nobody is"])
def test_who_is_waited_for_comes_before_who_answers_late(slow, first):
    """Web's numbers are off while its requests wait for stock, as the times between events show; else web is named."""
    requests = units([USUAL] * 3000)
    since, until = START + timedelta(minutes=25), START + timedelta(minutes=28)
    inside = pl.col("start").is_between(since, until)
    jitter = pl.Series(range(3000)) % 7
    late = pl.when(inside & pl.lit(slow is not None)).then(pl.duration(milliseconds=400)).otherwise(pl.duration())
    moved = requests.with_columns(late=late, jitter=jitter).with_columns(
        timestamps=pl.concat_list(
            pl.col("timestamps").list.get(i)
            + pl.duration(milliseconds=pl.col("jitter") * i)
            + (pl.col("late") if i >= 2 else pl.duration())
            for i in range(5)
        )
    )
    row = {"start": since, "end": until, "sources": [1]}
    made = suspects(moved.drop("late", "jitter"))
    assert made.of_shift(row, ranked_too=True)[0] == first
    assert made.of_shift(row, ranked_too=False) == ["web"]
