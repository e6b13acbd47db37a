"""A log that changed is judged by its own habits as well."""

import numpy as np
import polars as pl
import pytest

from offbeat import regime
from offbeat.pipeline import Pipeline
from offbeat.regime import Seen

VIEWS = ["presence", "count", "ngram", "length"]


@pytest.fixture(scope="module")
def run():
    """A log where four of ten sessions take a new step, and one of 300 goes wrong in a way known before."""
    rng = np.random.default_rng(7)
    before = [["open", "read", "close"] if rng.random() < 0.7 else ["open", "write", "close"] for _ in range(600)]
    before[17] = ["open", "fail", "close"]
    after = [[*one[:2], "audit", "close"] if rng.random() < 0.4 else one for one in before[:300]]
    after[17] = ["open", "read", "close"]
    after[100] = ["open", "fail", "close"]
    after[200] = ["open", "read"]
    return Pipeline(detectors=VIEWS).fit(before).score(after)


def test_the_change_is_said_once_and_not_flagged(run):
    """The new step is one finding about all sessions that take it; none of them is an alarm."""
    assert run.drift is not None
    assert not run.scores["is_anomaly"].to_numpy()[[0, 1, 2, 3, 4, 5]].any()
    (said,) = [one for one in run.find() if one.kind == "drift"]
    assert "audit" in said.reason
    assert 100 < said.units < 150


def test_what_goes_wrong_besides_is_still_found(run):
    """A session that is strange to what was learned and to the log as it is now ranks above the changed ones."""
    assert set(run.scores["score"].arg_sort(descending=True)[:2]) == {100, 200}


def test_scores_never_exceed_what_was_learned(run):
    """The log itself can only excuse: no unit is stranger than the model alone makes it."""
    assert (run.scores["score"].to_numpy() <= run.learned.to_numpy() + 1e-9).all()
    assert (run.scores["p_value"].to_numpy() > 0).all()


def test_seen_returns_every_unit_in_order():
    """Distinct sequences are kept once, and all units come back with theirs, however they were cut."""
    lists = pl.DataFrame({"templates": [[1, 2], [3], [1, 2], [], [3, 3]]}, schema={"templates": pl.List(pl.UInt32)})
    for cut in (1, 2, 5):
        seen = Seen()
        hashes = pl.concat([seen.add(part) for part in lists.iter_slices(cut)])
        assert hashes.n_unique() == 4
        assert seen.units()["templates"].to_list() == lists["templates"].to_list()


def test_a_log_with_too_many_sequences_is_not_kept(monkeypatch):
    """Memory is bounded: beyond the limit the log is judged by the model alone."""
    monkeypatch.setattr(regime, "_MOST_EVENTS", 3)
    seen = Seen()
    for lists in ([[1, 2], [3, 4]], [[5]]):
        seen.add(pl.DataFrame({"templates": lists}, schema={"templates": pl.List(pl.UInt32)}))
    assert seen.units() is None
