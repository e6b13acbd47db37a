"""Bursts, volume and blame become findings beside those of the units."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from offbeat import Lines, Pipeline
from offbeat.finding import Finding

START = datetime(2026, 3, 1)
SMALL = {"lstm.epochs": 1, "lstm.hidden": 8}


def syslog(minutes: float, text: str) -> str:
    """One line of a syslog, so many minutes after the start."""
    return f"{START + timedelta(minutes=minutes):%b %d %H:%M:%S} host sshd[1]: {text}"


@pytest.fixture(scope="module")
def attacked():
    """Two days of logins with single failures from many addresses, and one address that fails 120 times."""
    lines = []
    for i in range(2880):
        lines.append(syslog(i, f"Accepted password for user{i % 7} from 10.0.{i % 50}.{i % 9} port {4000 + i}"))
        if i % 4 == 0:
            failed = f"Failed password for user{i % 7} from 10.1.{i % 200}.{i % 11} port {5000 + i}"
            lines.append(syslog(i, failed))
        if i == 2000:
            lines += [syslog(i, f"Failed password for root from 203.0.113.9 port {6000 + k}") for k in range(120)]
    return lines


@pytest.fixture(scope="module")
def run(attacked):
    """The log learned from and scored by itself."""
    return Pipeline(params=SMALL).fit(Lines(attacked)).cross_score()


def test_an_address_behind_a_burst_is_named_with_its_lines(run, attacked):
    """The brute force is the first finding, says who, how often and what is usual, and shows its lines."""
    first = run.find()[0]
    assert first.kind == "volume"
    assert first.session == "203.0.113.9"
    assert first.sources == ["203.0.113.9"]
    assert "120 times" in first.reason
    assert first.severity in ("medium", "high")
    assert first.lines
    for line in first.lines:
        assert "203.0.113.9" in line.text
        assert attacked[line.line - 1] == line.text


def test_a_rise_that_a_burst_explains_is_not_told_twice(run):
    """While the burst goes on, the volume of its template is no finding of its own."""
    found = run.find()
    burst = found[0]
    assert not [f for f in found[1:] if f.kind == "volume" and f.start <= burst.end and f.end >= burst.start]


def test_stretches_of_time_hold_for_bursts_too(run):
    """Before the attack there is no finding about it."""
    before = run.between(None, datetime.fromisoformat(f"{START.year}-03-01T12:00:00+00:00"))
    assert "203.0.113.9" not in [f.session for f in before.find()]


def test_a_saved_model_knows_what_was_usual(tmp_path, attacked):
    """An address that was as loud in training is no burst; another one is."""
    Pipeline(params=SMALL).fit(Lines(attacked)).save(tmp_path / "m")
    again = Pipeline.load(tmp_path / "m")
    later = [line.replace("203.0.113.9", "198.51.100.7") for line in attacked[2000:]]
    assert again.bursts is not None
    loud = again.score(Lines(later)).find()
    alone = Pipeline(params=SMALL).fit(Lines(later)).cross_score().find()
    said = [next((f.score for f in found if f.session == "198.51.100.7"), -99.0) for found in (loud, alone)]
    assert said[0] < said[1]


def test_silence_is_a_finding():
    """A source that stops writing for hours is said to be silent."""
    lines = [syslog(i / 6, f"job {i} done in {i % 9} ms") for i in range(30000) if not 5000 < i < 5400]
    found = Pipeline(params=SMALL).fit(Lines(lines)).cross_score().find()
    assert "silence" in [f.kind for f in found]


def test_a_budget_bounds_the_findings(run):
    """With room for one alarm there is one finding."""
    from offbeat.budget import Budget

    assert len(run.with_budget(Budget.parse("1/1000")).find()) <= 1


def test_failures_at_once_are_told_with_who_wrote_them():
    """Where failures are rare, six within two minutes are told with their lines, their template and their source."""
    start = datetime(2026, 3, 1, 8, tzinfo=UTC)
    rows = [
        (start + timedelta(seconds=20 * i), "INFO", ("web", "db", "cart")[i % 3], f"step {i % 4} done")
        for i in range(1500)
    ]
    rows += [(start + timedelta(hours=4, seconds=15 * i), "ERROR", "db", f"lock {i} not released") for i in range(6)]
    log = [
        json.dumps({"timestamp": time.isoformat(), "level": level, "service": who, "message": text})
        for time, level, who, text in sorted(rows)
    ]
    found = Pipeline(detectors=["presence"], window=20).fit(Lines(log)).cross_score().find()
    (one,) = [f for f in found if f.kind == "volume"]
    assert one.reason == "ERROR lines come 6 times in 2 minutes, mostly “lock <*> not released”; otherwise hardly ever."
    assert one.severity == "medium"
    assert one.sources == ["db"]
    assert [json.loads(line.text)["message"] for line in one.lines] == [f"lock {i} not released" for i in range(6)]
    assert {line.mark for line in one.lines} == {"strange"}


def test_lines_of_no_session_are_judged_by_their_numbers():
    """A heap that fills up is told by lines without a trace, with its service, its lines and what is usual."""
    start = datetime(2026, 3, 1, 8, tzinfo=UTC)
    rows = []
    for i in range(1200):
        at, trace = start + timedelta(seconds=30 * i), f"{i:032x}"
        rows += [(at, "web", f"step {k} done", {"trace": trace}) for k in range(3)]
        for n, who in enumerate(("web", "db", "cart")):
            full = who == "db" and 800 <= i <= 815
            cpu = 90 + i % 5 if full else 30 + (7 * i + n) % 13
            rows.append((at + timedelta(seconds=1 + n), who, f"health checked, {i % 9} open", {"cpu": cpu}))
    log = [
        json.dumps({"timestamp": at.isoformat(), "service": who, "message": text} | more)
        for at, who, text, more in rows
    ]
    run = Pipeline(detectors=["presence"], session_by="trace").fit(Lines(log)).cross_score()
    (one,) = [f for f in run.find() if f.kind == "shift"]
    assert one.reason.startswith(
        "“health checked, <*> open” of db is at about 92 in 16 lines within 7.5 minutes; usually"
    )
    assert one.sources == ["db"]
    assert [line.mark for line in one.lines].count("worst") == 1
    for line in one.lines:
        assert json.loads(line.text)["service"] == "db"
        assert json.loads(line.text)["cpu"] >= 90
    assert Finding.of(one.as_dict()) == one


def test_a_heartbeat_that_stops_is_a_silence():
    """Five minutes without the check of every half minute are told, with who should have written it and until when."""
    start = datetime(2026, 3, 1, 8, tzinfo=UTC)
    rows = [(start + timedelta(seconds=7 * i), "web", f"page {i % 50} shown") for i in range(2000)]
    for n, who in enumerate(("web", "db")):
        beats = [start + timedelta(seconds=30 * i + n) for i in range(460) if who != "db" or not 200 <= i <= 210]
        rows += [(at, who, "check passed") for at in beats]
    log = [json.dumps({"timestamp": at.isoformat(), "service": who, "message": text}) for at, who, text in sorted(rows)]
    found = Pipeline(detectors=["presence"], window=50).fit(Lines(log)).cross_score().find()
    (one,) = [f for f in found if f.kind == "silence"]
    assert "of db does not come for 6 minutes" in one.reason or "“db” writes nothing for 6 minutes" in one.reason
    assert "usually there is a line every 30 s or so" in one.reason
    assert one.sources == ["db"]
    assert [json.loads(line.text)["service"] for line in one.lines] == ["db", "db"]
    assert one.severity == "medium"


def test_who_is_there_all_the_time_is_of_low_severity_and_hides_no_rise():
    """A health check that asks all day is told as that, and a rise of errors is told beside it."""
    lines = [syslog(i, "Probed by 10.0.3.7") for i in range(0, 4320, 2)]
    lines += [syslog(i + 0.1, f"Probed by 10.1.{i % 200}.{i % 11}") for i in range(0, 4320, 9)]
    lines += [syslog(2900 + i / 30, f"error: no space left for job {i}") for i in range(90)]
    log = sorted(lines, key=lambda line: line[:15])
    findings = Pipeline(detectors=["presence"]).fit(Lines(log)).cross_score().find()
    probe = next(one for one in findings if one.session == "10.0.3.7")
    assert probe.severity == "low"
    assert "all through the log" in probe.reason
    assert any(one.kind == "volume" and "no space left" in one.reason for one in findings)
