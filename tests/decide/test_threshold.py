"""Thresholds: where the line is drawn, without labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.decide import Apart, Decision, Knee, Quantile, Share, Sigma, parse_threshold
from offbeat.decide.threshold import Evident
from offbeat.errors import OptionError

SCORES = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=60).map(np.array)
RULES = [Knee(), Knee(0.0005, 0.005), Sigma(), Sigma(0.5), Quantile(0.9), Quantile(0.999), Share(0.1), Share(0.001)]
RULES += [Apart(0.2), Apart(0.4, nats=0.5)]


@pytest.mark.parametrize("rule", RULES, ids=str)
@given(scores=SCORES)
def test_weights_are_repeats(rule, scores):
    """A threshold does not depend on whether alike units come as rows or as a weight."""
    weight = np.arange(len(scores)) % 3 + 1.0
    one = rule.fit(scores, weight)
    repeated = np.repeat(scores, weight.astype(int))
    assert one == pytest.approx(rule.fit(repeated, np.ones(len(repeated))))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_units_that_are_all_alike_are_no_anomalies(rule):
    """Where all score the same, none is flagged, whatever the score."""
    for value in (0.0, 0.1, 3.3333333333, 1e6):
        scores = np.full(97, value)
        assert not (scores >= rule.fit(scores, np.ones(97))).any()


@given(scores=SCORES, q=st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_a_quantile_is_exceeded_by_its_share(scores, q):
    """At most a share 1 - q is flagged, ties or not, and lowering the line by a step would flag more."""
    line = Quantile(q).fit(scores, np.ones(len(scores)))
    assert (scores >= line).mean() <= 1 - q + 1e-9
    below = scores[scores < line]
    assert len(below)
    assert (scores >= below.max()).mean() > 1 - q - 1e-9


@given(scores=SCORES, share=st.sampled_from([0.01, 0.05, 0.1, 0.5, 1.0]))
def test_a_share_is_kept(scores, share):
    """A budget's share is never exceeded, and is used as far as ties allow."""
    line = Share(share).fit(scores, np.ones(len(scores)))
    flagged = scores >= line
    assert flagged.mean() <= share + 1e-9
    rest = scores[~flagged]
    if len(rest):
        assert (scores >= rest.max()).mean() > share


def test_sigma_is_the_founding_papers():
    """Mean plus k standard deviations of the training scores."""
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    assert Sigma(2).fit(scores, np.ones(4)) == pytest.approx(scores.mean() + 2 * scores.std())


def test_the_knee_sets_apart_what_sets_itself_apart():
    """Ten units of a rare kind far above a thousand are flagged, all of them and no other."""
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.integers(0, 4, 1000), np.full(10, 9.0)])
    line = Knee().fit(scores, np.ones(1010))
    assert (scores >= line).sum() == 10
    assert 3 < line < 9


def test_two_common_kinds_are_no_anomaly():
    """Where a third of the units score a little higher than the rest, they are a kind of their own, not anomalies."""
    scores = np.array([0.5] * 60 + [0.9] * 30)
    assert (scores >= Knee().fit(scores, np.ones(90))).sum() == 0


def test_a_tie_at_the_top_is_flagged_together():
    """Where the units at the top are tied, all are flagged if they are few, and none if they are many."""
    low = np.linspace(0, 1, 2000)
    few, many = (np.concatenate([low, np.full(n, 9.0)]) for n in (5, 150))
    assert (few >= Knee().fit(few, np.ones(len(few)))).sum() == 5
    assert (many >= Knee().fit(many, np.ones(len(many)))).sum() == 0


def test_without_a_step_the_knee_is_a_quantile():
    """On scores without a gap few are flagged."""
    scores = np.linspace(0, 1, 20_000)
    assert (scores >= Knee().fit(scores, np.ones(20_000))).mean() <= 0.05


@given(scores=SCORES)
def test_the_knee_flags_few(scores):
    """The knee flags no more than its upper share."""
    assert (scores >= Knee().fit(scores, np.ones(len(scores)))).mean() <= 0.05


@pytest.mark.parametrize("n", [50, 100, 200, 400])
def test_of_few_units_that_are_all_different_mostly_none_is_flagged(n):
    """Scores with nothing in them are called calm in three logs of four; the knee alone always finds a step."""
    rng, evident = np.random.default_rng(n), Evident(Knee())
    logs = [rng.exponential(size=n) for _ in range(100)]
    assert np.mean([evident.above(one, np.ones(n)).any() for one in logs]) < 0.25
    assert all((one >= Knee().fit(one, np.ones(n))).any() for one in logs)


def test_of_few_units_what_is_far_beyond_is_flagged():
    """One unit that nothing comes near, one of a kind among many alike, and seven against dozens are evidence."""
    evident, rest = Evident(Knee()), np.random.default_rng(1).exponential(size=100)
    for scores, many in (
        (np.append(rest, rest.max() + 5), 1),
        (np.append(np.full(59, 0.1), 4.5), 1),
        (np.concatenate([np.full(300, 0.5), np.full(60, 3.0), np.full(7, 6.0)]), 7),
    ):
        above = evident.above(scores, np.ones(len(scores)))
        assert above.sum() == many
        assert above[-1]


def test_what_differs_by_a_hair_is_alike():
    """Units held out in parts of different sizes are flagged together or not at all."""
    scores = np.concatenate([np.full(200, 0.5), [6.33, 6.34, 6.33, 6.33]])
    assert Evident(Knee()).above(scores, np.ones(204)).sum() == 4
    scores = np.append(scores, np.full(5, 5.23))
    assert not Evident(Knee()).above(scores, np.ones(209))[:200].any()


@given(scores=SCORES)
def test_evidence_does_not_depend_on_weights(scores):
    """Alike units as rows or as a weight are the same evidence, and never more than the knee's upper share."""
    weight = np.arange(len(scores)) % 3 + 1
    above = Evident(Knee()).above(scores, weight.astype(float))
    assert (Evident(Knee()).above(np.repeat(scores, weight), np.ones(weight.sum())) == np.repeat(above, weight)).all()
    assert np.average(above, weights=weight) <= 0.05


def test_few_units_are_flagged_on_evidence_only():
    """Below 500 units a log of scores that are all different is calm; what is beyond all of it is flagged later."""
    rng = np.random.default_rng(5)
    few, many = rng.exponential(size=200), rng.exponential(size=600)
    made = Decision.fit({"presence": few}, np.ones(200), in_nats={"presence"})
    assert made.alert_share == 0
    assert (made({"presence": np.array([few.max(), few.max() + 3])}) >= made.threshold).tolist() == [False, True]
    assert Decision.fit({"presence": many}, np.ones(600), in_nats={"presence"}).alert_share > 0
    assert Decision.fit({"presence": few}, np.ones(200)).alert_share > 0


def dirty(share, n=4000, seed=0, start=4.5):
    """Return scores in nats of units of which a share is set apart, from ``start`` on; the others end at 3 to 4."""
    rng = np.random.default_rng(seed)
    many = round(n * share)
    return np.concatenate([rng.exponential(0.4, n - many), start + rng.exponential(0.6, many)])


@pytest.mark.parametrize("share", [0.03, 0.06, 0.12, 0.19])
def test_what_is_set_apart_is_found_up_to_the_share_that_is_allowed(share):
    """As many as were put in are above the cut, where that share is allowed."""
    scores = dirty(share)
    line, above = Apart(0.2).cut(scores, np.ones(len(scores)))
    assert above == pytest.approx(share, abs=0.004)
    assert (scores >= line).mean() == pytest.approx(above)


def test_where_nothing_is_set_apart_there_is_no_cut():
    """A smooth tail, two kinds that are near each other and too large a part are no clump; the knee serves then."""
    smooth = np.random.default_rng(1).exponential(size=4000)
    near = np.concatenate([np.full(3600, 0.1), np.full(400, 2.0)])
    for scores in (smooth, near, dirty(0.3), np.full(50, 1.0)):
        assert Apart(0.2).cut(scores, np.ones(len(scores))) is None
        assert Apart(0.2).fit(scores, np.ones(len(scores))) == Knee().fit(scores, np.ones(len(scores)))


def test_a_dirty_anchor_is_cut_where_it_is_asked_for():
    """With an eighth of training anomalous the knee flags next to nothing and says so; allowed, it flags the eighth."""
    scores, weight = {"presence": dirty(0.125)}, np.ones(4000)
    shy = Decision.fit(scores, weight, in_nats={"presence"})
    bold = Decision.fit(scores, weight, in_nats={"presence"}, rule=Apart(0.2))
    assert shy.alert_share < 0.05
    assert shy.beyond == pytest.approx(0.125, abs=0.002)
    assert (bold.alert_share, bold.beyond) == (pytest.approx(0.125, abs=0.002), 0.0)
    assert Decision.fit(scores, weight, in_nats={"presence"}, clean=True).beyond == 0.0
    assert Decision.fit({"presence": dirty(0.02)}, weight, in_nats={"presence"}).beyond == 0.0


def test_where_presence_leads_up_to_a_tenth_is_flagged_by_itself():
    """A clump of 8 % is above the line of sessions learned from as they are; not of few, nor clean, nor near."""
    far, near, weight = dirty(0.08, start=6.0), dirty(0.08), np.ones(4000)

    def share(view="presence", part=slice(None), scores=far, **options):
        return Decision.fit({view: scores[part]}, weight[part], in_nats={view}, anchor=view, **options).alert_share

    assert share() == pytest.approx(0.08, abs=0.002)
    assert share(scores=near) <= 0.05
    assert share(part=slice(None, None, 5)) <= 0.05
    assert share("ngram") <= 0.05
    assert share(clean=True) <= 0.005


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("knee", Knee()),
        ("knee:0.2", Apart(0.2)),
        ("sigma", Sigma(3.0)),
        ("sigma:2.5", Sigma(2.5)),
        ("quantile", Quantile(0.999)),
        (" quantile:0.99 ", Quantile(0.99)),
    ],
)
def test_thresholds_are_read(text, rule):
    """A name, with a number where it takes one."""
    assert parse_threshold(text) == rule


@pytest.mark.parametrize("text", ["", "knee:3", "sigma:", "sigma:x", "quantile:1", "quantile:0", "quantile:2", "top"])
def test_a_bad_threshold_is_refused(text):
    """What is none is named, with what there is."""
    with pytest.raises(OptionError, match=r"--threshold.*knee, knee:0.2, sigma:3, quantile"):
        parse_threshold(text)
