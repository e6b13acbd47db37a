"""Calibration: from raw scores to p-values that mean what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.decide import Calibration

SCORES = st.lists(st.floats(-50, 50).map(lambda x: round(x, 3)), min_size=1, max_size=40)


@given(SCORES, SCORES)
def test_surprise_grows_with_the_score(learned, asked):
    """From the smallest score seen on, a higher score is more surprising, also beyond the largest; p is in (0, 1]."""
    made = Calibration.fit(np.array(learned))
    at = np.unique([*learned, *asked, max(learned) + 1e-3, max(learned) + 1, max(learned) + 100])
    surprise, p = made(at), made.p_value(at)
    assert np.isfinite(surprise).all()
    assert (surprise >= 0).all()
    assert (np.diff(surprise[at >= min(learned)]) > 0).all()
    assert (surprise[at <= min(learned)] == 0).all()
    assert ((p > 0) & (p <= 1)).all()
    assert (np.diff(p) <= 0).all()


@given(SCORES)
def test_p_is_the_conformal_one_at_scores_seen(learned):
    """At a score seen, p is (how many score at least it, plus one) / (n + 1)."""
    made = Calibration.fit(np.array(learned))
    naive = [(sum(x >= s for x in learned) + 1) / (len(learned) + 1) for s in learned]
    np.testing.assert_allclose(made.p_value(np.array(learned)), naive, rtol=1e-9)


@given(SCORES)
def test_weights_are_repeats(learned):
    """A score with weight 3 counts as three."""
    weight = np.arange(len(learned)) % 3 + 1.0
    one = Calibration.fit(np.array(learned), weight)
    other = Calibration.fit(np.repeat(learned, weight.astype(int)))
    at = np.linspace(-60, 60, 50)
    np.testing.assert_allclose(one(at), other(at), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("draw", ["continuous", "tied", "skewed"])
def test_p_values_are_valid_on_exchangeable_data(draw):
    """Of new scores like those learned from, at most about a share a has p <= a, and not much fewer."""
    rng = np.random.default_rng(0)
    make = {
        "continuous": lambda n: rng.normal(size=n),
        "tied": lambda n: rng.poisson(3, size=n).astype(float),
        "skewed": lambda n: rng.exponential(size=n) ** 3,
    }[draw]
    alphas = np.array([0.01, 0.02, 0.05, 0.1, 0.3, 0.7])
    found = [(Calibration.fit(make(400)).p_value(make(400))[:, None] <= alphas).mean(axis=0) for _ in range(100)]
    share = np.mean(found, axis=0)
    assert (share <= alphas * 1.1 + 0.002).all(), share
    if draw != "tied":
        assert (share >= alphas * 0.8 - 0.002).all(), share


def test_the_tail_goes_on():
    """Beyond the largest score the surprise goes on growing, about as an exponential tail, never clipped."""
    rng = np.random.default_rng(1)
    made = Calibration.fit(rng.exponential(size=5000))
    top = made.knots[-1]
    assert made(np.array([top + 5.0]))[0] - made(np.array([top + 1e-9]))[0] == pytest.approx(5, rel=0.4)
    assert made(np.array([1e6]))[0] > made(np.array([1e5]))[0]


def test_scores_that_are_all_alike():
    """With nothing but one score, that score is no surprise and a higher one is."""
    made = Calibration.fit(np.full(50, 2.5))
    assert made(np.array([2.5, 2.6, 1.0])).tolist() == pytest.approx([0, np.log(51) + 0.1, 0])


@given(SCORES)
def test_a_calibration_is_saved(learned):
    """Restored from its table and values it says the same."""
    made = Calibration.fit(np.array(learned))
    at = np.linspace(-60, 60, 40)
    assert Calibration.restore(made.to_frame(), made.values())(at).tolist() == made(at).tolist()


def test_scores_in_nats_are_not_stretched_beyond_what_was_seen():
    """Where all training is alike to the fourth digit, a nat beyond it is a nat; other scores follow their own tail."""
    scores = np.linspace(0.0023, 0.0024, 200)
    steep, honest = Calibration.fit(scores), Calibration.fit(scores, in_nats=True)
    assert steep(np.array([5.0]))[0] > 1_000
    assert np.log(201) < honest(np.array([5.0]))[0] < np.log(201) + 5.0


def test_what_only_the_larger_model_adds_is_no_news():
    """What was never seen scores ln(growth) more with more training; only beyond that is it news, and order holds."""
    scores = np.concatenate([np.linspace(0, 5, 990), np.full(10, 8.0)])
    plain, grown = (Calibration.fit(scores, in_nats=True, growth=g) for g in (1.0, 1.5))
    never = 8.0 + np.log(1.5)
    assert plain(np.array([never]))[0] > np.log(1000)
    assert grown(np.array([never]))[0] == pytest.approx(grown(np.array([8.0]))[0], abs=0.01)
    assert grown(np.array([never + 0.1]))[0] > np.log(1000)
    at = np.linspace(7.9, 9.5, 200)
    assert (np.diff(grown(at)) > 0).all()
    assert (Calibration.fit(scores, growth=1.5)(at) == Calibration.fit(scores)(at)).all()
    assert (Calibration.restore(grown.to_frame(), grown.values())(at) == grown(at)).all()


def test_what_the_kept_model_says_of_its_own_training_is_no_news():
    """Scores a hair beyond all that was seen out of fold are as usual as those, up to where the kept model goes."""
    scores = np.repeat([0.4914, 0.5479, 0.5484, 0.5488], [700, 100, 100, 100])
    plain, reaching = Calibration.fit(scores), Calibration.fit(scores, reach=0.5494)
    at = np.array([0.5494])
    assert plain(at)[0] > np.log(1000)
    assert reaching(at)[0] == pytest.approx(reaching(np.array([0.5488]))[0], abs=0.01)
    assert reaching(np.array([0.56]))[0] > np.log(1000)
    assert (Calibration.fit(scores, reach=0.5)(scores) == plain(scores)).all()
