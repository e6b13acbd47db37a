"""The report's plots as matplotlib figures: needs the extra ``plot``.

Each function takes a run and returns a ``matplotlib.figure.Figure`` of its own on the Agg canvas; nothing touches
pyplot's global state, so they may be made in any thread and need no closing. ``figure.savefig("timeline.png")`` writes
one; a notebook shows it by itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from offbeat import series
from offbeat.errors import NotEnoughDataError, OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from offbeat.run import Run

#: Told apart by lightness too, so that print and colour-blind readers lose nothing.
_BAR: Final = "#a8b2bb"
_FLAG: Final = "#c2410c"
_WARN: Final = "#d9a441"
_LABEL: Final = "#1f5f8b"
_INK: Final = "#39424a"


def timeline(run: Run) -> Figure:
    """Return the highest score of each stretch of time, with the median, the threshold and the anomalies."""
    t, scale = series.timeline(run), series.score_scale(run)
    figure, axes = _new(10, 3.6)
    edges = _edges(t.axis, t.columns)
    left, width = edges[:-1][t.at], np.diff(edges)[t.at]
    for which, color, label in ((~t.flagged, _BAR, "not flagged"), (t.flagged, _FLAG, "flagged")):
        axes.bar(left[which], t.top[which], width[which] * 0.85, align="edge", color=color, label=label)
    axes.plot(left + width / 2, t.usual, color=_INK, linewidth=1, label="median")
    _threshold(axes, run, along="x")
    _score_scale(axes, scale, "y")
    axes.set_ylim(top=scale.top * 1.15)  # room for the legend
    _time_axis(axes, t.axis, run.unit)
    axes.set_ylabel("score")
    axes.set_title(f"Highest score of the {run.unit}s")
    axes.legend(frameon=False, ncols=4, loc="upper left", fontsize="small")
    return figure


def score_distribution(run: Run) -> Figure:
    """Return how many units score how much, counts on a logarithmic scale; with labels, those of anomalies too."""
    d = series.score_distribution(run)
    figure, axes = _new(8, 3.6)
    width = np.diff(d.edges)
    axes.bar(d.edges[:-1], d.units, width * 0.9, align="edge", color=_BAR, label="all")
    axes.bar(d.edges[:-1], d.flagged, width * 0.9, align="edge", color=_FLAG, label="flagged")
    if d.anomalous is not None:
        inner = d.edges[:-1] + width * 0.3
        axes.bar(inner, d.anomalous, width * 0.3, align="edge", color=_LABEL, label="labelled as anomalies")
    _threshold(axes, run, along="y")
    _score_scale(axes, d.scale, "x")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.5)
    axes.set(xlabel="score", ylabel=f"{run.unit}s", title="Distribution of the scores")
    axes.legend(frameon=False, fontsize="small")
    return figure


def swim_lanes(run: Run) -> Figure:
    """Return the highest score of any unit in which a source took part, over time, the strangest sources first.

    Raises:
        NotEnoughDataError: no source is known.
    """
    grid = series.swim_lanes(run)
    if grid is None:
        raise NotEnoughDataError("no event names its source", where="swim_lanes")
    line = run.threshold if math.isfinite(run.threshold) and run.threshold > 0 else series.score_scale(run).top
    figure, axes = _new(10, 1.2 + 0.28 * len(grid.names))
    for i, cells in enumerate(grid.cells):
        axes.axhspan(i + 0.08, i + 0.92, color="#f1efe9", zorder=0)
        for over, color in ((False, _BAR), (True, _FLAG)):
            some = [c for c in cells if (c[2] >= run.threshold) == over]
            at = _where(grid.axis, np.array([[c[0], c[1]] for c in some]).reshape(-1, 2))
            tall = np.array([0.84 * (1.0 if over else 0.75 * min(max(c[2] / line, 0.08), 1.0)) for c in some])
            axes.bar(at[:, 0], tall, at[:, 1] - at[:, 0], bottom=i + 0.92 - tall, align="edge", color=color)
    axes.set_yticks(np.arange(len(grid.names)) + 0.5, [name[:40] for name in grid.names])
    axes.set_ylim(len(grid.names), 0)
    axes.tick_params(axis="y", length=0)
    _time_axis(axes, grid.axis, run.unit)
    axes.set_title("Highest score by source; a full bar reaches the threshold")
    return figure


def volume(run: Run) -> Figure:
    """Return the number of events over time, warnings and errors apart."""
    v = series.volume(run)
    figure, axes = _new(10, 3)
    edges = _edges(v.axis, len(v.events))
    width = np.diff(edges) * 0.9
    for counts, color, label in (
        (v.events, _BAR, "all"),
        (v.warnings + v.errors, _WARN, "warnings and errors"),
        (v.errors, _FLAG, "errors"),
    ):
        axes.bar(edges[:-1], counts, width, align="edge", color=color, label=label)
    _time_axis(axes, v.axis, "event")
    axes.set(ylabel="events", title="Events over time")
    axes.legend(frameon=False, ncols=3, loc="upper left", fontsize="small")
    return figure


def roc(run: Run) -> Figure:
    """Return the ROC curve with the threshold in use; raises as ``confusion``, and with one class only."""
    c = _curves(run)
    if c.roc is None:
        raise NotEnoughDataError("the labels are all of one class", where="roc")
    figure, axes = _new(4.6, 4.6)
    axes.plot([0, 1], [0, 1], color=_BAR, linestyle=":", linewidth=1)
    axes.plot(*c.roc, color=_LABEL, label=f"AUC {c.metrics['auc']:.3f}")
    _here(axes, c, "fpr", "recall")
    _square(axes, "false positive rate", "true positive rate", "ROC")
    axes.legend(frameon=False, loc="lower right")
    return figure


def precision_recall(run: Run) -> Figure:
    """Return the precision-recall curve with the threshold in use; raises as ``confusion``, and without anomalies."""
    c = _curves(run)
    if c.precision_recall is None:
        raise NotEnoughDataError("the labels name no anomaly", where="precision_recall")
    figure, axes = _new(4.6, 4.6)
    axes.step(*c.precision_recall, where="pre", color=_LABEL, label=f"average precision {c.metrics['ap']:.3f}")
    _here(axes, c, "recall", "precision")
    _square(axes, "recall", "precision", "Precision and recall")
    axes.legend(frameon=False, loc="best")
    return figure


def confusion(run: Run) -> Figure:
    """Return the confusion matrix at the threshold in use.

    Raises:
        OptionError: the run was scored without labels.
    """
    counts = np.array(_curves(run).confusion)
    figure, axes = _new(4, 3.6)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Greys", vmin=0, vmax=3)
    words = [["rightly passed", "false alarms"], ["missed", "caught"]]
    for i in range(2):
        for j in range(2):
            axes.text(j, i, f"{counts[i, j]:,.0f}\n{words[i][j]}", ha="center", va="center")
    axes.set_xticks([0, 1], ["passed", "alarmed"])
    axes.set_yticks([0, 1], ["normal", "anomalous"])
    axes.tick_params(length=0)
    axes.set_title("Confusion")
    return figure


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure, sizes in inches, and its axes."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise OptionError("needs matplotlib", where="offbeat.figures", hint="pip install 'offbeat[plot]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _where(axis: series.Axis, places: series.Floats) -> series.Floats:
    """Return positions between 0 and 1 in the units of the plot: days since 1970, or order."""
    at = axis.low + places * (axis.high - axis.low)
    return at / 86_400e6 if axis.timed else at


def _edges(axis: series.Axis, n: int) -> series.Floats:
    return _where(axis, np.linspace(0, 1, n + 1))


def _time_axis(axes: Axes, axis: series.Axis, unit: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.set_xlim(*_where(axis, np.array([0.0, 1.0])))
    if axis.timed:
        locator = AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]  # matplotlib's
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))  # type: ignore[no-untyped-call]  # as above
        axes.set_xlabel("UTC")
    else:
        axes.set_xlabel(f"{unit}s in order")


def _score_scale(axes: Axes, scale: series.Scale, which: str) -> None:
    """Scale an axis of scores as the page does."""
    if scale.linear:
        axes.set(**{f"{which}lim": (0, scale.top)})
        return
    from matplotlib.ticker import FixedLocator, NullLocator

    getattr(axes, f"set_{which}scale")(
        "function", functions=(lambda v: np.log1p(np.maximum(v, 0) / scale.knee), lambda p: scale.knee * np.expm1(p))
    )
    axes.set(**{f"{which}lim": (0, scale.top)})
    one = getattr(axes, f"{which}axis")
    one.set_major_locator(FixedLocator(scale.ticks))
    one.set_minor_locator(NullLocator())


def _threshold(axes: Axes, run: Run, along: str) -> None:
    if math.isfinite(run.threshold):
        draw = axes.axhline if along == "x" else axes.axvline
        draw(run.threshold, color="black", linestyle="--", linewidth=1, label=f"threshold {run.threshold:.2f}")


def _here(axes: Axes, c: series.Curves, x: str, y: str) -> None:
    at = [float(c.metrics[name] or 0.0) for name in (x, y)]
    axes.plot(*at, "o", mfc="none", mec=_FLAG, mew=2, ms=9, label="the threshold")


def _square(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def _curves(run: Run) -> series.Curves:
    found = series.curves(run)
    if found is None:
        hint = "Pipeline.score(data, labels) takes them"
        raise OptionError("the run was scored without labels", where="offbeat.figures", hint=hint)
    return found
