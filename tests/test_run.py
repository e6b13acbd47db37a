"""What came of scoring: findings on demand, budgets, stretches of time."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from samples import shop_log

from offbeat import Budget, Lines, Pipeline
from offbeat.decide.incidents import SEVERITIES
from offbeat.errors import OptionError
from offbeat.finding import iso

FAST = ("presence", "count")
ODD = (5, 20, 21, 60)


def odd_log() -> list[str]:
    """Return 90 sessions of which four are refused, and one of these twice over in other words."""
    log = shop_log(90, odd=ODD)
    at = next(i for i, line in enumerate(log) if "refused order-1060" in line)
    log[at] = log[at].replace("ERROR payment gateway refused", "FATAL kernel panic while paying")
    return log


@pytest.fixture(scope="module")
def pipeline():
    """A model of the small shop without anything odd."""
    return Pipeline(detectors=FAST).fit(Lines(shop_log(90, odd=())))


@pytest.fixture(scope="module")
def run(pipeline):
    """Its verdict on a log with four odd sessions."""
    return pipeline.score(Lines(odd_log()))


def flagged(run) -> list[str]:
    """Return the keys of the anomalies, in order."""
    return run.scores.filter("is_anomaly")["key"].to_list()


def test_all_odd_sessions_are_flagged(run):
    """The anomalies are exactly the odd sessions, and each is in one finding."""
    assert flagged(run) == [f"order-{1000 + n}" for n in ODD]
    found = run.find()
    assert sum(one.units for one in found) == len(ODD)
    assert run.alert_share == pytest.approx(len(ODD) / 90)


def test_alike_alarms_are_one_finding(run):
    """The three refusals close in time are one finding that says how many sessions it joins."""
    joined = next(one for one in run.find() if "refused" in one.reason)
    assert joined.units == 3
    assert "(3 sessions)" in joined.reason
    assert joined.start < joined.end
    assert [line.mark for line in joined.lines].count("worst") == 1
    assert [line.mark for line in joined.lines].count("strange") == 2


def test_the_most_severe_comes_first(run):
    """Findings are in order of severity, then of p-value; the fatal line leads."""
    found = run.find()
    assert "kernel panic" in found[0].reason
    order = [(-SEVERITIES.index(one.severity), one.p_value) for one in found]
    assert order == sorted(order)


def test_a_limit_gives_the_first(run):
    """Asked for fewer, the same first ones come."""
    everything = run.find()
    assert [one.as_dict() for one in run.find(1)] == [one.as_dict() for one in everything[:1]]
    assert run.find(0) == []


def test_ids_are_of_what_a_finding_is_about(pipeline, run):
    """Ids are distinct, and the same in another run over the same log."""
    ids = [one.id for one in run.find()]
    assert len(set(ids)) == len(ids)
    assert ids == [one.id for one in pipeline.score(Lines(odd_log())).find()]


def test_lines_are_those_of_the_file(pipeline, tmp_path):
    """Each line shown stands in the file at its number and offset, as it is, around the strange one."""
    path = tmp_path / "app.log"
    data = ("\n".join(odd_log()) + "\n").encode()
    path.write_bytes(data)
    found = pipeline.score(path).find()
    assert found
    for one in found:
        assert one.lines
        for line in one.lines:
            assert line.file == str(path)
            assert odd_log()[line.line - 1] == line.text
            assert data[line.offset :].decode().startswith(line.text + "\n")
        assert [line.line for line in one.lines] == sorted(line.line for line in one.lines)


def test_a_file_that_went_away_costs_only_its_text(pipeline, tmp_path):
    """Where the file was cut after it was scored, findings come all the same."""
    path = tmp_path / "app.log"
    path.write_text("\n".join(odd_log()) + "\n")
    run = pipeline.score(path)
    path.write_text("\n".join(odd_log()[:3]) + "\n")
    found = run.find()
    assert sum(one.units for one in found) == len(ODD)


def test_a_finding_is_plain_json(run):
    """A finding's fields are those of the contract, times in UTC with Z."""
    one = run.find()[0].as_dict()
    names = "id kind severity score p_value start end session sources templates rules reason expected lines units"
    assert set(names.split()) <= set(one)
    assert set(one["lines"][0]) == {"file", "line", "offset", "text", "mark"}
    assert one["start"].endswith("Z")
    assert datetime.fromisoformat(one["start"])
    assert {"template_id", "template"} == set(one["templates"][0])


def test_views_say_what_they_contributed(run):
    """Every anomaly is counted for one view; a finding names each view's part, the largest being its score."""
    assert sum(run.contributions().values()) == len(ODD)
    for one in run.find():
        assert set(one.views) == set(FAST)
        assert max(one.views.values()) == pytest.approx(one.score, abs=1e-3)


@pytest.mark.parametrize(("text", "allowed"), [("1/1000", 1), ("22/1000", 2), ("112/1000", 10), ("1000/1000", 90)])
def test_a_budget_flags_the_strangest(run, text, allowed):
    """As many as the budget allows are flagged, the highest scores; the run itself is left alone."""
    within = run.with_budget(Budget.parse(text))
    scores = within.scores
    assert scores["is_anomaly"].sum() == allowed
    assert scores.filter("is_anomaly")["score"].min() >= (scores.filter(~pl.col("is_anomaly"))["score"].max() or 0)
    assert sum(one.units for one in within.find()) == allowed
    assert within.threshold == scores.filter("is_anomaly")["score"].min()
    assert flagged(run) == [f"order-{1000 + n}" for n in ODD]


def test_a_budget_is_kept_among_equals(pipeline):
    """Where the units at the line are tied, the earlier are flagged, and no more than allowed."""
    run = pipeline.score(Lines(shop_log(90, odd=ODD))).with_budget(Budget(22, "1000"))
    assert flagged(run) == ["order-1005", "order-1020"]


def test_a_stretch_of_time_needs_times(run):
    """Where no unit has a time, asking for a stretch is an error rather than silence."""
    timeless = replace(run, scores=run.scores.with_columns(start=pl.lit(None, run.scores.schema["start"])))
    with pytest.raises(OptionError, match="needs times"):
        timeless.between(datetime(2026, 1, 1, tzinfo=UTC), None)


def test_a_stretch_of_time(run):
    """Only what lies in it, at least partly, stays flagged; both ends belong to it."""
    rows = run.scores.filter("is_anomaly")
    start, end = rows["start"].to_list(), rows["end"].to_list()
    assert flagged(run.between(None, None)) == rows["key"].to_list()
    assert flagged(run.between(start[1], None)) == rows["key"].to_list()[1:]
    assert flagged(run.between(None, start[0])) == rows["key"].to_list()[:1]
    assert flagged(run.between(end[0], start[1])) == rows["key"].to_list()[:2]
    assert flagged(run.between(end[3], start[0])) == []


def test_findings_are_made_of_the_strangest(pipeline, monkeypatch):
    """However many units there are, events are kept for a bounded number: the strangest, and some unlike others."""
    monkeypatch.setattr("offbeat.units.KEPT", 3)
    run = pipeline.score(Lines(odd_log()))
    assert run.kept.height == 4
    assert run.scores["is_anomaly"].sum() == 4
    strangest = np.argsort(-run.scores["score"].to_numpy(), kind="stable")[:3]
    assert set(strangest.tolist()) < set(run.kept["unit"].to_list())
    assert 3 <= sum(one.units for one in run.find()) <= 4


def test_a_new_statement_with_a_free_word_is_one_finding():
    """Each name in a statement never seen before makes a template of its own; they are told as one, and counted so."""
    names = ["alice", "bob", "carol", "dave", "erin", "frank", "grace"]
    log = shop_log(90, odd=())
    for number, name in enumerate(names):
        key = f"order-{1020 + 6 * number}"
        at = next(i for i, line in enumerate(log) if f"shipped {key} " in line)
        time = log[at][:23]
        log.insert(at + 1, f"{time} INFO parcel of {key} given to neighbour {name} at the door")
    quick = Pipeline(detectors=FAST).fit(Lines(shop_log(90, odd=())))
    run = quick.score(Lines(log))
    (one,) = run.find()
    assert (one.kind, one.units) == ("new pattern", len(names))
    assert "given to neighbour <*> at the door" in one.reason
    assert [t["template"] for t in one.templates] == ["parcel of <*> given to neighbour <*> at the door"]
    assert run.summary["new_templates"] == 1
    assert run.patterns.filter("is_new").select("count", "text").rows() == [(7, one.templates[0]["template"])]
    assert quick.score(Lines(log)).find() == [one]


def test_a_log_that_changed_is_said_once(pipeline):
    """Where most sessions are improbable, the run says drift instead of flagging them all."""
    both = [[line, line.replace("received", "screened buyer of")] for line in shop_log(300, odd=())]
    log = [line for pair in both for line in pair[: 1 + ("received" in pair[0])]]
    run = pipeline.score(Lines(log))
    assert run.drift is not None
    assert run.drift.share > 0.9
    assert run.alert_share < 0.1
    (said,) = [one for one in run.find() if one.kind == "drift"]
    assert said.units > 270
    assert "The log has changed" in said.reason
    assert "screened buyer" in said.reason
    assert said.score == pytest.approx(run.learned[said.unit], abs=1e-5)
    assert said.score >= run.decision.threshold
    assert max(said.views.values()) == pytest.approx(said.score, abs=0.1)
    assert said.id == pipeline.score(Lines(log)).find()[run.find().index(said)].id


def test_missing_events_show_where_the_session_ended(pipeline):
    """What is missing has no line; the end of its session is shown, without a mark."""
    log = [line for line in shop_log(90, odd=()) if not ("shipped" in line and "order-1033" in line)]
    (one,) = pipeline.score(Lines(log)).find()
    assert one.kind == "missing event"
    assert "shipped" in one.reason
    assert one.lines
    assert {line.mark for line in one.lines} == {None}
    assert "order-1033" in one.lines[-1].text


def test_what_lacks_its_beginning_may_have_begun_before_the_log():
    """A session under way when the log begins lacks what came before, and the reason says so."""
    steps = ("opened", "read", "read", "written", "closed")
    log = [f"job {n} {step}" for n in range(300) for step in steps[: 2 if n % 3 else 1] + steps[2:]]
    made = Pipeline(detectors=["presence", "ngram"], session_by=r"job \d+").fit(Lines(log))
    (one,) = made.score(Lines(log[1:])).find()
    assert one.kind == "missing event"
    assert "opened” is missing, as where the session began before the log did; 100 % of sessions" in one.reason


def test_sources_to_blame():
    """The source of the strange line comes first, then those that wrote most in the session."""
    wrote = ("gate", "cart", "cart", "bank")
    rows = [(f"job-{1000 + n} step of {source}", source) for n in range(60) for source in wrote]
    rows[41 * 4 + 3] = ("job-1041 broke its vault", "bank")
    frame = pl.DataFrame(rows, schema=["message", "source"], orient="row")
    (one,) = Pipeline(detectors=FAST, session_by=r"job-\d+").fit(frame).cross_score().find()
    assert one.sources == ["bank", "cart", "gate"]


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (None, None),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 120000), "2026-01-02T03:04:05.12Z"),
    ],
)
def test_times_are_iso(time, text):
    """Times end in Z and carry a fraction only where there is one."""
    assert iso(time) == text
