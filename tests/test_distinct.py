"""Each distinct sequence is scored once, however the units are cut into parts."""

import numpy as np
import polars as pl
import pytest

from offbeat import distinct
from offbeat.distinct import Scorer, score_views
from offbeat.learn import make_views

VIEWS = ("presence", "count", "ngram", "end", "length", "timing")


def units(seed, n):
    """Return units of a few kinds, with times."""
    rng = np.random.default_rng(seed)
    lists = [[0, 1, 2][: rng.integers(1, 4)] + [int(rng.integers(3, 6))] * int(rng.integers(0, 4)) for _ in range(n)]
    times = [np.cumsum(rng.integers(1, 9, len(one))) * 1_000_000 for one in lists]
    return pl.DataFrame(
        {"templates": lists, "timestamps": times, "open_at_end": rng.random(n) < 0.1},
        schema={"templates": pl.List(pl.UInt32), "timestamps": pl.List(pl.Int64), "open_at_end": pl.Boolean},
    ).with_columns(pl.col("timestamps").cast(pl.List(pl.Datetime("us", "UTC"))))


@pytest.fixture(scope="module")
def views():
    """Fitted views: some look at sequences alone, one at ends, one at times."""
    return {name: detector.fit(units(0, 200)) for name, detector in make_views(VIEWS, {}, 0).items()}


@pytest.mark.parametrize("most", [100_000, 5, 1])
@pytest.mark.parametrize("cut", [1, 7, 300])
def test_the_cut_does_not_matter(views, cut, most, monkeypatch):
    """Scores of parts are those of the whole, be what was scored before remembered or not."""
    monkeypatch.setattr(distinct, "_REMEMBERED", most)
    given, scorer = units(1, 300), Scorer(views)
    parts = [scorer(part)[0] for part in given.iter_slices(cut)]
    for name, whole in score_views(views, given).items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), whole), name
        assert np.array_equal(whole, views[name].anomaly_score(given).to_numpy()) or name == "end"


def test_what_was_scored_is_not_scored_again(views, monkeypatch):
    """A view of sequences is asked about new ones only; a view of times about every unit."""
    asked = {"presence": 0, "timing": 0}
    for name in asked:
        score = views[name].anomaly_score

        def counted(rows, name=name, score=score):
            asked[name] += rows.height
            return score(rows)

        monkeypatch.setattr(views[name], "anomaly_score", counted)
    given, scorer = units(2, 400), Scorer(views)
    for part in given.iter_slices(50):
        scorer(part)
    assert asked["presence"] == given["templates"].n_unique()
    assert asked["timing"] == given.height


def test_the_input_cut_off_is_no_end(views):
    """The view of ends says nothing of units that were open when the input ended."""
    given = units(3, 100)
    scores = score_views(views, given)["end"]
    assert (scores[given["open_at_end"].to_numpy()] == 0).all()
    assert scores.max() > 0
