"""Whether a model still fits a log, by the stability of its templates, scores and numbers."""

import random

import numpy as np
import polars as pl
import pytest
from samples import frame

from offbeat import Lines, Pipeline, report
from offbeat.memory import spread_of
from offbeat.rules import RuleSet
from offbeat.stability import Numbers, stability_index

STEPS = {
    "buy": ("cart opened", "card charged: {n} cents", "cart closed"),
    "look": ("page shown", "page left after {n} ms"),
}


def log(buyers: float, seed: int, mean: float = 50.0) -> Lines:
    """Return 400 sessions, a share of which buys; numbers are about ``mean``."""
    rng = random.Random(seed)
    lines = []
    for number in range(400):
        for step, text in enumerate(STEPS["buy" if rng.random() < buyers else "look"]):
            said = text.format(n=round(rng.lognormvariate(np.log(mean), 0.3)))
            time = f"2026-03-0{1 + seed} 10:{number // 60:02}:{number % 60:02},{step:03}"
            lines.append(f"{time} INFO visit-{seed}{number:04}: {said}")
    return Lines(lines)


@pytest.fixture(scope="module")
def model() -> Pipeline:
    """Learned from a log where half of the visitors buy."""
    made = Pipeline(detectors=("presence", "count"), session_by=r"visit-\d+", rules=RuleSet())
    return made.fit(log(0.5, 0))


def test_the_index_is_siddiqis():
    """Of large counts it is the sum of (p - q) ln(p / q)."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    expected = ((p - q) * np.log(p / q)).sum()
    assert stability_index(p * 1e9, q * 1e9) == pytest.approx(expected, rel=1e-6)


def test_what_chance_makes_of_it_is_taken_off():
    """Samples of one population have an index near 0 on average, however small they are."""
    rng = np.random.default_rng(0)
    share = np.array([0.4, 0.3, 0.2, 0.1])
    found = [stability_index(rng.multinomial(60, share) * 1.0, rng.multinomial(60, share) * 1.0) for _ in range(300)]
    assert np.mean(found) < 0.06
    assert stability_index(np.array([5.0]), np.array([9.0])) == 0
    assert stability_index(np.zeros(3), np.ones(3)) == 0


def test_numbers_are_counted_over_the_parts_learned():
    """The same numbers again are stable, however the log is cut; ten times as large they are others."""
    rng = np.random.default_rng(0)
    values = rng.lognormal(3, 0.5, 600)

    def units(scale: float) -> pl.DataFrame:
        lists = pl.Series([[float(v * scale)] for v in values])
        return frame([[7]] * 600).with_columns(values=lists, weight=pl.lit(1.0))

    spread = spread_of(units(1.0))
    found = []
    for parts in ([units(1.0)], list(units(1.0).iter_slices(100)), [units(10.0)]):
        numbers = Numbers(spread)
        for part in parts:
            numbers.add(part)
        found.append(numbers.indices()[7])
    assert found[0] == found[1]
    assert found[0][0] < 0.01
    assert found[2][0] > 1


def test_a_log_like_the_training_still_fits(model):
    """The report says so in one line, with the figures."""
    run = model.score(log(0.5, 1))
    assert run.fit["verdict"] == "still fits"
    assert run.fit["changed"] == []
    head = ["".join(text for text, _ in line) for line in report.head(run, model.summary, 0, 0)]
    assert any(line.startswith("fit      still fits (stability of templates 0.0") for line in head)


def test_another_mix_no_longer_fits(model):
    """Where hardly anyone buys the templates' shares are others, and the most changed is named."""
    run = model.score(log(0.1, 2))
    assert run.fit["verdict"] == "no longer fits"
    assert run.fit["templates"] > 0.25
    assert any("cart" in words or "page" in words or "card" in words for words in run.fit["changed"])


def test_other_numbers_make_it_old(model):
    """Numbers follow the load: alone they say that the model is getting old, and of which template they are."""
    run = model.score(log(0.5, 3, mean=500.0))
    assert run.fit["values"] > 0.25
    assert run.fit["verdict"] == "getting old"
    assert any("numbers of" in words for words in run.fit["changed"])


def test_a_short_log_says_too_little(model):
    """Below 200 units nothing is said."""
    assert model.score(Lines(log(0.1, 4)[:300])).fit is None


def test_the_training_itself_is_not_asked(model):
    """Of what it was learned from, a model does not say that it fits."""
    assert model.cross_score().fit is None


def test_an_update_says_how_well_the_model_fitted(tmp_path, model):
    """And keeps it in its history."""
    model.save(tmp_path / "model")
    again = Pipeline.load(tmp_path / "model")
    found = again.update(log(0.1, 5))
    assert found.fit["verdict"] == "no longer fits"
    assert again.memory.history[-1]["fit"] == "no longer fits"


def test_ids_are_asked_as_well():
    """Sequences of ids have no numbers and no times, but templates and scores."""
    rng = random.Random(1)

    def ids(share: float) -> list[list[str]]:
        return [["a", "b", "c"] if rng.random() < share else ["a", "d"] for _ in range(300)]

    made = Pipeline(detectors=("presence", "count")).fit(ids(0.5))
    assert made.score(ids(0.5)).fit["verdict"] == "still fits"
    assert made.score(ids(0.05)).fit["verdict"] == "no longer fits"
