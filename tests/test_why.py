"""Explanations of a run: true, checked by scoring again, and readable."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from cli_cases import offbeat  # noqa: F401 - a fixture
from samples import shop_log

from offbeat import bundle
from offbeat.budget import Budget
from offbeat.cli.explaining import words
from offbeat.detection import write_run
from offbeat.errors import ModelError, OptionError
from offbeat.finding import Finding
from offbeat.pipeline import Pipeline
from offbeat.proposal.past import Past
from offbeat.questions import opened as questions_of
from offbeat.read import Lines
from offbeat.schema import TIME
from offbeat.why import Explanation, Findings
from offbeat.why.course import course

VIEWS = ["presence", "count", "lstm", "ngram", "end", "new-template", "length"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run over a shop where one order is refused, one skips a step, and two steps of one are swapped."""
    made = Pipeline(detectors=VIEWS, params={"lstm.hidden": 32}).fit(Lines(shop_log(200, odd=())))
    log = shop_log(200, odd=(41,), seed=3)
    log = [line for line in log if not ("charged card" in line and "order-1077" in line)]
    run = made.score(Lines(log))
    path = tmp_path_factory.mktemp("why") / "run"
    write_run(run, run.find(), path, made)
    return path


@pytest.fixture(scope="module")
def opened(folder):
    """It, opened to be explained."""
    return Findings.open(folder)


def about(opened, session):
    """Return the explanation of the finding about a session."""
    (name,) = [one["id"] for one in opened.found if one["session"] == session]
    return opened.explain(name)


def test_the_event_that_is_strange_adds_most(opened):
    """The refusal, never seen before, adds most to the score, and its line is named."""
    found = about(opened, "order-1041")
    most = max(found.events, key=lambda event: event["adds"])
    assert "refused" in most["template"]
    assert most["line"] in [line["line"] for line in found.finding["lines"] if line["mark"] == "worst"]
    assert sum(view["share"] for view in found.views) == pytest.approx(1, abs=1e-3)


def test_what_is_missing_is_named(opened):
    """A step that was skipped is missing, the nearest normal session has it, and adding it turns the verdict."""
    found = about(opened, "order-1077")
    assert [one["template"].startswith("charged card") for one in found.missing] == [True]
    changed = [step for step in found.nearest["steps"] if step["how"] != "keep"]
    assert [step["how"] for step in changed] == ["add"]
    (edit,) = found.counterfactual["edits"]
    assert edit["how"] == "add"
    assert "charged card" in edit["template"]


def test_every_counterfactual_is_below_the_threshold(opened):
    """What is said to be normal scores below the threshold, and the unit itself does not."""
    explained = [opened.explain(one["id"]) for one in opened.found]
    turned = [one for one in explained if one.counterfactual]
    assert turned
    for one in turned:
        assert one.counterfactual["score"] < one.threshold <= one.score


def test_where_no_fewer_edits_will_do_it_is_said(opened, folder, offbeat):  # noqa: F811 - the fixture
    """JSON has how many edits it takes at the least; where there are just so many, and several, words say so."""
    found = about(opened, "order-1041")
    turned = found.counterfactual
    assert 1 < turned["at_least"] == len(turned["edits"])
    assert "fewer will not do" in offbeat(f"explain {folder} {found.finding['id']}").out
    single = about(opened, "order-1077")
    assert single.counterfactual["at_least"] == len(single.counterfactual["edits"]) == 1
    assert "fewer will not do" not in offbeat(f"explain {folder} {single.finding['id']}").out


def test_the_network_says_what_it_expected(opened):
    """At an event that the LSTM regrets, the likeliest templates are named with falling probabilities, and a rank."""
    events = [event for one in opened.found for event in opened.explain(one["id"]).events if "expected" in event]
    assert events
    for event in events:
        chances = [choice["probability"] for choice in event["expected"]]
        assert chances == sorted(chances, reverse=True)
        assert event["rank"] is None or event["rank"] > 1


def test_an_unknown_id_is_refused(opened):
    """An id that is none, or begins several, gets one sentence with ids that are."""
    with pytest.raises(OptionError, match="is no finding"):
        opened.explain("nothing")
    with pytest.raises(OptionError, match=r"is no finding|begins several"):
        opened.explain("")


def test_a_model_is_no_run(folder, tmp_path):
    """A folder that is no run, or lacks a table, is refused with the way out."""
    with pytest.raises(ModelError, match="there is no offbeat run"):
        Findings.open(tmp_path / "nothing")


def test_explain_lists_prints_and_writes_json(folder, offbeat, opened):  # noqa: F811 - the fixture
    """Without an id the findings are listed; with one it is explained in words, or as one JSON object."""
    listed = offbeat(f"explain {folder}")
    assert listed.code == 0
    assert all(one["id"] in listed.out for one in opened.found)
    assert [json.loads(line) for line in offbeat(f"explain {folder} --json").out.splitlines()] == opened.found
    name = opened.found[0]["id"]
    said = offbeat(f"explain {folder} {name[:8]}")
    assert said.out.startswith(opened.found[0]["reason"])
    assert "scored to check" in said.out
    body = json.loads(offbeat(f"explain {folder} {name} --json").out)
    assert set(body) == {
        "finding", "score", "threshold", "views", "events", "missing", "nearest", "counterfactual", "course",
        "network",
    }  # fmt: skip
    assert offbeat(f"explain {folder} zz").code == 2


def test_a_run_cannot_steer_the_terminal(folder, offbeat, tmp_path):  # noqa: F811 - the fixture
    """What a run says of its findings is the text of a log, and the run may be anybody's: controls in it are shown."""
    values, frames, others, _ = bundle.read(folder, bundle.RUN)
    listed = [json.loads(line) for line in others["findings.jsonl"].splitlines()]
    listed[0] |= {"reason": "It is \x1b]0;taken\x07 \u202enew.", "kind": "new\x1b[2J"}
    bundle.write(tmp_path / "run", values, frames, others | {
        "findings.jsonl": b"".join(json.dumps(one).encode() + b"\n" for one in listed)
    }, what=bundle.RUN)  # fmt: skip
    for command in ("explain run", f"explain run {listed[0]['id']}"):
        said = offbeat(command)
        assert "taken" in said.out
        assert not [line for line in said.out.splitlines() if not line.isprintable()]


def test_a_run_at_hand_is_explained_as_one_that_was_written(opened, folder):
    """What is explained without writing says the same as what was written and read again."""
    made = Pipeline(detectors=["presence", "count"]).fit(Lines(shop_log(200, odd=())))
    run = made.score(Lines(shop_log(200, odd=(41,), seed=3)))
    findings = run.find()
    path = folder.parent / "again"
    write_run(run, findings, path, made)
    here, written = Findings.of(run, findings, made), Findings.open(path)
    assert findings
    for one in findings:
        assert here.explain(one.id).as_dict() == written.explain(one.id).as_dict()
        assert Finding.of(one.as_dict()) == one


def test_the_network_is_looked_into_by_either_method(opened):
    """Integrated gradients add up to the LSTM's score, occlusion says so itself; both tell the same run and states."""
    (name,) = [one["id"] for one in opened.found if one["session"] == "order-1041"]
    by = {method: opened.explain(name, method) for method in ("gradients", "captum", "occlusion")}
    network = {method: one.network for method, one in by.items()}
    assert network["gradients"]["method"] == "integrated gradients"
    total = sum(event["attributed"] for event in by["gradients"].events)
    assert total == pytest.approx(network["gradients"]["score"], rel=0.01)
    for mine, theirs in zip(by["gradients"].events, by["captum"].events, strict=True):
        assert mine["attributed"] == pytest.approx(theirs["attributed"], abs=1e-3)
    assert network["occlusion"]["method"] == "occlusion"
    assert network["occlusion"]["delta"] is None
    for same in ("score", "first", "last", "begin", "units", "hidden"):
        assert network["gradients"][same] == network["occlusion"][same]
    assert len(network["gradients"]["hidden"]) == len(by["gradients"].events)
    assert all(-1 <= x <= 1 for row in network["gradients"]["hidden"] for x in row)


def test_gradients_need_no_captum(opened, monkeypatch):
    """Where Captum is not installed gradients are worked out all the same, and Captum is refused with what to do."""
    monkeypatch.setattr("offbeat.inside.find_spec", lambda name: None)
    (name,) = [one["id"] for one in opened.found if one["session"] == "order-1041"]
    assert opened.explain(name).network["method"] == "integrated gradients"
    with pytest.raises(OptionError, match="needs torch and captum"):
        opened.explain(name, "captum")
    with pytest.raises(OptionError, match="is no method"):
        opened.explain(name, "guess")


def test_a_late_event_adds_what_its_view_gives():
    """Of a finding by timing, the event that came late adds most, though no edit of the templates changes its score."""
    log = [f"2026-03-01 08:{i // 2:02}:{30 * (i % 2) + k:02},000 INFO {step} order-{1000 + i}"
           for i in range(110) for k, step in enumerate(("got", "checked", "paid"))]  # fmt: skip
    late = [
        f"2026-03-01 09:40:{s:02},000 INFO {step} order-2000" for s, step in ((0, "got"), (29, "checked"), (30, "paid"))
    ]
    made = Pipeline(detectors=["presence", "timing"], session_by=r"order-\d+").fit(Lines(log))
    run = made.score(Lines([*log, *late])).with_budget(Budget.parse("20/1000"))
    (finding,) = (one for one in run.find() if one.kind == "latency")
    assert finding.session == "order-2000"
    events = Findings.of(run, [finding], made).explain(finding.id).events
    assert max(events, key=lambda event: event["adds"])["place"] == 1


@pytest.mark.parametrize(
    ("kind", "first", "place", "side"), [("silence", 300, 62, "below"), ("volume", 80, 60, "above")]
)
def test_a_silence_is_told_by_what_lacks(kind, first, place, side):
    """The bucket in which a silence begins may hold more than usual; it is not what the silence is told by."""
    start = datetime(2026, 1, 5, tzinfo=UTC)
    counts = np.random.default_rng(3).poisson(40, 120)
    counts[60:64] = [first, 9, 0, 8]
    series = pl.DataFrame(
        {
            "time": [start + timedelta(hours=i) for i in range(120)], "what": "source", "code": 1, "name": "shop",
            "count": counts,
        },
        schema={"time": TIME, "what": pl.String, "code": pl.UInt32, "name": pl.String, "count": pl.UInt32},
    )  # fmt: skip
    span = [(start + timedelta(hours=hours)).isoformat() for hours in (60.8, 64)]
    finding = {"kind": kind, "templates": [], "sources": ["shop"], "start": span[0], "end": span[1]}
    found = course(series, finding)
    assert found is not None
    assert found["time"] == (start + timedelta(hours=place)).isoformat().replace("+00:00", "Z")
    assert found["sentence"].endswith(f"{side}.")
    assert (found["sd"] < 0) == (side == "below")


@pytest.mark.parametrize(
    ("learned", "findings", "questions"),
    [
        ([], b"[]\n", b"a []\n"),
        ({"masked": None}, b"{}\n", b"a {}\n"),
        (1.5, b"\xff\n", b"\n"),
        (None, b"", b'a {"x": 1}\n'),
    ],
)
def test_a_folder_that_holds_something_else_is_refused(tmp_path, learned, findings, questions):
    """What is whole, named as a run, and not what this offbeat writes is refused in a sentence by all who open runs."""
    others = {"findings.jsonl": findings, "questions.jsonl": questions, "candidates.jsonl": questions}
    values = {"learned": learned, "summary": 3, "unit": 0, "threshold": "x", "trained_on": None}
    bundle.write(tmp_path / "run", values, {"units": pl.DataFrame({"a": [1]})}, others, bundle.RUN)
    for opens in (Findings.open, Past.open, questions_of):
        with pytest.raises(ModelError):
            opens(tmp_path / "run")


@pytest.mark.parametrize(
    ("kind", "said"), [("rule", "It is what a rule looks for"), ("volume", "It is about the log as a whole, not about")]
)
def test_what_has_no_unit_behind_it_is_said(kind, said):
    """A rule's finding is about what the rule asks for, a burst about the log."""
    finding = {"kind": kind, "reason": "So it is.", "expected": "otherwise"}
    assert any(line.startswith(said) for line in words(Explanation(finding), "session"))
