"""The plots as matplotlib figures: made without pyplot, and of the same numbers as the page."""

import dataclasses
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from samples import shop_log

from offbeat import Lines, Pipeline, series
from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.run import Run

figures = pytest.importorskip("offbeat.figures")
pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

PLAIN = ("timeline", "score_distribution", "volume")
LABELLED = ("roc", "precision_recall", "confusion")


@pytest.fixture(scope="module")
def run() -> Run:
    """A shop's log with sources and labels."""
    log = pl.DataFrame({"line": shop_log(200, (41, 90))}).select(
        timestamp=pl.col("line").str.slice(0, 23).str.to_datetime("%Y-%m-%d %H:%M:%S,%3f", time_zone="UTC"),
        message=pl.col("line").str.slice(24),
        source=pl.when(pl.col("line").str.contains("card|payment")).then(pl.lit("payment")).otherwise(pl.lit("order")),
    )
    made = Pipeline(detectors=["presence", "count"], session_by=r"order-\d+").fit(log).cross_score()
    label = made.scores["key"].is_in(["order-1041", "order-1090"])
    return dataclasses.replace(made, scores=made.scores.with_columns(label=label))


@pytest.mark.parametrize("name", [*PLAIN, "swim_lanes", *LABELLED])
def test_every_figure_draws(run, name, tmp_path):
    """Each plot becomes a picture with a title."""
    figure = getattr(figures, name)(run)
    assert figure.axes[0].get_title()
    figure.savefig(tmp_path / "one.png", dpi=40)
    assert (tmp_path / "one.png").stat().st_size > 1_000


@pytest.mark.parametrize("name", PLAIN)
def test_ids_without_times_draw_too(name, tmp_path):
    """Without times the axis is order."""
    ids = Pipeline(detectors=["presence"]).fit([["a", "b", "c"]] * 60 + [["a", "x"]]).cross_score()
    figure = getattr(figures, name)(ids)
    figure.savefig(tmp_path / "one.png", dpi=40)
    words = figure.axes[-1].get_xlabel()
    assert words == "score" if name == "score_distribution" else words.endswith("s in order")


def test_a_wide_range_of_scores_is_drawn_logarithmically(run, tmp_path):
    """One score far above the threshold does not flatten the others."""
    scores = run.scores.with_columns(score=pl.when(pl.int_range(pl.len()) == 3).then(1e4).otherwise("score"))
    wide = dataclasses.replace(run, scores=scores)
    assert not series.score_scale(wide).linear
    for name in ("timeline", "score_distribution"):
        getattr(figures, name)(wide).savefig(tmp_path / "one.png", dpi=40)


def test_what_is_missing_is_said(run):
    """Without sources, or labels, or both classes, the error says which."""
    ids = Pipeline(detectors=["presence"]).fit([["a", "b", "c"]] * 60).cross_score()
    with pytest.raises(NotEnoughDataError, match="source"):
        figures.swim_lanes(ids)
    with pytest.raises(OptionError, match="without labels"):
        figures.confusion(ids)
    one_class = dataclasses.replace(run, scores=run.scores.with_columns(label=pl.lit(False)))
    with pytest.raises(NotEnoughDataError, match="one class"):
        figures.roc(one_class)
    with pytest.raises(NotEnoughDataError, match="no anomaly"):
        figures.precision_recall(one_class)


def test_pyplot_is_not_touched():
    """Figures hold no global state: pyplot is not even loaded."""
    code = (
        "import sys, offbeat.figures as f; from offbeat import Pipeline;"
        "f.timeline(Pipeline(detectors=['presence']).fit([['a', 'b']] * 40).cross_score());"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_the_timeline_keeps_every_maximum(run):
    """Downsampling loses no peak: a column is as high as its highest unit, and flagged if one of them is."""
    many = dataclasses.replace(run, scores=pl.concat([run.scores] * 50))
    t = series.timeline(many)
    assert t.columns == series.COLUMNS
    assert t.outside == 0
    at = t.axis.place(many.scores["start"].dt.epoch("us").to_numpy())
    column = np.minimum((at * t.columns).astype(int), t.columns - 1)
    assert t.at.tolist() == sorted(set(column.tolist()))
    for c, top, usual, flagged in zip(t.at, t.top, t.usual, t.flagged, strict=True):
        mine = many.scores.filter(pl.Series(column == c))
        assert (top, usual, flagged) == (mine["score"].max(), mine["score"].median(), mine["is_anomaly"].any())


def test_volume_and_distribution_count_everything(run):
    """Columns and bins add up to all events and all units."""
    v, d = series.volume(run), series.score_distribution(run)
    assert v.events.sum() + v.outside == run.summary["events"]
    assert d.units.sum() == run.scores.height
    assert d.flagged.sum() == run.scores["is_anomaly"].sum()
    assert d.anomalous is not None
    assert d.anomalous.sum() == 2


def test_sparklines_add_up_to_the_counts(run):
    """A pattern's course holds all of its events."""
    found = run.patterns
    assert series.sparklines(run, found["template"].to_list()).sum(axis=1).tolist() == found["count"].to_list()


@pytest.mark.parametrize("top", [0.9, 5.0, 80.0, 1e6])
def test_scales_are_undone_by_their_inverse(run, top):
    """Positions grow with scores, and ticks lie inside."""
    scale = series.Scale(top, 1.0, linear=top < 6)
    places = scale.place(np.linspace(0, top, 50))
    assert (np.diff(places) > 0).all()
    assert np.allclose(scale.scores(places), np.linspace(0, top, 50))
    assert scale.ticks[0] == 0
    assert 2 <= len(scale.ticks) <= 9
    assert max(scale.ticks) <= top


def test_incidents_lie_at_their_worst_unit(run):
    """A marker's position and score are those of the finding's strangest unit."""
    findings = run.find()
    axis = series.axis_of(run)
    places = series.incident_places(run, findings, axis)
    assert findings
    for one, place in zip(findings, places, strict=True):
        unit = run.scores.filter(pl.col("key") == one.session).row(0, named=True)
        at = int(unit["start"].timestamp() * 1e6)
        assert place is not None
        assert place == pytest.approx((float(axis.place(np.array(at))), one.score), abs=1e-6)


def test_swim_lanes_rank_sources_by_their_highest_score(run):
    """Lanes come strangest first and keep every source's maximum; the rest is counted."""
    grid = series.swim_lanes(run, most=1)
    every = series.swim_lanes(run)
    assert grid is not None
    assert every is not None
    highest = [max(c[2] for c in cells) for cells in every.cells]
    assert highest == sorted(highest, reverse=True)
    assert highest[0] == run.scores["score"].max()
    assert (grid.names, grid.left_out) == (every.names[:1], len(every.names) - 1)


def test_thinned_curves_keep_their_ends():
    """A curve of many thresholds is thinned without losing its ends or its shape."""
    lines = shop_log(60)
    made = Pipeline(detectors=["presence"]).fit(Lines(lines)).cross_score()
    n = 5_000
    rng = np.random.default_rng(0)
    label = rng.random(n) < 0.2
    scores = pl.DataFrame({"score": rng.random(n) + 0.3 * label, "is_anomaly": label, "label": label})
    found = series.curves(dataclasses.replace(made, scores=scores))
    assert found is not None
    assert found.roc is not None
    x, y = found.roc
    assert len(x) <= 402
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(found.metrics["auc"], abs=0.005)
