"""What the plots of a run show, as small arrays: however large the run, each is ready to draw and keeps its maxima."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.finding import Finding
from offbeat.run import Run
from offbeat.schema import weights
from offbeat.tally import wider

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Columns of the timeline: four pixels each on a desktop, and no sharper on paper.
COLUMNS: Final = 240
_LANE_COLUMNS: Final = 120
_VOLUME_COLUMNS: Final = 120
SPARK_COLUMNS: Final = 40
_BINS: Final = 60
_CURVE_POINTS: Final = 400
#: Beyond this many thresholds, scores are drawn on a logarithmic scale.
_LINEAR_UP_TO: Final = 6.0
#: A share this small at either end is left off the axis where that makes it ten times shorter: stray time stamps.
_STRAY: Final = 0.005


@dataclass(frozen=True)
class Axis:
    """Where things lie: in time (microseconds since 1970, UTC), or in the order of the input."""

    timed: bool
    low: int
    high: int

    def place(self, at: Ints) -> Floats:
        """Return positions between 0 and 1; outside of it for what lies off the axis."""
        return np.asarray((at - self.low) / (self.high - self.low), dtype=np.float64)

    @property
    def ends(self) -> tuple[datetime, datetime] | None:
        """The times of both ends; None by order."""
        return (as_time(self.low), as_time(self.high)) if self.timed else None


def as_time(at: int) -> datetime:
    """Return microseconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000)


@dataclass(frozen=True)
class Scale:
    """Positions of scores between 0 and 1: linear, or logarithmic where the highest dwarfs the threshold."""

    top: float
    knee: float
    linear: bool

    def place(self, scores: Floats) -> Floats:
        """Return positions, 0 at score 0 and 1 at ``top``."""
        if self.linear:
            return np.clip(scores / self.top, 0.0, 1.0)
        return np.clip(np.log1p(np.maximum(scores, 0) / self.knee) / math.log1p(self.top / self.knee), 0.0, 1.0)

    def scores(self, places: Floats) -> Floats:
        """Return the scores at positions: the inverse of ``place``."""
        if self.linear:
            return places * self.top
        return np.asarray(self.knee * np.expm1(places * math.log1p(self.top / self.knee)), dtype=np.float64)

    @property
    def ticks(self) -> list[float]:
        """Round scores to write beside the axis, about five."""
        if self.linear:
            return nice_ticks(self.top)
        steps = [m * 10.0**k for k in range(-3, 16) for m in (1, 2, 5)]
        inside = [s for s in steps if self.knee <= s <= self.top]
        return [0.0, *inside[:: max(1, math.ceil(len(inside) / 5))]]


def nice_ticks(top: float, most: int = 5) -> list[float]:
    """Return round numbers from 0 up to ``top``, at most ``most`` beside 0 (Heckbert, 1990, Nice numbers)."""
    if top <= 0 or not math.isfinite(top):
        return [0.0]
    raw = top / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    return [round(i * step, 10) for i in range(int(top / step + 1e-9) + 1)]


def score_scale(run: Run) -> Scale:
    """Return the scale of a run's scores."""
    scores = run.scores["score"].to_numpy()
    line = run.threshold if math.isfinite(run.threshold) and run.threshold > 0 else 1.0
    top = max(float(scores.max(initial=0.0)), line) * 1.05
    return Scale(top, line, top <= _LINEAR_UP_TO * line)


def axis_of(run: Run) -> Axis:
    """Return the axis on which a run's units lie; by order where no unit has a time."""
    times = run.scores["start"].drop_nulls().dt.epoch("us").sort().to_numpy()
    if not len(times):
        return Axis(False, 0, max(run.scores.height, 1))
    low, high = int(times[0]), int(times[-1])
    stray = max(1, int(len(times) * _STRAY)) if len(times) > 2 else 0
    inner_low, inner_high = int(times[stray]), int(times[-1 - stray])
    inner = inner_high - inner_low
    if 0 < inner * 10 < high - low:
        near = times[(times >= inner_low - inner) & (times <= inner_high + inner)]
        low, high = int(near[0]), int(near[-1])
    return Axis(True, low, max(high, low + 1_000_000))


def _positions(run: Run, axis: Axis) -> pl.Series:
    """Return where each unit lies; null for one without a time on an axis of time."""
    if axis.timed:
        return run.scores["start"].dt.epoch("us")
    return pl.Series(range(run.scores.height), dtype=pl.Int64)


@dataclass(frozen=True)
class Timeline:
    """Scores over time, in columns.

    Attributes:
        axis: where the columns lie.
        columns: how many there are room for; those without a unit are left out.
        at: index of each column, shape (k,).
        top: the highest score in it, shape (k,).
        usual: the median score in it, shape (k,).
        flagged: whether it holds an anomaly, shape (k,).
        outside: units that lie off the axis or have no time.
    """

    axis: Axis
    columns: int
    at: Ints
    top: Floats
    usual: Floats
    flagged: NDArray[np.bool_]
    outside: int


def timeline(run: Run) -> Timeline:
    """Return the scores over time, keeping every column's highest."""
    axis = axis_of(run)
    columns = min(COLUMNS, max(24, run.scores.height))
    column = (pl.col("at") - axis.low).cast(pl.Float64) / (axis.high - axis.low) * columns
    # The last unit lies on the axis' end.
    column = pl.when(pl.col("at") == axis.high).then(columns - 1.0).otherwise(column.floor())
    frame = run.scores.select("score", "is_anomaly").with_columns(_positions(run, axis).alias("at"))
    frame = frame.with_columns(column=column)
    inside = frame.filter(pl.col("column").is_between(0, columns - 1))
    found = (
        inside.group_by(pl.col("column").cast(pl.Int64))
        .agg(pl.col("score").max().alias("top"), pl.col("score").median().alias("usual"), pl.col("is_anomaly").any())
        .sort("column")
    )
    at, top, usual, flagged = (found[c].to_numpy() for c in ("column", "top", "usual", "is_anomaly"))
    return Timeline(axis, columns, at, top, usual, flagged, frame.height - inside.height)


def incident_places(run: Run, findings: Sequence[Finding], axis: Axis) -> list[tuple[float, float] | None]:
    """Return (position, score) of each finding: where its worst unit starts, or it does itself if it is about none.

    None where that lies off the axis, or has no time on an axis of time.
    """
    units = _positions(run, axis)
    out: list[tuple[float, float] | None] = []
    for one in findings:
        if one.unit is not None:
            at = units[one.unit]
        else:
            at = round(one.start.timestamp() * 1e6) if axis.timed and one.start is not None else None
        inside = at is not None and axis.low <= at <= axis.high
        out.append((float(axis.place(np.array(at))), one.score) if inside else None)
    return out


@dataclass(frozen=True)
class LaneGrid:
    """The highest score of each source over time.

    Attributes:
        axis: as for the timeline.
        names: of the sources, the strangest first.
        left_out: sources that there was no room for.
        cells: by source, (from, to, score) with positions between 0 and 1.
    """

    axis: Axis
    names: list[str]
    left_out: int
    cells: list[list[tuple[float, float, float]]]


def swim_lanes(run: Run, most: int = 16) -> LaneGrid | None:
    """Return the lanes of the strangest sources; None where no source is known."""
    axis, frame = axis_of(run), run.lanes.frame()
    frame = frame.filter(pl.col("source") > 0)
    if frame.is_empty() or axis.timed != run.lanes.timed:
        return None
    width = wider(axis.timed, axis.high - axis.low, _LANE_COLUMNS, run.lanes.width)
    frame = frame.with_columns(bucket=pl.col("bucket") * run.lanes.width // width * width)
    frame = frame.group_by("source", "bucket").agg(pl.col("score").max()).sort("bucket")
    over = (pl.col("score") >= run.threshold).sum()
    ranked = frame.group_by("source").agg(pl.col("score").max(), over.alias("over"))
    names = pl.Series("name", [run.sources[c] or "" for c in ranked["source"]], dtype=pl.String)
    ranked = ranked.with_columns(names).sort("score", "over", "name", descending=[True, True, False])
    cells = []
    for code in ranked["source"].head(most):
        mine = frame.filter((pl.col("source") == code) & pl.col("bucket").is_between(axis.low - width + 1, axis.high))
        low, high = (axis.place(mine["bucket"].to_numpy() + w).clip(0, 1) for w in (0, width))
        cells.append(list(zip(low.tolist(), high.tolist(), mine["score"].to_list(), strict=True)))
    return LaneGrid(axis, ranked["name"].head(most).to_list(), max(0, ranked.height - most), cells)


@dataclass(frozen=True)
class Volume:
    """Events over time in columns of equal width; ``warnings`` and ``errors`` are parts of ``events``, shape (n,)."""

    axis: Axis
    width: int
    events: Ints
    warnings: Ints
    errors: Ints
    outside: int


def _event_axis(run: Run, columns: int) -> tuple[Axis, int]:
    """Return an axis that begins and ends on whole columns, and their width."""
    units, tally = axis_of(run), run.tally
    if units.timed and tally.timed:
        low, high = units.low, units.high
    else:
        buckets = run.volume["bucket"].to_numpy()
        low, high = int(buckets.min(initial=0)) * tally.width, (int(buckets.max(initial=0)) + 1) * tally.width - 1
    width = wider(tally.timed, high - low, columns - 1, tally.width)
    return Axis(tally.timed, low // width * width, (high // width + 1) * width), width


def volume(run: Run) -> Volume:
    """Return the number of events over time."""
    axis, width = _event_axis(run, _VOLUME_COLUMNS)
    n = (axis.high - axis.low) // width
    frame = run.volume
    column = (frame["bucket"].to_numpy() * run.tally.width - axis.low) // width
    inside = (column >= 0) & (column < n)
    counts = np.zeros((3, n), dtype=np.int64)
    for row, name in zip(counts, ("events", "warnings", "errors"), strict=True):
        np.add.at(row, column[inside], frame[name].to_numpy()[inside].astype(np.int64))
    return Volume(axis, width, counts[0], counts[1], counts[2], run.tally.events - int(counts[0].sum()))


@dataclass(frozen=True)
class Distribution:
    """How many units score how much.

    Attributes:
        scale: of the scores.
        edges: of the bins, shape (n + 1,).
        units: in each bin, shape (n,).
        flagged: anomalies in each bin, shape (n,).
        anomalous: units labelled as anomalous in each bin, shape (n,); None without labels.
    """

    scale: Scale
    edges: Floats
    units: Floats
    flagged: Floats
    anomalous: Floats | None


def score_distribution(run: Run) -> Distribution:
    """Return the distribution of the scores."""
    scale = score_scale(run)
    scores, flagged = run.scores["score"].to_numpy(), run.scores["is_anomaly"].to_numpy()
    bins = np.minimum((scale.place(scores) * _BINS).astype(np.int64), _BINS - 1)
    weight = weights(run.scores)

    def count(of: NDArray[np.bool_]) -> Floats:
        return np.bincount(bins[of], weights=weight[of], minlength=_BINS).astype(np.float64)

    label = run.scores["label"].to_numpy() if "label" in run.scores.columns else None
    edges = scale.scores(np.linspace(0, 1, _BINS + 1))
    every = np.ones(len(scores), dtype=bool)
    return Distribution(scale, edges, count(every), count(flagged), None if label is None else count(label))


def sparklines(run: Run, templates: Sequence[int]) -> Ints:
    """Return each template's counts over time, shape (templates, columns), columns at most SPARK_COLUMNS."""
    axis, width = _event_axis(run, SPARK_COLUMNS)
    return run.tally.series(list(templates), axis.low, width, (axis.high - axis.low) // width)


@dataclass(frozen=True)
class Curves:
    """How scores and alarms compare with labels.

    Attributes:
        metrics: as ``evaluate`` gives them; None for what is undefined.
        roc: (false positive rate, true positive rate), shapes (k,); None with one class only.
        precision_recall: (recall, precision), shapes (k,); None without anomalies.
        confusion: units by (label, alarm): ``[[normal passed, normal alarmed], [anomaly passed, anomaly alarmed]]``.
    """

    metrics: dict[str, float | int | None]
    roc: tuple[Floats, Floats] | None
    precision_recall: tuple[Floats, Floats] | None
    confusion: list[list[float]]


def curves(run: Run) -> Curves | None:
    """Compare a run with its labels; None where it was scored without."""
    from offbeat.evaluate.metrics import measure, pr_curve, roc_curve

    if "label" not in run.scores.columns:
        return None
    s = run.scores
    y, score, alarm = (s[c].to_numpy() for c in ("label", "score", "is_anomaly"))
    weight = weights(s)
    confusion = [[float(weight[(y == a) & (alarm == b)].sum()) for b in (False, True)] for a in (False, True)]
    roc, precision = roc_curve(y, score, weight), pr_curve(y, score, weight)
    anomalies, normals = sum(confusion[1]) > 0, sum(confusion[0]) > 0
    return Curves(
        measure(y, score, alarm, weight).as_dict(),
        thinned(roc.fpr, roc.tpr) if anomalies and normals else None,
        thinned(precision.recall, precision.precision) if anomalies else None,
        confusion,
    )


def thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Drop points so close to the one before that no eye tells them apart; both ends stay."""
    step = np.abs(np.diff(x)) + np.abs(np.diff(y))
    cell = np.floor(np.concatenate(([0.0], np.cumsum(step))) / max(float(step.sum()), 1e-12) * _CURVE_POINTS)
    keep = np.concatenate(([True], np.diff(cell) > 0))
    keep[-1] = True
    return x[keep], y[keep]
