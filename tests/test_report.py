"""What is printed on a terminal cannot steer it, and reads in ten seconds."""

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import shop_log

from offbeat import Lines, Pipeline, report
from offbeat.finding import Finding, Line
from offbeat.printable import printable

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "\r\noverwritten",
    "\x00\x08\x7f",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "\u2028line\u2029paragraph",
    "\ud800",
]


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_printable_says_steers_a_terminal(text):
    """No control, surrogate, line break or bidirectional mark is left, and the length is bounded."""
    shown = printable(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not any(
        unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") for c in shown
    )
    assert len(printable(text, 10)) <= 61
    shown.encode()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_escapes(text):
    """What would steer is visible as an escape instead of being dropped."""
    assert "\\" in printable(text)


def test_plain_text_is_left_alone():
    """Words of any script and markup in brackets are text like any other; a tab is a space."""
    for text in ("plain", "Größe 中文 العربية ñ 😀", "[red]not red[/red] [link=http://x]y[/]", ":smile:", "a\\b"):
        assert printable(text) == text
    assert printable("a\tb") == "a b"
    assert printable("x" * 500, 100) == "x" * 100 + "…"


def text_of(pieces_of_lines) -> str:
    """Return the text of report lines without styles."""
    return "\n".join("".join(text for text, _ in pieces) for pieces in pieces_of_lines)


@pytest.mark.parametrize(
    ("session", "sources", "said"),
    [
        (None, ["gateway"], "gateway"),
        ("10.0.0.1", ["10.0.0.1"], "10.0.0.1"),
        ("order-7", ["cart", "order-7", "mail"], "order-7 · cart, mail"),
        ("order-7", [], "order-7"),
        (None, [], ""),
    ],
)
def test_the_header_names_what_there_is(session, sources, said):
    """A finding's header has no gap where there is no session, and says nothing twice."""
    one = Finding.of(
        dict.fromkeys(("id", "kind", "severity_reason", "reason", "expected"), "x")
        | {"severity": "low", "score": 1.0, "p_value": 0.1, "start": None, "end": None, "session": session,
           "sources": sources, "templates": [], "rules": [], "lines": [], "units": 1, "views": {}}
    )  # fmt: skip
    head = text_of(list(report.finding(one))[1:2])
    assert head == f"LOW      x  {said}"


def test_a_finding_made_of_hostile_text_is_safe():
    """Every part of a finding that comes from a log is made printable."""
    bad = "\x1b[2J\u202e[red]\n"
    time = datetime(2026, 1, 1, tzinfo=UTC)
    one = Finding(
        id="0" * 12, kind="count", severity="high", severity_reason=bad, score=1.0, p_value=0.5, start=time, end=time,
        session=bad, sources=[bad], templates=[], rules=[], reason=bad, expected=bad,
        lines=[Line(bad, 1, 0, bad, "worst"), Line(bad, 2, None, bad, None)], units=1, views={},
    )  # fmt: skip
    for pieces in report.finding(one):
        text = "".join(text for text, _ in pieces)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\n" not in text
    assert "[red]" in text_of(report.finding(one))


@pytest.fixture(scope="module")
def scored():
    """A pipeline and its run over the small shop."""
    pipeline = Pipeline(detectors=("presence", "count")).fit(Lines(shop_log()))
    return pipeline, pipeline.cross_score()


def test_the_head_says_what_was_read_learned_and_decided(scored):
    """Lines, events, time covered, units, templates, alerts with the expected share, and what each view did."""
    pipeline, run = scored
    text = text_of(report.head(run, pipeline.summary, 1, 1))
    for words in (
        "249 lines, 249 events",
        "2026-03-01T08:00:00",
        "60 sessions",
        "5 templates",
        "1 of 60 sessions (1.67%)",
        "expected, in 1 finding",
        "alerts made by presence 1",
    ):
        assert words in text


def test_the_head_says_how_many_are_hidden(scored):
    """Where not all findings are shown, the head says so."""
    pipeline, run = scored
    assert "in 7 findings, 3 shown" in text_of(report.head(run, pipeline.summary, 3, 7))


def test_a_finding_shows_its_lines_and_marks_the_strange_one(scored):
    """Severity, kind, session, the sentence, and the lines with an arrow at the strange one."""
    _, run = scored
    text = text_of(report.finding(run.find()[0]))
    assert "rare pattern" in text
    assert "order-1041" in text
    marked = [line for line in text.splitlines() if line.strip().startswith(">")]
    assert len(marked) == 1
    assert "payment gateway refused" in marked[0]


def test_calm_says_how_near_it_was(scored):
    """Without findings the strangest unit's score and the threshold are said."""
    _, run = scored
    text = report.calm(run)[0][0]
    assert "Nothing is off the beat" in text
    assert f"{run.threshold:.1f}" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"time":"2026-03-01T00:00:00Z","level":"WARN","message":"disk sda is full"}', "disk sda is full"),
        ('{"log":"started\\n","stream":"stdout"}', "started"),
        ('{"http":{"status":500}}', ""),
        ('{"message":17}', ""),
        ('2026-03-01T00:00:00Z stdout F {"level":"warn","msg":"disk sda is full"}', "disk sda is full"),
        ('{"log":"{\\"msg\\":\\"disk sda is full\\"}\\n","stream":"stdout"}', "disk sda is full"),
        ("{broken", ""),
        ('<e level="WARN"><message>disk sda is full</message></e>', "disk sda is full"),
        ('<13>{"msg":"disk sda is full"}', "disk sda is full"),
        ("<e><message>disk", ""),
        ("<b>bold</i></b>", ""),
        ("<13>Jan 29 16:42:09 web-1 sshd[17]: x", ""),
        ("a set {b} and {c}", ""),
        ("plain text", ""),
    ],
)
def test_the_message_of_a_record_is_found(text, said):
    """Of a line that is a record people want the message; any other line is shown as it is."""
    assert report.message_of(text) == said


def test_a_record_is_shown_by_its_message():
    """The message of a JSON record comes before the record, which is cut where it gets long."""
    log = [
        f'{{"time":"2026-03-01T08:{i:02}:00Z","padding":"{"x" * 200}","message":"checked order-{i}"}}'
        for i in range(60)
    ]
    log += ['{"time":"2026-03-01T09:00:00Z","padding":"' + "y" * 200 + '","message":"kernel panic"}']
    run = Pipeline(detectors=("presence",), window=3).fit(Lines(log)).cross_score()
    (one,) = run.find()
    line = next(text for text in text_of(report.finding(one)).splitlines() if "kernel panic  {" in text)
    assert line.strip().startswith("> ")
    assert '  kernel panic  {"time":"2026' in line
    assert line.endswith("…")
    assert len(line) < 220


def test_many_findings_are_counted_by_kind():
    """From ten on findings are counted by rule and kind, the most frequent first; fewer are read one by one."""
    base = dict.fromkeys(("id", "severity_reason", "reason", "expected"), "x")
    base |= {"severity": "low", "score": 1.0, "p_value": 0.1, "start": None, "end": None, "session": None}
    base |= {"sources": [], "templates": [], "lines": [], "units": 1, "views": {}}
    made = [Finding.of(base | {"kind": "rule", "rules": ["Brute force"]}) for _ in range(8)]
    made += [Finding.of(base | {"kind": "order", "rules": []}) for _ in range(2)]
    assert report.overview(made) == "Brute force 8, order 2"
    assert report.overview(made[:9]) == ""
    many = [Finding.of(base | {"kind": f"kind {i}", "rules": []}) for i in range(11)]
    assert report.overview(many).endswith("kind 7 1 and 3 more")


def test_a_part_of_training_that_stands_apart_is_said():
    """Where more stands apart than can be taken for anomalies, the report says so and what to do; asked for, not."""
    odd = [["start", f"fault {n % 6}", f"fault {(n + 1) % 6}"] for n in range(60)]
    log = [["start", "work", "end"]] * 440 + odd
    said = {}
    for threshold in (None, "knee:0.2"):
        made = Pipeline(detectors=["presence"], threshold=threshold).fit(log)
        said[threshold] = text_of(report.head(made.cross_score(), made.summary, 0, 0))
    assert "12.0% of the sessions learned from stand apart" in said[None]
    assert "knee:0.2" in said[None]
    assert "stand apart" not in said["knee:0.2"]
