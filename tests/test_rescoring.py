"""Other sequences in the place of a unit are judged as the run judged the unit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import shop_log

from offbeat.detection import write_run
from offbeat.explain.edits import Edit, apply
from offbeat.pipeline import Pipeline
from offbeat.read import Lines
from offbeat.rescoring import Rescoring, _in_time, plain, tagged
from offbeat.schema import view_column
from offbeat.why import Findings

VIEWS = ["presence", "count", "ngram", "timing", "values", "length"]


def test_tags_come_off():
    """Places are carried above the codes, and leave them as they were."""
    assert plain(tagged([7, 0, 7])) == [7, 0, 7]
    assert len(set(tagged([7, 0, 7]))) == 3


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.floats(0, 100))), max_size=12))
def test_times_are_filled_within_sequences_and_in_order(rows):
    """No sequence takes a time from another, and none goes back in time."""
    rows = sorted(rows, key=lambda row: row[0])
    owner = np.array([o for o, _ in rows], dtype=np.int64)
    times = np.array([np.nan if t is None else t for _, t in rows], dtype=np.float64)
    out = _in_time(times, owner)
    for one in set(owner.tolist()):
        given_, got = times[owner == one], out[owner == one]
        if np.isnan(given_).all():
            assert np.isnan(got).all()
            continue
        assert (np.diff(got) >= 0).all()
        assert set(got) <= set(given_[~np.isnan(given_)])


@pytest.fixture(scope="module")
def slow():
    """A run over a shop where one order was shipped much later than others are."""
    made = Pipeline(detectors=VIEWS, session_by=r"order-\d+").fit(Lines(shop_log(200, odd=())))
    log = shop_log(200, odd=(), seed=3)
    at = next(i for i, line in enumerate(log) if "shipped order-1050" in line)
    log[at] = log[at].replace(log[at][:19], "2026-03-01 08:35:00")
    run = made.score(Lines(sorted(log)))
    return Findings.of(run, run.find(), made)


def unit_of(opened, name):
    """Return what rescores the unit of a finding."""
    unit = opened.units.filter(opened.units["id"] == name)
    scores = opened.scores[int(unit["unit"][0])]
    raw = {view: float(scores[view_column(view)][0]) for view in opened.learned.views}
    return Rescoring(opened.learned, opened.threshold, unit, raw, opened.texts, opened.habits, opened.own)


def test_a_unit_as_it_is_scores_what_it_scored(slow):
    """Its own events with their times and numbers give the very score that the run gave."""
    told = [one for one in slow.found if one["id"] in set(slow.units["id"])]
    assert told
    for one in told:
        codes = slow.units.filter(slow.units["id"] == one["id"])["templates"][0].to_list()
        assert unit_of(slow, one["id"]).score([tagged(codes)])[0] == pytest.approx(one["score"], abs=1e-5)


def test_a_view_of_templates_looks_once_at_the_same_ones(slow, monkeypatch):
    """Whatever the times and whoever asks, what reads but templates scores a sequence of them once."""
    other = unit_of(slow, slow.found[0]["id"])
    codes = slow.units.filter(slow.units["id"] == slow.found[0]["id"])["templates"][0].to_list()
    seen = []
    presence, scores_of = other.learned.views["presence"], type(other.learned.views["presence"]).scores_of
    monkeypatch.setattr(presence, "scores_of", lambda data: seen.append(len(data)) or scores_of(presence, data))
    first = other.score([tagged(codes), tagged(codes)[1:]])
    again = other.score([codes, codes[1:]])
    assert other.raw_of([codes, codes[1:]])["presence"].shape == first.shape == again.shape
    assert sum(seen) == 2


def test_what_is_slow_is_turned_by_the_slow_event(slow):
    """A pause that is too long is gone with the event that it is before, or with another in its place."""
    (late,) = [one for one in slow.found if one["session"] == "order-1050"]
    assert late["kind"] == "latency"
    found = slow.explain(late["id"]).counterfactual
    assert found is not None
    assert {edit["how"] for edit in found["edits"]} <= {"add", "remove"}
    assert any("shipped" in edit["template"] for edit in found["edits"])
    assert found["score"] < slow.threshold


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A run over a log that closes less since a while, where one session audits instead; saved and opened again."""
    usual = [["open", "read", "close"] if i % 10 < 7 else ["open", "write", "close"] for i in range(600)]
    after = [one[:2] if i % 5 < 2 else list(one) for i, one in enumerate(usual[:300])]
    after[200] = ["open", "read", "audit", "audit", "audit", "audit"]
    made = Pipeline(detectors=["presence", "count", "ngram", "length"]).fit(usual)
    run = made.score(after)
    assert run.habits is not None
    path = tmp_path_factory.mktemp("changed") / "run"
    write_run(run, run.find(), path, made)
    opened = Findings.open(path)
    assert opened.threshold == run.threshold
    return opened


def test_a_log_that_changed_is_judged_by_its_habits_as_well(changed):
    """The edits turn the verdict of the run itself, which excuses what the log has become."""
    (worst,) = [one for one in changed.found if one["kind"] != "drift"]
    why = changed.explain(worst["id"])
    assert why.counterfactual["score"] < why.threshold <= why.score
    codes = {text: code for code, text in enumerate(changed.texts)}
    other = unit_of(changed, worst["id"])
    # To be normal it need not give up what the log does now.
    usual = ["open", "read"]
    assert other.score([[codes[name] for name in usual]])[0] < changed.threshold
    (drift,) = [one for one in changed.found if one["kind"] == "drift"]
    told = changed.explain(drift["id"])
    assert told.counterfactual is None
    # It stands for many that are judged normal, each by itself; nothing needs to turn that.
    assert told.score < told.threshold
    assert "by itself it is no alarm" in told.unturned
    assert why.unturned is None


@pytest.fixture(scope="module")
def itself():
    """A log judged by itself, in which three orders are refused."""
    made = Pipeline(detectors=["presence", "count", "ngram"]).fit(Lines(shop_log(200, odd=(41, 90, 150))))
    run = made.cross_score()
    return Findings.of(run, run.find(), made)


def test_what_the_kept_model_has_learned_is_made_up_for(itself):
    """A log judged by itself: its model is less surprised at a unit, so the edits have to lower the score by more."""
    opened = itself
    (name,) = opened.units["id"]
    why, other = opened.explain(name), unit_of(opened, name)
    own = tagged(opened.units["templates"][0].to_list())
    known = why.score - other.score([own])[0]
    assert known > 0.1
    code = {text: at for at, text in enumerate(opened.template_ids)}
    edits = [
        Edit(one["how"], one["place"], code[one["template_id"]], one.get("to", -1))
        for one in why.counterfactual["edits"]
    ]
    assert other.score([apply(own, edits)])[0] + known == pytest.approx(why.counterfactual["score"], abs=1e-5)
    assert why.counterfactual["score"] < opened.threshold
    for i in range(len(edits)):
        assert other.score([apply(own, edits[:i] + edits[i + 1 :])])[0] + known >= opened.threshold


def test_what_is_removed_takes_its_pause_along(slow):
    """Without an event the later ones come earlier by the pause before it; their own pauses stay."""
    other = unit_of(slow, slow.units["id"][0])
    own = tagged(other.row["templates"][0].to_list())
    times = other._laid_out([own]).extra["timestamps"]
    assert len(own) > 3
    without = other._laid_out([own[:1] + own[2:]]).extra["timestamps"]
    np.testing.assert_allclose(np.diff(without)[1:], np.diff(times)[2:])
    assert without[1] == pytest.approx(times[2] - (times[1] - times[0]))


@pytest.fixture(scope="module")
def broken():
    """A run where one session fails twice and never closes."""
    usual = [["open", "read", "close"] if i % 10 < 7 else ["open", "write", "close"] for i in range(600)]
    made = Pipeline(detectors=["presence", "count", "ngram", "length"]).fit(usual)
    run = made.score([*usual[:300], ["open", "read", "fail", "fail"], ["open", "fail", "close"]])
    return Findings.of(run, run.find(), made)


def test_no_fewer_edits_turn_the_verdict_than_are_said_to_be_needed(slow, changed, broken, itself):
    """Every sequence with fewer events added, removed or moved is still an anomaly: all of them are tried."""
    tried = 0
    for opened in (slow, changed, broken, itself):
        for one in opened.found:
            turned = opened.explain(one["id"]).counterfactual if one["id"] in set(opened.units["id"]) else None
            if turned is None:
                continue
            other = unit_of(opened, one["id"])
            own = tagged(other.row["templates"][0].to_list())
            known = max(0.0, one["score"] - other.score([own])[0])
            assert turned["at_least"] <= len(turned["edits"])
            fewer = [own]
            for _ in range(min(turned["at_least"], 3) - 1):
                fewer = list(dict.fromkeys(tuple(more) for some in fewer for more in edited(some, len(opened.texts))))
                tried += len(fewer)
                assert (other.score(fewer) + known >= opened.threshold).all()
    assert tried > 500


def edited(events, codes):
    """Yield a sequence with each one event added, removed or moved."""
    events = list(events)
    for i in range(len(events) + 1):
        yield from ([*events[:i], code, *events[i:]] for code in range(codes))
        if i < len(events):
            rest = events[:i] + events[i + 1 :]
            yield rest
            yield from ([*rest[:to], events[i], *rest[to:]] for to in range(len(rest) + 1) if to != i)
