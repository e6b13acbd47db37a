"""Calibration by source and hour, from a log to its scores, and back from a saved model."""

import json
import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from cli_cases import offbeat  # noqa: F401 - a fixture

from offbeat.detection import write_run
from offbeat.errors import OptionError
from offbeat.pipeline import Pipeline
from offbeat.read import Lines
from offbeat.why import Findings

VIEWS = ["presence", "count", "ngram", "length"]


def jobs_log(jobs=900, seed=0, odd=()):
    """Return JSON lines of jobs of two services, five an hour: one tries steps again and again, the other never does.

    An ``odd`` job of the second tries a step three times.
    """
    rng = random.Random(seed)
    start = datetime(2026, 3, 2, tzinfo=UTC)
    out = []
    for number in range(jobs):
        service = ("importer", "billing")[number % 2]
        tries = 1 + min(int(rng.expovariate(0.9)), 6) if service == "importer" else 3 if number in odd else 1
        steps = ["job started", *["part sent"] * tries, "job done"]
        for i, text in enumerate(steps):
            time = start + timedelta(minutes=12 * number, seconds=i)
            job = f"job-{number:05}"
            out.append(json.dumps({"timestamp": time.isoformat(), "service": service, "job": job, "message": text}))
    return out


@pytest.fixture(scope="module")
def models():
    """The same log learned by group and pooled."""
    return {how: Pipeline(detectors=VIEWS, session_by="job", calibrate=how).fit(Lines(jobs_log()))
            for how in ("groups", "pooled")}  # fmt: skip


def test_a_unit_is_judged_among_those_of_its_source(models):
    """Three tries are nothing for the one service and rare for the other; pooled, both are the same."""
    log = Lines(jobs_log(300, seed=1, odd=(141,)))
    p = {how: dict(made.score(log).scores.select("key", "p_value").rows()) for how, made in models.items()}
    assert p["groups"]["job-00141"] < 0.01
    assert p["groups"]["job-00141"] < p["pooled"]["job-00141"] / 3


def test_scores_say_among_which_units_each_was_judged(models):
    """The column names the source, and pooled there is none."""
    log = Lines(jobs_log(100))
    found = models["groups"].score(log).scores
    assert found["group"].cast(pl.String).unique().sort().to_list() == ["billing", "importer"]
    assert "group" not in models["pooled"].score(log).scores.columns


def test_a_saved_model_calibrates_as_before(models, tmp_path):
    """Loaded again it gives the same scores and p-values, and goes on to do so after an update."""
    log = Lines(jobs_log(300, seed=1, odd=(141,)))
    models["groups"].save(tmp_path / "model")
    again = Pipeline.load(tmp_path / "model")
    assert again.score(log).scores.equals(models["groups"].score(log).scores)
    assert (again.calibrate, models["pooled"].calibrate) == ("groups", "pooled")
    again.update(Lines(jobs_log(300, seed=2)), older=True)
    assert again.score(log).scores["group"].cast(pl.String).n_unique() == 2


def test_an_explanation_is_of_the_verdict_by_group(models, tmp_path):
    """What is told of a finding adds up to its score among its own group, and what would turn it is found there."""
    made = models["groups"]
    run = made.score(Lines(jobs_log(300, seed=1, odd=(141,))))
    line = float(run.scores.filter(pl.col("key") == "job-00141")["score"][0])
    run = run.with_threshold(line * 0.99)
    found = run.find()[0]
    write_run(run, [found], tmp_path / "run", made)
    told = Findings.open(tmp_path / "run").explain(found.id)
    score, name = run.scores.row(found.unit, named=True)["score"], run.scores["group"].cast(pl.String)[found.unit]
    assert name in ("billing", "importer")
    assert told.score == pytest.approx(score, abs=1e-5)
    raw, decision = run.raw(run.scores[[found.unit]]), made.fitted.decision
    given = {view: round(float(nats[0]), 4) for view, nats in decision.surprise(raw).items()}
    assert {view["view"]: view["nats"] for view in told.views} == given
    assert decision(raw)[0] == pytest.approx(score)
    assert float(decision({view: raw[view] for view in VIEWS})[0]) != pytest.approx(score, abs=0.01)
    assert told.counterfactual is not None
    assert told.counterfactual["score"] < run.threshold


def test_a_log_without_sources_and_days_is_pooled():
    """Sequences of ids have no group, whatever is asked for."""
    made = Pipeline(detectors=["presence"]).fit([["a", "b"], ["a", "c"]] * 200)
    assert made.fitted.decision.groups is None
    assert "group" not in made.score([["a", "b"]] * 3).scores.columns


def test_the_command_takes_it(offbeat, tmp_path):  # noqa: F811 - a fixture
    """``fit --calibrate`` is remembered, what is neither is one sentence, and a model decides for ``detect``."""
    (tmp_path / "jobs.jsonl").write_text("\n".join(jobs_log(300)) + "\n")
    fit = "fit jobs.jsonl --session-by job --detector presence,count"
    assert offbeat(f"{fit} -o m --calibrate pooled").code == 0
    assert Pipeline.load(tmp_path / "m").calibrate == "pooled"
    wrong = offbeat(f"{fit} -o n --calibrate daily")
    assert (wrong.code, "--calibrate" in wrong.err) == (2, True)
    later = offbeat("detect jobs.jsonl -m m --calibrate groups")
    assert (later.code, "belongs to learning" in later.err) == (2, True)
    with pytest.raises(OptionError):
        Pipeline(calibrate="daily")
