"""Calibration by group: what p-values mean within a source and an hour, and where groups come from."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.decide import GROUP, Calibration, Decision, Follow, Groups, parse_calibrate
from offbeat.decide.groups import AROUND, LEAST, MOST, ByGroup
from offbeat.errors import OptionError

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
SCORES = st.lists(st.integers(0, 30).map(lambda x: x / 3), min_size=1, max_size=60).map(np.array)


def units(source, hour=None, day=None):
    """Return SEQUENCES with as much as groups look at: one source a unit, hours of days from a Monday on."""
    n = len(source)
    day = np.arange(n) % 5 if day is None else day
    one = pl.Series("sources", np.asarray(source), dtype=pl.UInt32)
    frame = one.to_frame().select(pl.concat_list("sources", "sources"))
    if hour is None:
        return frame.with_columns(start=pl.lit(None, pl.Datetime("us", "UTC")))
    later = 24 * np.asarray(day) + np.asarray(hour)
    start = pl.lit(MONDAY) + pl.duration(hours=pl.Series(later, dtype=pl.Int64), minutes=7)
    return frame.with_columns(start=start.cast(pl.Datetime("us", "UTC")))


def calibrated(scores, frame):
    """Return what maps scores and groups to surprise, and the groups."""
    weight = np.ones(len(scores))
    groups = Groups.find(frame, weight)
    pooled = Calibration.fit(scores, weight)
    by_group = ByGroup.fit(groups, pooled(scores), weight, groups.of(frame))
    return (lambda new, of: by_group(pooled(new), of)), groups


def drawn(rng, n):
    """Draw a loud, a usual and a quiet source that scores otherwise at night; few are quiet."""
    source = rng.choice([1, 2, 3], size=n, p=[0.45, 0.45, 0.1])
    hour = rng.choice([2, 14], size=n, p=[0.3, 0.7])
    scale = np.array([0.0, 3.0, 1.0, 0.2])[source] * np.where(hour == 2, 2.5, 1.0)
    return rng.exponential(size=n) * scale, units(source, hour), source * 100 + hour


def test_p_values_are_valid_in_every_group():
    """Of normal units at most about a share a has p <= a in each source and hour, where the whole log's had ten a."""
    rng = np.random.default_rng(0)
    alphas = np.array([0.01, 0.05, 0.2])
    shares, pooled = {}, {}
    for _ in range(12):
        score, frame, _ = drawn(rng, 6000)
        by_group, groups = calibrated(score, frame)
        later, seen, kind = drawn(rng, 6000)
        p, flat = np.exp(-by_group(later, groups.of(seen))), Calibration.fit(score).p_value(later)
        for one in np.unique(kind):
            shares.setdefault(one, []).append((p[kind == one][:, None] <= alphas).mean(axis=0))
            pooled.setdefault(one, []).append((flat[kind == one][:, None] <= alphas).mean(axis=0))
    assert len(shares) == 6
    for one, found in shares.items():
        share = np.mean(found, axis=0)
        assert (share <= alphas * (1.5, 1.25, 1.1) + 0.002).all(), (one, share)
        assert (share[1:] >= alphas[1:] * 0.5).all(), (one, share)
    assert np.mean(pooled[102], axis=0)[0] > 0.04
    assert np.mean(pooled[314], axis=0)[2] < 0.001


def test_a_quiet_source_is_heard_and_a_loud_one_is_not():
    """What is usual in the log and far too much for a quiet source is rare there; a loud one may be loud."""
    score, frame, _ = drawn(np.random.default_rng(1), 8000)
    by_group, groups = calibrated(score, frame)
    quiet, loud = (int(groups.of(units([s], [h]))[0]) for s, h in ((3, 14), (1, 2)))
    flat = Calibration.fit(score)
    assert flat.p_value(np.array([3.0]))[0] > 0.1
    assert by_group(np.array([3.0]), np.array([quiet]))[0] > -np.log(0.02)
    assert flat.p_value(np.array([15.0]))[0] < 0.03
    assert by_group(np.array([15.0]), np.array([loud]))[0] < -np.log(0.1)


@given(SCORES, st.integers(0, 5))
def test_order_is_kept_and_nothing_is_clipped(learned, seed):
    """Within a group a higher score is more surprising, also far beyond all that was seen."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([learned, rng.choice(learned, 400)])
    by_group, _ = calibrated(scores, units(1 + np.arange(len(scores)) % 2))
    at = np.unique([*learned, learned.max() + 0.01, learned.max() + 5, learned.max() + 5000])
    for group in range(3):
        surprise = by_group(at, np.full(len(at), group))
        assert np.isfinite(surprise).all()
        assert (surprise >= 0).all()
        assert (np.diff(surprise[at >= scores.min()]) > 0).all()


@given(SCORES, st.integers(0, 5))
def test_a_group_may_say_only_so_much_against_the_whole(learned, seed):
    """A group of n units, none of which score so much, lowers a p-value by what n p of them would have told."""
    scores = np.random.default_rng(seed).choice(learned, 500)
    frame = units(np.where(np.arange(500) % 4 == 0, 1, 2))
    by_group, groups = calibrated(scores, frame)
    at = np.linspace(-1, 40, 60)
    whole = Calibration.fit(scores)(at)
    size = {int(g): int(n) for g, n in zip(*np.unique(groups.of(frame), return_counts=True), strict=True)}
    for group, n in size.items():
        given = by_group(at, np.full(len(at), group))
        assert (given <= whole + np.log1p(n * np.exp(-whole) / AROUND) + 1e-9).all()
    assert (by_group(at, np.zeros(len(at), dtype=int)) == whole).all()


def test_weights_are_repeats():
    """A unit with weight 3 counts as three, for which groups there are, and for their scale."""
    rng = np.random.default_rng(2)
    score, source = rng.exponential(size=300), 1 + np.arange(300) % 3
    weight = np.arange(300) % 3 + 1.0
    many = np.repeat(np.arange(300), weight.astype(int))
    one, other = Groups.find(units(source), weight), Groups.find(units(source[many]), np.ones(600))
    assert one.table.equals(other.table)
    nats = Calibration.fit(score, weight)(score)
    left = ByGroup.fit(one, nats, weight, one.of(units(source)))
    right = ByGroup.fit(other, nats[many], np.ones(600), other.of(units(source[many])))
    at = np.linspace(0, 12, 50)
    np.testing.assert_allclose(left(at, np.full(50, 1)), right(at, np.full(50, 1)))


def test_an_hour_is_a_group_only_once_it_came_back():
    """An hour of two days tells no rhythm; of three it does, by itself and within a source, if it has enough units."""
    n = 3 * LEAST
    hour = np.full(n, 4)
    assert Groups.find(units(np.ones(n), hour, np.arange(n) % 2), np.ones(n)) is None
    found = Groups.find(units(np.ones(n), hour, np.arange(n) % 3), np.ones(n))
    assert found.names([None, "a"]) == ["all", "04:00 UTC"]
    few = Groups.find(units(1 + np.arange(n) % 2, hour, np.arange(n) % 3), np.ones(n))
    assert few.names([None, "a", "b"]) == ["all", "a", "b", "a, 04:00 UTC", "b, 04:00 UTC"]
    assert list(few.around(3)) == [1, 3]
    assert Groups.find(units(np.ones(LEAST - 1), np.full(LEAST - 1, 4)), np.ones(LEAST - 1)) is None


def test_sources_tell_units_apart_only_where_each_has_one():
    """Sessions that several sources write are not told apart by source, and one of them is judged among all."""
    n = 2 * LEAST
    alone = units(1 + np.arange(n) % 2)
    mixed = alone.with_columns(sources=pl.Series([[1, 2, 2]] * n, dtype=pl.List(pl.UInt32)))
    assert Groups.find(mixed, np.ones(n)) is None
    assert Groups.find(units(np.ones(n)), np.ones(n)) is None
    found = Groups.find(alone, np.ones(n))
    assert found.of(pl.concat([mixed[:1], units([0, 9, 2])])).tolist() == [0, 0, 0, 2]
    assert found.of(units([2, 1], [3, 3])).tolist() == [2, 1]
    assert found.of(units([]).select("start")).tolist() == []
    assert found.of(pl.DataFrame({"x": [1, 2]})).tolist() == [0, 0]


def test_small_sources_are_compared_with_each_other():
    """Sources that have too few units are one group, and so is a source that comes later."""
    n = 4 * LEAST
    source = np.where(np.arange(n) % 4 < 2, 1 + np.arange(n) % 4, 3 + np.arange(n) % 40)
    found = Groups.find(units(source), np.ones(n))
    assert found.names([None, "a", "b"]) == ["all", "a", "b", "other sources"]
    assert found.of(units([1, 2, 3, 17, 99])).tolist() == [1, 2, 3, 3, 3]


def test_names_are_never_alike():
    """A source that is called like an hour, or like all, has a name of its own."""
    n = 3 * LEAST
    found = Groups.find(units(1 + np.arange(n) % 3), np.ones(n))
    assert found.names([None, "all", "x", "x"]) == ["all", "all'", "x", "x'"]


def test_groups_are_bounded():
    """However many sources there are, only the largest are kept, and what is kept of each is short."""
    n = (MOST + 20) * LEAST
    source = 1 + np.arange(n) % (MOST + 20)
    frame = pl.DataFrame({"sources": pl.Series(source, dtype=pl.UInt32).reshape((n, 1)).arr.to_list()})
    found = Groups.find(frame, np.ones(n))
    assert found.table.height == MOST
    assert found.of(frame).min() > 0
    score = np.random.default_rng(3).exponential(size=n)
    by_group = ByGroup.fit(found, Calibration.fit(score)(score), np.ones(n), found.of(frame))
    assert by_group.to_frame().height <= MOST * 65


def test_a_decision_by_group_is_saved():
    """Restored from its values and tables it says the same of the same units; without groups it compares with all."""
    score, frame, _ = drawn(np.random.default_rng(4), 3000)
    other = np.random.default_rng(5).exponential(size=3000)
    weight = np.ones(3000)
    groups = Groups.find(frame, weight)
    raw = {"presence": score, "count": other, GROUP: groups.of(frame).astype(float)}
    made = Decision.fit(raw, weight, groups=groups)
    again = Decision.restore(made.values(), made.frames())
    plain = {view: raw[view] for view in ("presence", "count")}
    assert again.with_group(plain, frame).keys() == raw.keys()
    for scores in (raw, plain):
        assert (again(scores) == made(scores)).all()
        assert (again.p_value(made(scores), scores) == made.p_value(made(scores), scores)).all()
        assert (again.leading(scores) == made.leading(scores)).all()
    assert not np.allclose(made(raw), made(plain))
    pooled = Decision.fit(plain, weight)
    assert pooled.with_group(plain, frame).keys() == plain.keys()
    assert (pooled.nats("count", plain) == made.nats("count", plain)).all()


def test_a_way_to_calibrate_is_read():
    """There are two, and what is neither is refused."""
    assert [parse_calibrate(text) for text in ("groups", "pooled")] == ["groups", "pooled"]
    with pytest.raises(OptionError, match=r"--calibrate.*groups or pooled"):
        parse_calibrate("hourly")


def by_the_hour(rng, days, swing, each=40):
    """Return scores and units of so many days, ``each`` an hour, stranger by ``swing`` between 0 and 6 o'clock."""
    hour = np.tile(np.repeat(np.arange(24), each), days)
    day = np.repeat(np.arange(days), 24 * each)
    return rng.exponential(size=len(hour)) + swing * (hour < 6), units(np.ones(len(hour)), hour, day), hour < 6


def test_a_threshold_that_follows_follows_the_rhythm_too():
    """Nights that are three nats stranger get hardly more alarms than days; pooled they get several times as many."""
    rng = np.random.default_rng(0)
    score, frame, _ = by_the_hour(rng, 8, 3.0)
    later, seen, night = by_the_hour(rng, 20, 3.0)
    ratio = {}
    for how, groups in (("groups", Groups.find(frame, np.ones(len(score)))), ("pooled", None)):
        raw = {"presence": score} | ({} if groups is None else {GROUP: groups.of(frame).astype(float)})
        made = Decision.fit(raw, np.ones(len(score)), in_nats={"presence"}, groups=groups)
        given = made.with_group({"presence": later}, seen)
        flags = Follow(0.01).flags(-np.log(made.p_value(made(given), given)))
        assert flags.mean() == pytest.approx(0.01, rel=0.1)
        ratio[how] = flags[night].mean() / flags[~night].mean()
    assert ratio["groups"] < 2.5 < 4 < ratio["pooled"]


def test_without_a_rhythm_following_is_as_it_was():
    """Where all hours are alike, as many are flagged by group as pooled, and nearly the same ones."""
    rng = np.random.default_rng(7)
    score, frame, _ = by_the_hour(rng, 8, 0.0)
    later, seen, _ = by_the_hour(rng, 20, 0.0)
    groups = Groups.find(frame, np.ones(len(score)))
    assert groups.table.height == 24
    made = Decision.fit({"presence": score, GROUP: groups.of(frame).astype(float)}, np.ones(len(score)),
                        in_nats={"presence"}, groups=groups)  # fmt: skip
    given = made.with_group({"presence": later}, seen)
    alone = Decision.fit({"presence": score}, np.ones(len(score)), in_nats={"presence"})
    one = Follow(0.005).flags(-np.log(made.p_value(made(given), given)))
    other = Follow(0.005).flags(-np.log(alone.p_value(alone({"presence": later}))))
    assert one.sum() == pytest.approx(other.sum(), rel=0.05)
    assert (one & other).sum() > 0.6 * other.sum()
