"""What a release added is said once and left out, so that what goes wrong besides is found as ever."""

import numpy as np
import polars as pl
import pytest
from samples import shop_log

from offbeat.additions import Additions
from offbeat.detection import write_run
from offbeat.pipeline import Pipeline
from offbeat.read import Lines
from offbeat.why import Findings

VIEWS = ["presence", "count", "ngram", "end", "new-template", "timing", "length"]
SESSIONS = 300
#: Orders that go wrong in the later log: one is refused, one skips a step, one takes a step five times.
REFUSED, SKIPS, REPEATS = "order-1041", "order-1077", "order-1150"


def later(share=0.0, level="INFO", between=(0, SESSIONS)):
    """Return the later log: three orders go wrong, and a share of those between two takes a step that is new."""
    rng = np.random.default_rng(1)
    chosen = {f"order-{1000 + i}" for i in range(*between) if rng.random() < share} | (
        {REFUSED, SKIPS} if share else set()
    )
    out = []
    for line in shop_log(SESSIONS, odd=(41,), seed=3):
        order = next(word.strip(":") for word in line.split() if word.startswith("order-"))
        if order == SKIPS and "charged card" in line:
            continue
        out += [line] * (5 if order == REPEATS and "checked" in line else 1)
        if "received" in line and order in chosen:
            out.append(f"{line[:23]} {level} screened buyer of {order} in {rng.integers(900)} ms")
    return out


@pytest.fixture(scope="module")
def model():
    """What was learned of orders that went well."""
    return Pipeline(detectors=VIEWS).fit(Lines(shop_log(600, odd=())))


@pytest.fixture(scope="module")
def plain(model):
    """The later log without the new step."""
    return model.score(Lines(later()))


def flagged(run):
    """Return the sessions that are anomalies."""
    return set(run.scores.filter("is_anomaly")["key"])


def test_without_the_step_there_is_no_change(plain):
    """The later log, but for the three that go wrong, is as what was learned."""
    assert plain.drift is None
    assert plain.aside is None
    assert {REFUSED, SKIPS, REPEATS} <= flagged(plain)


@pytest.mark.parametrize("share", [0.12, 0.4, 1.0])
def test_what_goes_wrong_besides_is_found_as_ever(model, plain, share):
    """With the step the same sessions are flagged for the same reasons, and one finding more tells of the step."""
    run = model.score(Lines(later(share)))
    assert run.drift is not None
    assert flagged(run) == flagged(plain)
    found, before = run.find(), plain.find()
    (said,) = [one for one in found if one not in before and one.kind == "drift"]
    assert "screened buyer" in said.reason
    assert said.units == pytest.approx(share * SESSIONS, abs=0.08 * SESSIONS)
    assert sum("screened" in t["template"] for one in found for t in one.templates) == 1
    reasons = {one.session: one.reason for one in before if one.session}
    assert {one.session: one.reason for one in found if one.session and one is not said} == reasons


def test_two_steps_are_said_in_one_finding(model, plain):
    """Of several steps that were added, each in many sessions, all are named; nothing else changes."""
    log, more = later(0.3), set(range(1, SESSIONS, 3))
    for number in sorted(more, reverse=True):
        at = next(i for i, line in enumerate(log) if f"checked stock for order-{1000 + number} " in line)
        log.insert(at + 1, f"{log[at][:23]} INFO wrapped order-{1000 + number} as a gift")
    run = model.score(Lines(log))
    assert flagged(run) == flagged(plain)
    (said,) = [one for one in run.find() if one.kind == "drift"]
    assert "screened buyer" in said.reason
    assert "as a gift" in said.reason
    assert len(said.templates) == 2


def test_a_session_is_shown_with_its_own_lines(model):
    """Of a session with the step and a fault the line of the fault is marked, where it stands in the log."""
    log = later(1.0)
    (one,) = [f for f in model.score(Lines(log)).find() if f.session == REFUSED]
    (worst,) = [line for line in one.lines if line.mark == "worst"]
    assert "refused" in worst.text
    assert log[worst.line - 1] == worst.text


def test_what_comes_and_goes_is_no_release(model):
    """A new line in the sessions of some hours, and then no more, is an incident: nothing is left out."""
    run = model.score(Lines(later(0.9, between=(80, 180))))
    assert run.drift is not None
    assert run.aside is None


def test_a_warning_is_no_release(model):
    """A line that warns is not left out, however long it goes on."""
    run = model.score(Lines(later(0.5, level="WARN")))
    assert run.drift is not None
    assert run.aside is None


def test_scores_never_exceed_what_was_learned(model):
    """To leave something out can only excuse, and a score is what its views make of it."""
    run = model.score(Lines(later(0.4)))
    assert (run.scores["score"].to_numpy() <= run.learned.to_numpy() + 1e-9).all()
    made = run.decision(run.raw(run.scores))
    assert made == pytest.approx(run.scores["score"].to_numpy(), abs=0.2)
    assert ((made >= run.decision.threshold) == run.scores["is_anomaly"].to_numpy()).all()


def test_explanations_are_of_what_was_judged(model, tmp_path):
    """A fault in a session with the step is explained by the fault, and the edit that would help is checked."""
    run = model.score(Lines(later(1.0)))
    found = run.find()
    write_run(run, found, tmp_path / "run", model)
    opened = Findings.open(tmp_path / "run")
    (name,) = [one.id for one in found if one.session == SKIPS]
    told = opened.explain(name)
    assert [one["template"].split()[0] for one in told.missing] == ["charged"]
    assert told.counterfactual["score"] < told.threshold <= told.score
    assert {"add", "charged"} <= {
        word for edit in told.counterfactual["edits"] for word in (edit["how"], edit["template"][:7])
    }
    (drift,) = [one.id for one in found if one.kind == "drift"]
    assert opened.explain(drift).finding["kind"] == "drift"


def test_an_update_holds_back_what_was_left_out():
    """What is left out where units are judged is not learned by itself: it waits to be called normal, as ever."""
    learning = Pipeline(detectors=VIEWS, session_by="order-[0-9]+").fit(Lines(shop_log(600, odd=())))
    done = learning.update(Lines(later(0.4)), older=True)
    held = {group["reason"]: group["units"] for group in done.groups}
    (many,) = [n for reason, n in held.items() if "screened buyer" in reason]
    assert many > 90


def test_lists_beside_the_templates_are_cut_alike():
    """All lists of a unit lose the same places; other units, and what is no list, stay as they are."""
    kept = pl.DataFrame(
        {"unit": [0, 2], "templates": [[1, 9, 2], [9, 1, 9]], "rows": [[10, 11, 12], [20, 21, 22]], "events": [3, 3]},
        schema={"unit": pl.UInt32, "templates": pl.List(pl.UInt32), "rows": pl.List(pl.UInt64), "events": pl.UInt32},
    ).with_columns(values=pl.Series([[0.5, None, 0.7], None], dtype=pl.List(pl.Float64)))
    raw = {"presence": np.array([1.0, 2.0, 3.0])}
    touched = np.array([False, True, True])
    left, whole = Additions((9,), touched, pl.DataFrame(), raw).parted(kept, raw)
    assert left["templates"].to_list() == [[1, 9, 2], [1]]
    assert left["rows"].to_list() == [[10, 11, 12], [21]]
    assert left["values"].to_list() == [[0.5, None, 0.7], None]
    assert left["events"].to_list() == [3, 3]
    assert whole.select("unit", "templates", "presence").rows() == [(2, [9, 1, 9], 3.0)]
