"""Thresholds by the rate of alarms they are asked for: from training, from its tail, and as units come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.decide import Decision, Follow, Knee, Pot, Quantile, Rate, asked_share, check_drift, parse_threshold
from offbeat.decide import verdicts as judge
from offbeat.decide.tail import pareto_tail, raising
from offbeat.errors import OptionError

SCORES = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=60).map(np.array)


def generalised_pareto(rng, shape, scale, n):
    """Draw excesses by inverting the distribution function."""
    u = rng.random(n)
    return scale * (u**-shape - 1) / shape if shape else -scale * np.log(u)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_the_tail_is_found_again(shape):
    """Shape and scale of excesses drawn from a generalised Pareto distribution come back, on average."""
    rng = np.random.default_rng(1)
    found = np.array([pareto_tail(generalised_pareto(rng, shape, 2.0, 1000)) for _ in range(20)]).mean(axis=0)
    assert found == pytest.approx([shape, 2.0], abs=0.1)


@pytest.mark.parametrize("draw", ["exponential", "normal", "heavy"])
def test_pot_reaches_beyond_training(draw):
    """Of later scores the share asked for is above the line, even one in ten thousand, learned from five thousand."""
    rng = np.random.default_rng(2)
    make = {
        "exponential": lambda n: rng.exponential(size=n),
        "normal": lambda n: rng.normal(size=n),
        "heavy": lambda n: rng.exponential(size=n) ** 2,
    }[draw]
    for q, near in ((1e-2, 0.15), (1e-3, 0.3), (1e-4, 0.6)):
        lines = [Pot(q).fit(make(5000), np.ones(5000)) for _ in range(30)]
        later = np.sort(make(1_000_000))
        assert np.mean([(later >= line).mean() for line in lines]) == pytest.approx(q, rel=near)


@pytest.mark.parametrize("rule", [Rate(0.01), Rate(0.1), Pot(0.01), Pot(0.001), Follow(0.02)], ids=str)
@given(scores=SCORES)
def test_weights_are_repeats(rule, scores):
    """A line does not depend on whether alike units come as rows or as a weight."""
    weight = np.arange(len(scores)) % 3 + 1.0
    repeated = np.repeat(scores, weight.astype(int))
    assert rule.fit(scores, weight) == pytest.approx(rule.fit(repeated, np.ones(len(repeated))))


@pytest.mark.parametrize("rule", [Rate(0.01), Pot(0.001), Follow(0.02)], ids=str)
def test_units_that_are_all_alike_are_no_anomalies(rule):
    """Where all score the same, none is flagged."""
    scores = np.full(97, 3.3)
    assert not (scores >= rule.fit(scores, np.ones(97))).any()


def test_a_rate_is_kept_on_units_like_those_learned_from():
    """On average over trainings the flagged share of later units is what was asked for, and never more."""
    rng = np.random.default_rng(3)
    for share in (0.005, 0.02, 0.1):
        later = rng.exponential(size=200_000)
        found = [(later >= Rate(share).fit(rng.exponential(size=2000), np.ones(2000))).mean() for _ in range(60)]
        assert share * 0.85 < np.mean(found) < share * 1.1


@given(scores=SCORES, share=st.sampled_from([0.01, 0.05, 0.2]))
def test_ties_never_exceed_a_rate(scores, share):
    """What is tied is flagged together or not at all."""
    assert (scores >= Rate(share).fit(scores, np.ones(len(scores)))).mean() <= share


@pytest.mark.parametrize("share", [0.005, 0.02])
@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_following_keeps_the_rate_on_a_log_that_changed(share, shift):
    """However much stranger the log becomes, the rate of alarms comes back to what was asked for."""
    rng = np.random.default_rng(4)
    flags = Follow(share).flags(rng.exponential(size=4000) + shift)
    assert flags.mean() == pytest.approx(share, rel=0.5)
    assert flags[2000:].mean() == pytest.approx(share, rel=0.5)


def test_following_still_finds_what_stands_out():
    """Three units far beyond all others are flagged, also on a log that drifts and swings by the hour."""
    rng = np.random.default_rng(5)
    at = np.arange(5000)
    surprise = rng.exponential(size=5000) + 3 * at / 5000 + 1.5 * np.sin(at / 200)
    surprise[[1500, 3000, 4500]] = 30.0
    flags = Follow(0.01).flags(surprise)
    assert flags[[1500, 3000, 4500]].all()
    assert flags.mean() == pytest.approx(0.01, rel=0.3)


def test_following_does_not_depend_on_what_comes_later():
    """A unit's verdict is made when it comes, so that a live stream and a file say the same."""
    surprise = np.random.default_rng(6).exponential(size=500)
    whole = Follow(0.02).flags(surprise)
    assert (Follow(0.02).flags(surprise[:300]) == whole[:300]).all()
    assert len(Follow(0.02).flags(surprise[:0])) == 0


def test_the_asked_share_is_said():
    """Rules that are asked for a rate say it; others are asked for none."""
    rules = [Rate(0.01), Follow(0.02), Pot(0.003), Knee(), Quantile(0.9), None]
    assert [asked_share(rule) for rule in rules] == [0.01, 0.02, 0.003, None, None, None]
    assert [raising(rule) for rule in rules] == [*rules[:3], Knee(), Knee(), Knee()]


def test_verdicts_are_by_the_line_or_as_units_come():
    """A fixed line flags what reaches it; a following one goes by p-values in order."""
    score, p = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.001, 0.2])
    assert judge(Knee(), score, p, 2.0).tolist() == [False, True, True]
    assert judge(Follow(0.01), score, p, 2.0).tolist() == [False, True, False]


def test_a_changed_log_keeps_the_rate_that_was_asked_for():
    """Where most of a batch is improbable, the threshold is raised to where the rate is met again."""
    scores = {"presence": np.random.default_rng(7).exponential(size=2000)}
    decision = Decision.fit(scores, np.ones(2000), rule=Rate(0.01))
    later = decision(scores) + 3.0
    drift = check_drift(decision, later, rule=Rate(0.01))
    assert drift is not None
    assert (later >= drift.threshold).mean() == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("rate:5/1000", Rate(0.005)),
        (" follow:0.5/1000 ", Follow(0.0005)),
        ("pot", Pot(1e-3)),
        ("pot:0.0001", Pot(1e-4)),
        ("knee", Knee()),
        ("quantile:0.99", Quantile(0.99)),
    ],
)
def test_thresholds_are_read(text, rule):
    """A name with its number; what was read before is read as before."""
    assert parse_threshold(text) == rule


@pytest.mark.parametrize("text", ["rate", "rate:5", "rate:0/1000", "rate:1000/1000", "follow:5/day", "pot:0", "pot:1"])
def test_a_bad_rate_is_refused(text):
    """What is none is named, with all there are."""
    with pytest.raises(OptionError, match=r"--threshold.*pot:0.001, rate:5/1000 or follow"):
        parse_threshold(text)
