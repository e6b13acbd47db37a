"""Correlations: what each kind finds, and that neither the cut nor the order of arrival matters."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from helpers import compiled, events
from hypothesis import given, settings
from hypothesis import strategies as st

from offbeat.rules import Document, Engine, Firing

_START = 1_700_000_040  # full minutes and hours of a span begin here


def base(name: str, what: str) -> Document:
    """Return a rule called ``name`` for events whose field ``what`` is the name."""
    text = f"title: {name}\nname: {name}\nlogsource:\n    category: any\ndetection:\n    s:\n        {what}: {name}\n"
    return compiled(text + "    condition: s\n")


def correlation(body: str, name: str = "c") -> Document:
    """Return a correlation from the lines of its section."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return compiled(f"title: {name}\nname: {name}\ncorrelation:\n{lines}")


A, B, C = (base(name, "what") for name in "abc")


def at(seconds: float, what: str = "a", **more: Any) -> dict[str, Any]:
    """Return an event so many seconds after the start."""
    time = pl.Series([round((_START + seconds) * 1e6)]).cast(pl.Datetime("us"))
    return {"_time": time.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f")[0], "what": what, **more}


def run(
    documents: Sequence[Document], records: Iterable[dict[str, Any]], cuts: Sequence[int] = (), **more: Any
) -> list[Firing]:
    """Return all findings over events cut into frames at some rows."""
    frame = events(*records)
    engine = Engine(documents, gated=False, **more)
    edges = [0, *sorted(min(cut, frame.height) for cut in cuts), frame.height]
    out: list[Firing] = []
    for a, b in pairwise(edges):
        out += engine.add(engine.match(frame[a:b]))
    return sorted(out + engine.flush(), key=lambda f: (f.key, f.start or 0, str(f.group)))


def brief(firings: Iterable[Firing]) -> list[tuple[float, float, int, str]]:
    """Return start and end in seconds, the events and the group of findings."""
    return [
        ((f.start or 0) / 1e6 - _START, (f.end or 0) / 1e6 - _START, f.events, ",".join(f.group.values()))
        for f in firings
    ]


COUNT = correlation("type: event_count\nrules: [a]\ngroup-by: [u]\ntimespan: 1m\ncondition:\n  gte: 3")


def test_a_count_is_one_finding_per_group_and_stretch():
    """Three events within a minute are a finding; what goes on is the same one, a pause makes another."""
    records = [at(s, u="x") for s in (0, 10, 20, 70, 75, 80, 300, 310, 400, 410, 420)]
    records += [at(s, u="y") for s in (0, 61, 122)] + [at(5, u="x", what="b"), at(6)]
    found = run([A, COUNT], sorted(records, key=lambda r: r["_time"]))
    assert brief(found) == [(0, 80, 6, "x"), (400, 420, 3, "x")]
    assert found[0].places == [(0, line) for line in (1, 5, 6, 8, 9, 10)]


def test_the_span_is_inclusive():
    """Events exactly the span apart are within it."""
    assert len(run([A, COUNT], [at(s, u="x") for s in (0, 30, 60)])) == 1
    assert run([A, COUNT], [at(s, u="x") for s in (0, 30, 60.000001)]) == []


@pytest.mark.parametrize(
    ("condition", "counts"),
    [("gt: 2", [3, 4]), ("lt: 3", [1, 2]), ("lte: 2", [1, 2]), ("eq: 2", [2]), ("neq: 2", [1, 3, 4]),
     ("gt: 1\n  lte: 3", [2, 3]), ("gte: 2\n  lt: 3", [2])],
)  # fmt: skip
def test_bounds_and_ranges(condition: str, counts: list[int]):
    """Each comparison, and ranges of two, hold for the groups with the right number of events in a span."""
    c = correlation(f"type: event_count\nrules: [a]\ngroup-by: [u]\ntimespan: 1m\ncondition:\n  {condition}")
    records = [at(i, u=str(n)) for n in (1, 2, 3, 4) for i in range(n)]
    found = run([A, c], sorted(records, key=lambda r: r["_time"]))
    assert sorted(f.group["u"] for f in found) == [str(n) for n in counts]


VALUES = [
    ("value_count", "gte: 3", {"x": ["1", "2", "3"], "y": ["1", "1", "2"]}, ["x"]),
    ("value_sum", "gte: 100", {"x": ["60", "40"], "y": ["60", "39.9"]}, ["x"]),
    ("value_sum", "lt: 100", {"x": ["60", "40"], "y": ["60", "39.9"]}, ["y"]),
    ("value_avg", "gt: 50", {"x": ["100", "1"], "y": ["100", "0"]}, ["x"]),
    ("value_median", "gte: 5", {"x": ["1", "5", "900"], "y": ["1", "4", "900"]}, ["x"]),
    ("value_percentile", "percentile: 90\n  gt: 8", {"x": [str(i) for i in range(10)], "y": ["8"] * 10}, ["x"]),
]


@pytest.mark.parametrize(("kind", "condition", "values", "groups"), VALUES, ids=[f"{v[0]} {v[1]}" for v in VALUES])
def test_values_of_a_field(kind: str, condition: str, values: dict[str, list[str]], groups: list[str]):
    """Distinct values are counted, numbers summed, averaged and ranked, group by group; words are no numbers."""
    c = correlation(f"type: {kind}\nrules: [a]\ngroup-by: [u]\ntimespan: 1m\ncondition:\n  field: n\n  {condition}")
    records = [at(i, u=u, n=n) for u, numbers in values.items() for i, n in enumerate(numbers)]
    if kind != "value_count":
        records += [at(1, u=u, n="many") for u in values]
    found = run([A, c], sorted(records, key=lambda r: r["_time"]))
    assert [f.group["u"] for f in found] == groups


@pytest.mark.parametrize("odd", ["nan", "inf", "-inf", "1e999"])
def test_values_without_end_do_not_hide_the_others(odd: str):
    """Who writes the log cannot keep a sum from being reached by a value that makes any sum nothing or endless."""
    c = correlation("type: value_sum\nrules: [a]\ngroup-by: [u]\ntimespan: 1m\ncondition:\n  field: n\n  gt: 12")
    records = [at(0, u="x", n=odd), *(at(i, u="x", n="5") for i in range(1, 4))]
    assert [f.events for f in run([A, c], records)] == [3]


def test_values_may_hold_what_parts_them():
    """The control character that parts the values of a group may stand in a log; it is shown as its picture."""
    records = [at(i, u="x\x1fy") for i in range(5)]
    assert [f.group for f in run([A, COUNT], records)] == [{"u": "x␟y"}]


def test_several_fields_are_counted_together():
    """Values of several fields count as pairs."""
    c = correlation("type: value_count\nrules: [a]\ntimespan: 1m\ncondition:\n  field: [n, m]\n  gte: 3")
    assert len(run([A, c], [at(0, n="1", m="1"), at(1, n="1", m="2"), at(2, n="2", m="1")])) == 1
    assert run([A, c], [at(0, n="1", m="1"), at(1, n="1", m="1"), at(2, n="2", m="1")]) == []


def test_temporal_asks_for_all_rules_in_any_order():
    """All rules, or as many as the condition says, within the span and the group."""
    c = correlation("type: temporal\nrules: [a, b, c]\ngroup-by: [u]\ntimespan: 1m")
    good = [at(0, "c", u="x"), at(1, "a", u="x"), at(2, "a", u="x"), at(60, "b", u="x")]
    assert brief(run([A, B, C, c], good)) == [(0, 60, 4, "x")]
    assert run([A, B, C, c], [at(0, "a", u="x"), at(1, "b", u="y"), at(2, "c", u="x")]) == []
    assert run([A, B, C, c], [at(0, "a", u="x"), at(1, "b", u="x"), at(61, "c", u="x")]) == []
    two = correlation("type: temporal\nrules: [a, b, c]\ngroup-by: [u]\ntimespan: 1m\ncondition:\n  gte: 2")
    assert len(run([A, B, C, two], [at(0, "a", u="x"), at(1, "c", u="x")])) == 1


def test_temporal_ordered_asks_for_their_order():
    """The rules come one after the other; others may come between, and repeats."""
    c = correlation("type: temporal_ordered\nrules: [a, b, c]\ntimespan: 1m")
    assert len(run([A, B, C, c], [at(0, "a"), at(1, "c"), at(2, "b"), at(3, "a"), at(4, "c")])) == 1
    assert run([A, B, C, c], [at(0, "b"), at(1, "a"), at(2, "c"), at(3, "b")]) == []
    assert run([A, B, C, c], [at(0, "a"), at(30, "b"), at(61, "c")]) == []
    again = [at(0, "a"), at(30, "b"), at(40, "a"), at(50, "b"), at(95, "c")]
    assert brief(run([A, B, C, c], again)) == [(40, 95, 3, "")]


def test_a_single_event_is_no_order():
    """An event that two rules match is not one after the other."""
    both = base("a", "other")
    both = type(both)(**{**both.__dict__, "name": "d", "title": "d"})
    c = correlation("type: temporal_ordered\nrules: [a, d]\ntimespan: 1m")
    assert run([A, both, c], [at(0, "a", other="a")]) == []
    assert len(run([A, both, c], [at(0, "a"), at(1, "x", other="a")])) == 1


def test_conditions_over_rules():
    """A condition may join rules by and, or, not; not is judged when the span is over."""
    c = correlation("type: temporal\ntimespan: 1m\ngroup-by: [u]\ncondition: a and (b or c)")
    assert len(run([A, B, C, c], [at(0, "a", u="x"), at(5, "c", u="x")])) == 1
    assert run([A, B, C, c], [at(0, "b", u="x"), at(5, "c", u="x")]) == []
    without = correlation("type: temporal\ntimespan: 1m\ngroup-by: [u]\ncondition: a and not b")
    records = [at(0, "a", u="x"), at(1, "b", u="x"), at(2, "a", u="y"), at(100, "b", u="y")]
    assert [f.group["u"] for f in run([A, B, without], records)] == ["y"]


def test_aliases_group_by_different_fields():
    """An alias is one field in the events of one rule, and another in those of the other."""
    c = correlation(
        "type: temporal\nrules: [a, b]\ngroup-by: [ip]\ntimespan: 1m\naliases:\n  ip:\n    a: src\n    b: dst"
    )
    assert brief(run([A, B, c], [at(0, "a", src="1"), at(1, "b", dst="1", src="2")])) == [(0, 1, 2, "1")]
    assert run([A, B, c], [at(0, "a", src="1"), at(1, "b", dst="2", src="1")]) == []


def test_correlations_of_correlations():
    """Many failures followed by a success: the second looks at when the first holds, also at its end."""
    many = correlation("type: event_count\nrules: [a]\ngroup-by: [u, h]\ntimespan: 1m\ncondition:\n  gte: 3", "many")
    then = correlation("type: temporal_ordered\nrules: [many, b]\ngroup-by: [u]\ntimespan: 2m", "then")
    failures = [at(20 * i, u="x", h="1") for i in range(30)]
    found = run([A, B, many, then], [*failures, at(600, "b", u="x")])
    assert [(f.key, f.group) for f in found] == [(3, {"u": "x"})]
    assert run([A, B, many, then], [*failures[:2], at(60, "b", u="x")]) == []
    assert run([A, B, many, then], [*failures, at(600, "b", u="y")]) == []


def test_findings_of_correlations_are_counted_once_each():
    """A count of correlations counts their stretches, not how long they hold."""
    many = correlation("type: event_count\nrules: [a]\ntimespan: 1m\ncondition:\n  gte: 3", "many")
    often = correlation("type: event_count\nrules: [many]\ntimespan: 1d\ncondition:\n  gte: 2", "often")
    burst = [at(i) for i in range(20)]
    assert run([A, many, often], burst) == []
    assert len(run([A, many, often], [*burst, *(at(3600 + i) for i in range(5))])) == 1


def test_generate_lets_rules_stand_alone():
    """Rules of a correlation say nothing themselves unless it says so."""
    quiet = run([A, COUNT], [at(0, u="x")])
    loud = correlation("type: event_count\nrules: [a]\ntimespan: 1m\ngenerate: true\ncondition:\n  gte: 9")
    assert (len(quiet), len(run([A, loud], [at(0, u="x")]))) == (0, 1)


def test_a_rule_alone_makes_one_finding_of_neighbouring_events():
    """Events of one origin within the hour are one finding, those of another origin another."""
    records = [at(0, client="1.1.1.1"), at(10, client="1.1.1.1"), at(20, client="2.2.2.2"), at(7300, client="1.1.1.1")]
    assert [(f.events, *f.group.values()) for f in run([A], records)] == [
        (2, "1.1.1.1"), (1, "2.2.2.2"), (1, "1.1.1.1")
    ]  # fmt: skip


def test_silence_is_found_in_who_spoke_steadily():
    """Fewer than one event in a span: for a group that spoke in three spans running, and not after the log's end."""
    c = correlation("type: event_count\nrules: [a]\ngroup-by: [u]\ntimespan: 1m\ncondition:\n  lt: 1")
    steady = [at(60 * i, u="x") for i in (0, 1, 2, 3, 4, 9, 10, 11, 12)]
    rare = [at(60 * i, u="y") for i in (0, 5, 12)]
    found = run([A, c], sorted([*steady, *rare], key=lambda r: r["_time"]))
    assert [(f.events, f.group["u"]) for f in found] == [(0, "x")]
    assert 230 <= brief(found)[0][0] <= 300
    assert 530 <= brief(found)[0][1] <= 600
    ends = [*(at(60 * i, u="x") for i in range(5)), at(1200, "b")]
    assert [f.group["u"] for f in run([A, c], ends)] == ["x"]
    assert run([A, c], [at(60 * i, u="x") for i in range(5)]) == []


def test_events_without_group_or_time_are_counted_not_guessed():
    """Hits without the field that groups them, or without a time, are left out and counted."""
    engine = Engine([A, COUNT], gated=False)
    engine.add(engine.match(events(at(0), {"what": "a", "u": "x"}, at(1, u="x"))))
    assert engine.flush() == []
    assert (engine.left_out, engine.untimed) == (1, 1)


ALL = [
    A, B, C, COUNT,
    correlation("type: value_count\nrules: [a, b]\ngroup-by: [u]\ntimespan: 1m\ncondition:\n  field: n\n  gte: 3", "v"),
    correlation("type: value_sum\nrules: [a]\ntimespan: 2m\ncondition:\n  field: n\n  gt: 12", "s"),
    correlation("type: value_avg\nrules: [b]\ntimespan: 2m\ncondition:\n  field: n\n  gt: 2", "avg"),
    correlation("type: temporal\nrules: [a, b, c]\ngroup-by: [u]\ntimespan: 1m", "t"),
    correlation("type: temporal_ordered\nrules: [a, b]\ngroup-by: [u]\ntimespan: 1m", "o"),
    correlation("type: event_count\nrules: [c]\ngroup-by: [u]\ntimespan: 1m\ncondition:\n  lt: 1", "silent"),
    correlation("type: temporal_ordered\nrules: [o, c]\ntimespan: 2m", "chain"),
    correlation("type: event_count\nrules: [o]\ntimespan: 10m\ncondition:\n  gte: 2", "often"),
    correlation("type: temporal\ntimespan: 1m\ngroup-by: [u]\ncondition: b and not c", "without"),
]  # fmt: skip

_EVENTS = st.lists(
    st.tuples(st.integers(0, 90), st.sampled_from("abc"), st.sampled_from("xy"), st.integers(1, 5)), max_size=60
)


@settings(max_examples=20)
@given(_EVENTS, st.lists(st.integers(0, 60), max_size=6))
def test_the_cut_does_not_matter(drawn: list[tuple[int, str, str, int]], cuts: list[int]):
    """The findings are the same in one frame and in a stream cut anywhere, for every kind at once."""
    time, records = 0, []
    for pause, what, u, n in drawn:
        time += pause
        records.append(at(time, what, u=u, n=n))
    records = records or [at(0, "x", u="x", n=1)]
    whole = run(ALL, records)
    assert run(ALL, records, cuts) == whole
    assert run(ALL, records, cuts, lateness=0) == whole
    assert run(ALL, records, range(len(records)), lateness=5_000_000) == whole


@settings(max_examples=20)
@given(_EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter_in_a_log(drawn: list[tuple[int, str, str, int]], random: Any):
    """A log that has an end is put in order of time before anything is correlated."""
    records = [at(17 * i + 0.001 * pause, what, u=u, n=n) for i, (pause, what, u, n) in enumerate(drawn)]
    records = records or [at(0, "x", u="x", n=1)]
    mixed = list(records)
    random.shuffle(mixed)
    assert brief(run(ALL, mixed)) == brief(run(ALL, records))


def test_what_comes_late_counts_when_it_comes():
    """In a stream an event later than allowed counts at the time up to which all is done, and is not lost."""
    records = [at(0, u="x"), at(200, u="x"), at(210, u="x"), at(5, u="x")]
    assert run([A, COUNT], records, lateness=30_000_000)[0].events == 3
    assert run([A, COUNT], records) == []


def test_state_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """With more waiting than allowed the earlier half is worked on; what is given up is counted."""
    monkeypatch.setattr("offbeat.rules.engine.MAX_WAITING", 50)
    monkeypatch.setattr("offbeat.rules.correlate.MAX_ROWS", 5)
    records = [at(i, u="x", n=i) for i in range(200)]
    assert brief(run([A, COUNT], records)) == brief(run([A, COUNT], records, [7, 60, 61, 150])) == [(0, 199, 200, "x")]
    distinct = correlation("type: value_count\nrules: [a]\ntimespan: 1h\ncondition:\n  field: n\n  gte: 999")
    engine = Engine([A, distinct], gated=False)
    engine.add(engine.match(events(*records)))
    engine.flush()
    assert engine.evicted > 0
