"""From the views' scores to one score and a verdict."""

import numpy as np
import pytest

from offbeat.bundle import read, write
from offbeat.decide import Decision, Quantile, check_drift, contributions
from offbeat.decide.decision import BUDGET_NATS, CLEAN_DISCOUNT, DISCOUNT, ORDER

N = 2000


@pytest.fixture
def scores():
    """Raw scores of three views: presence and count in nats, the order channel on a scale of its own."""
    rng = np.random.default_rng(0)
    return {
        "presence": rng.exponential(size=N),
        "count": rng.exponential(size=N) * 2,
        "lstm": rng.exponential(size=N) * 10 + 3,
    }


@pytest.fixture
def decision(scores):
    """A decision fitted on them."""
    return Decision.fit(scores, np.ones(N))


def test_the_score_is_the_largest_discounted_surprise(decision, scores):
    """Fused is the maximum over views, and the leading view is the one that makes it."""
    each = decision.surprise(scores)
    fused = decision(scores)
    assert np.array_equal(fused, np.maximum.reduce(list(each.values())))
    lead = decision.leading(scores)
    assert np.array_equal(fused, np.stack(list(each.values()))[lead, np.arange(N)])


def test_presence_is_the_anchor(decision, scores):
    """Presence counts in full, all others at a discount."""
    each = decision.surprise(scores)
    assert decision.anchor == "presence"
    assert np.array_equal(each["presence"], decision.calibrations["presence"](scores["presence"]))
    for view in ("count", "lstm"):
        full = decision.calibrations[view](scores[view])
        below = full < BUDGET_NATS
        assert (each[view][below] <= DISCOUNT * full[below]).all()


def test_a_channel_alarms_from_its_own_budget_on(decision):
    """A view beside the anchor reaches the threshold exactly when its surprise reaches the budget."""
    raw = np.linspace(0, 400, 5000)
    full = decision.calibrations["lstm"](raw)
    asked = {"presence": np.zeros(5000), "count": np.zeros(5000), "lstm": raw}
    assert np.array_equal(decision(asked) >= decision.line, full >= BUDGET_NATS)
    assert (np.diff(decision(asked)) >= 0).all()


def test_length_decides_between_equals_only(scores):
    """Two units that presence finds alike are ranked by length; a unit it finds stranger stays ahead of both."""
    rng = np.random.default_rng(3)
    made = Decision.fit(scores | {"length": rng.exponential(size=N)}, np.ones(N))
    one = {view: np.zeros(3) for view in ("count", "lstm")}
    fused = made(one | {"presence": np.array([4.0, 4.0, 5.0]), "length": np.array([0.0, 3.0, 0.0])})
    assert fused[0] < fused[1] < fused[2]


def test_without_presence_the_first_view_is_the_anchor():
    """Any set of views can be decided on."""
    rng = np.random.default_rng(1)
    made = Decision.fit({"lstm": rng.random(100), "count": rng.random(100)}, np.ones(100))
    assert made.anchor == "lstm"


def test_a_view_overrules_only_when_very_sure():
    """A score that a single other view finds one in a hundred raises no alarm; one beyond all seen by far does."""
    rng = np.random.default_rng(2)
    presence = np.concatenate([rng.exponential(size=N), np.full(20, 12.0)])
    count = rng.exponential(size=N + 20)
    made = Decision.fit({"presence": presence, "count": count}, np.ones(N + 20))
    asked = {"presence": np.array([0.1, 0.1]), "count": np.array([np.quantile(count, 0.99), 60.0])}
    assert (made(asked) >= made.threshold).tolist() == [False, True]


def test_the_alert_share_is_what_is_flagged(decision, scores):
    """The implied share is the share of training units at the threshold or above."""
    assert decision.alert_share == pytest.approx((decision(scores) >= decision.threshold).mean())
    assert 0 <= decision.alert_share <= 0.05


def test_training_that_is_all_alike_flags_what_is_beyond_it():
    """Where the anchor cannot tell the training units apart, they are none of them flagged, and a stranger one is."""
    rng = np.random.default_rng(4)
    made = Decision.fit({"presence": np.full(90, 0.01), "count": rng.random(90)}, np.ones(90))
    assert made.alert_share == 0
    asked = {"presence": np.array([0.005, 0.01, 0.02, 5.0]), "count": np.full(4, 0.5)}
    assert (made(asked) >= made.threshold).tolist() == [False, False, True, True]


def test_clean_training_flags_fewer(scores):
    """Declared clean, at most half a percent of training on the anchor is flagged."""
    made = Decision.fit({"presence": scores["presence"]}, np.ones(N), clean=True)
    assert made.alert_share <= 0.005


def test_a_rule_of_ones_own_draws_the_line_on_the_fused_score(scores):
    """With a quantile asked for, the fused scores keep it."""
    made = Decision.fit(scores, np.ones(N), rule=Quantile(0.9))
    assert made.alert_share == pytest.approx(0.1, abs=0.001)


def test_p_values_of_the_fused_score(decision, scores):
    """P falls as the fused score grows, is in (0, 1], and is small for about its share."""
    fused = decision(scores)
    p = decision.p_value(fused)
    assert ((p > 0) & (p <= 1)).all()
    order = np.argsort(fused)
    assert (np.diff(p[order]) <= 0).all()
    assert (p <= 0.1).mean() == pytest.approx(0.1, abs=0.01)
    with pytest.raises(ValueError, match="not fitted"):
        Decision().p_value(fused)


def test_a_decision_is_saved(decision, scores, tmp_path):
    """After a round trip through a folder every score, share and leading view is the same."""
    write(tmp_path / "saved", decision.values(), decision.frames(), {})
    values, frames, _, _ = read(tmp_path / "saved")
    back = Decision.restore(values, frames)
    assert back(scores).tobytes() == decision(scores).tobytes()
    assert back.p_value(back(scores)).tobytes() == decision.p_value(decision(scores)).tobytes()
    assert (back.threshold, back.alert_share) == (decision.threshold, decision.alert_share)
    assert np.array_equal(back.leading(scores), decision.leading(scores))


def test_contributions_count_the_leading_view(decision):
    """Each flagged unit is counted for the view that made it."""
    asked = {
        "presence": np.array([30.0, 0.1, 0.1]),
        "count": np.array([0.1, 99.0, 0.1]),
        "lstm": np.array([3.0, 3.0, 3.1]),
    }
    flagged = decision(asked) >= decision.threshold
    assert contributions(decision, asked, flagged) == {"presence": 1, "count": 1, "lstm": 0}


def test_a_changed_log_is_said_once(decision, scores):
    """Where most of a batch is improbable the threshold is raised; what stands out even so is above it."""
    fused = decision(scores)
    assert check_drift(decision, fused) is None
    shifted = np.concatenate([fused + decision.threshold, [decision.threshold * 10] * 5])
    drift = check_drift(decision, shifted)
    assert drift is not None
    assert drift.share > 0.9
    assert drift.expected == decision.alert_share
    assert drift.threshold > decision.threshold
    assert 5 <= (shifted >= drift.threshold).sum() <= 0.06 * len(shifted)


def test_a_small_batch_is_no_drift(decision):
    """A few improbable units are alarms, not a change of the log; nor is an empty batch anything."""
    assert check_drift(decision, np.full(50, 99.0)) is None
    assert check_drift(decision, np.zeros(0)) is None


def test_order_may_lead(scores, tmp_path):
    """Where order leads it counts in full, and presence as any other view; and it is saved."""
    rng = np.random.default_rng(5)
    made = Decision.fit(scores | {ORDER: rng.exponential(size=N)}, np.ones(N), anchor=ORDER)
    asked = {view: np.linspace(0, 1.5, 9) for view in (*scores, ORDER)} | {"lstm": np.linspace(3, 10, 9)}
    each = made.surprise(asked)
    full = {view: made.calibrations[view](asked[view]) for view in asked}
    assert made.anchor == ORDER
    assert np.array_equal(each[ORDER], full[ORDER])
    assert np.allclose(each["presence"], DISCOUNT * full["presence"])
    assert np.allclose(each["lstm"], DISCOUNT * full["lstm"])
    write(tmp_path / "saved", made.values(), made.frames(), {})
    values, frames, _, _ = read(tmp_path / "saved")
    assert Decision.restore(values, frames)(asked).tobytes() == made(asked).tobytes()


def test_presence_is_told_where_it_is_as_surprised_as_order(scores):
    """Where order leads, a unit that presence finds as strange is told by what is in it."""
    rng = np.random.default_rng(6)
    made = Decision.fit(scores | {ORDER: rng.exponential(size=N)}, np.ones(N), anchor=ORDER)
    views = [*scores, ORDER]
    asked = {view: np.zeros(2) for view in views} | {ORDER: np.full(2, 4.0), "presence": np.array([0.1, 9.0])}
    assert [views[i] for i in made.leading(asked)] == [ORDER, "presence"]


def test_order_asked_to_lead_that_is_not_there_does_not(scores):
    """Without its view presence leads as ever."""
    made = Decision.fit(scores, np.ones(N), anchor=ORDER)
    assert made.anchor == "presence"
    assert not made.order_leads


def test_unlike_all_that_was_learned_counts_more_where_that_is_clean(scores, tmp_path):
    """Declared clean, count vectors are discounted less than other views; and that is saved."""
    raw = scores | {"count-vector": scores["count"]}
    made, dirty = (Decision.fit(raw, np.ones(N), clean=clean) for clean in (True, False))
    asked = {view: np.quantile(raw[view], [0.1, 0.5, 0.9]) for view in raw}
    full = made.calibrations["count-vector"](asked["count-vector"])
    assert np.allclose(made.surprise(asked)["count-vector"], CLEAN_DISCOUNT["count-vector"] * full)
    assert np.allclose(made.surprise(asked)["count"], DISCOUNT * full)
    assert np.allclose(dirty.surprise(asked)["count-vector"], DISCOUNT * full)
    write(tmp_path / "saved", made.values(), made.frames(), {})
    values, frames, _, _ = read(tmp_path / "saved")
    assert Decision.restore(values, frames)(asked).tobytes() == made(asked).tobytes()
