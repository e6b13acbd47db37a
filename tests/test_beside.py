"""Findings of units and of volume name one another."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from offbeat import Lines, Pipeline
from offbeat.beside import in_words, with_volume
from offbeat.finding import Finding
from offbeat.schema import TIME

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """Return a time so many minutes after the start."""
    return START + timedelta(minutes=minutes)


def finding(name: str, kind: str) -> Finding:
    """Return a finding of which only its id, kind and reason matter."""
    return Finding(
        id=name, kind=kind, severity="low", severity_reason="", score=1.0, p_value=0.1, start=START, end=START,
        session=None, sources=[], templates=[], rules=[], reason=f"{name}.", expected="", lines=[], units=1, views={},
    )  # fmt: skip


def alarm(key, template, event, level, source, times):
    """Return a flagged unit as a row."""
    stamps = [at(m) for m in times]
    return {"key": key, "start": stamps[0], "end": stamps[-1], "template": template, "event": event, "level": level,
            "source": source, "timestamps": stamps}  # fmt: skip


SCHEMA = {
    "key": pl.String, "start": TIME, "end": TIME, "template": pl.UInt32, "event": pl.UInt32, "level": pl.UInt8,
    "source": pl.UInt32, "timestamps": pl.List(TIME),
}  # fmt: skip
STRETCH = {"start": at(10), "end": at(20)}


@pytest.mark.parametrize(
    ("one", "series", "lies"),
    [
        (alarm("a", 3, 1, 9, 1, [0, 12, 30]), [("template", 3)], True),
        (alarm("a", 3, 1, 9, 1, [0, 12, 30]), [("template", 4)], False),
        (alarm("a", 3, 1, 9, 1, [0, 12, 30]), [("level", 9)], True),
        (alarm("a", 3, 1, 9, 1, [0, 12, 30]), [("source", 2), ("source", 1)], True),
        (alarm("a", 3, 1, 9, 1, [0, 12, 30]), [("source", 3)], False),
        (alarm("a", 3, 1, 9, 1, [0, 12, 30]), [("all", 0)], True),
        (alarm("a", 3, 0, 9, 1, [0, 12, 30]), [("template", 3), ("all", 0)], False),  # before it
        (alarm("a", 3, 2, 9, 1, [0, 12, 20]), [("template", 3)], False),  # it ends before that
        (alarm("a", 3, None, 0, None, [0, 30]), [("template", 3)], True),  # missing: the unit's time
        (alarm("a", 3, None, 0, 1, [0, 30]), [("level", 0), ("source", 1)], False),  # missing: of no level
        (alarm("a", 3, None, 0, None, [21, 30]), [("template", 3)], False),
    ],
)
def test_a_unit_lies_in_a_stretch_of_what_is_strange_in_it(one, series, lies):
    """The time of the strange event decides, and its template, level or source."""
    row = STRETCH | {"series": [{"what": what, "code": code} for what, code in series]}
    group = pl.DataFrame([one], schema=SCHEMA)
    unit, volume = with_volume([finding("u", "order")], [group], [row], [finding("v", "volume")])
    assert [r["id"] for r in unit.related] == (["v"] if lies else [])
    assert [(r["id"], r["session"], r["units"]) for r in volume.related] == ([("u", "a", 1)] if lies else [])


def test_units_without_times_lie_nowhere():
    """Where the log has no times nothing goes on at the same time."""
    row = STRETCH | {"series": [{"what": "all", "code": 0}]}
    group = pl.DataFrame([alarm("a", 3, 1, 9, 1, [1, 2])], schema=SCHEMA).with_columns(
        start=pl.lit(None, TIME), end=pl.lit(None, TIME)
    )
    unit, _ = with_volume([finding("u", "order")], [group.drop("timestamps")], [row], [finding("v", "volume")])
    assert unit.related == []
    assert in_words(unit) == ""


@pytest.fixture(scope="module")
def found():
    """Findings of a log in which, for some minutes, sixty sessions fail, and one long before."""
    usual = [(f"s{i}", i / 4, False) for i in range(2000)]
    failing = [(f"f{100 + i}", 300 + i / 20, True) for i in range(60)] + [("lone", 60, True)]
    rows = []
    for name, minute, fails in sorted(usual + failing, key=lambda one: one[1]):
        steps = ["open request", "database refused the connection" if fails else "read row", "close request"]
        rows += [
            (minute + k / 600, f"{at(minute + k / 600):%Y-%m-%dT%H:%M:%S}Z INFO {x} session={name}")
            for k, x in enumerate(steps)
        ]
    lines = [text for _, text in sorted(rows)]
    normal = [line for line in lines if "session=f" not in line and "lone" not in line]
    pipeline = Pipeline(detectors=["presence", "count"], session_by=r"session=(\w+)").fit(Lines(normal))
    return pipeline.score(Lines(lines)).find()


def test_sessions_that_fail_in_a_burst_say_so_and_the_burst_names_them(found):
    """Both findings are there, and each names the other with how many units they share; JSON has it, too."""
    burst = next(one for one in found if one.kind == "volume" and one.related)
    (named,) = [one for one in found if one.id == burst.related[0]["id"]]
    assert "database refused" in named.reason
    assert burst.related[0]["units"] == 60
    assert burst.related[0]["session"].startswith("f")
    assert {"id": burst.id, "kind": "volume", "session": None, "units": 60, "reason": burst.reason} in named.related
    assert named.as_dict()["related"] == named.related
    assert Finding.of(named.as_dict()).related == named.related
    assert in_words(named).startswith(f"Meanwhile: {burst.reason}")
    assert in_words(burst).startswith("Flagged in it: 60 units, f")


def test_findings_of_older_runs_are_read():
    """A run written before findings named others is read as if they named none."""
    values = finding("u", "order").as_dict()
    del values["related"]
    assert Finding.of(values).related == []
