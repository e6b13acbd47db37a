"""Attributions and activations as matplotlib figures aligned with the lines of a session; without pyplot.

Needs the extra ``plot``. What is told by colour is told by lightness or hatching, too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from offbeat.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

#: Background, ink and faint ink; bars that raise the score, as context, and that lower it.
_LIGHT: Final = ("#ffffff", "#39424a", "#a8b2bb", "#c2410c", "#f0b995", "#1f5f8b")
_DARK: Final = ("#16191c", "#d5dbe0", "#5a656e", "#f97316", "#8a4a21", "#6fb1de")
#: Lines shown, at most, and characters of each.
_LINES: Final = 60
_WIDE: Final = 64


def plot_attribution(
    events: Sequence[str],
    values: ArrayLike,
    context: ArrayLike | None = None,
    title: str = "What each event adds to the score",
    dark: bool = False,
) -> Figure:
    """Return a bar a line, in the order of the session, to the right where the event adds to the score.

    Args:
        events: the line or template of each event, n of them; of many, those around the largest value are shown.
        values: what each adds in all, in nats for example, shape (n,).
        context: how much of it the event adds as context of others, shape (n,), hatched and drawn apart; see
            ``detect.attribution.Attribution``.
        title: of the figure.
        dark: for a dark page.

    Raises:
        OptionError: matplotlib is not installed, there are no events, or not one value an event.
    """
    total = _checked(events, values, 1, "plot_attribution")
    rest = np.zeros(len(total)) if context is None else _checked(events, context, 1, "plot_attribution")
    some = _window(np.abs(total))
    colors = _DARK if dark else _LIGHT
    figure, axes = _new(9, 1.3 + 0.24 * len(some), colors)
    own = total - rest
    place = np.arange(len(some))
    # Parts of one sign lie end to end, so that neither hides the other.
    left = np.where(np.sign(own) == np.sign(rest), own, 0.0)[some]
    for part, start, hatch, which in ((own[some], 0.0 * left, "", "seen"), (rest[some], left, "////", "context")):
        for sign, color in ((1, colors[3] if which == "seen" else colors[4]), (-1, colors[5])):
            here = part * sign > 0
            if here.any():
                words = "adds" if sign > 0 else "lowers"
                label = words if context is None else f"{words}, as {'itself' if which == 'seen' else which}"
                axes.barh(place[here], part[here], 0.72, start[here], color=color, hatch=hatch, label=label,
                          edgecolor=colors[0], linewidth=0.4)  # fmt: skip
    axes.axvline(0, color=colors[1], linewidth=0.8)
    _lines(axes, events, some, {int(total.argmax())} if (total > 0).any() else set())
    axes.set_xlabel("nats")
    axes.set_title(_titled(title, some, len(total)))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small", labelcolor=colors[1], loc="best")
    return figure


def plot_activations(
    events: Sequence[str],
    matrix: ArrayLike,
    mark: Collection[int] = (),
    units: int = 48,
    title: str = "Hidden units over the events",
    dark: bool = False,
) -> Figure:
    """Return a heat map: a row a line, a column a hidden unit; the lightness alone tells the value.

    Args:
        events: the line or template of each event, n of them; of many, those around the marked ones are shown, or
            where most changes.
        matrix: a state or gate over the events, shape (n, hidden); see ``detect.activations.Activations``. Where a
            value is negative the scale is -1 to 1, else 0 to 1.
        mark: events to point at, 0-based.
        units: at most so many columns: the units that change most, in their order.
        title: of the figure.
        dark: for a dark page.

    Raises:
        OptionError: matplotlib is not installed, there are no events, not one row an event, or a marked event is none.
    """
    values = _checked(events, matrix, 2, "plot_activations")
    if any(not 0 <= one < len(values) for one in mark):
        raise OptionError(f"marks an event that is none of {len(values)}", where="plot_activations")
    strength = np.zeros(len(values))
    strength[list(mark)] = 1.0
    if not mark:
        strength[1:] = np.abs(np.diff(values, axis=0)).sum(axis=1)
    some = _window(strength)
    shown = np.sort(np.argsort(-values[some].std(axis=0), kind="stable")[:units])
    colors = _DARK if dark else _LIGHT
    figure, axes = _new(4.5 + 0.13 * len(shown), 1.5 + 0.24 * len(some), colors)
    low = -1.0 if (values < 0).any() else 0.0
    # cividis grows evenly from dark to light, so it is legible in grey and to colour-blind readers.
    image = axes.imshow(
        values[np.ix_(some, shown)], aspect="auto", cmap="cividis", vmin=low, vmax=1.0, interpolation="nearest"
    )
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 6 / (1.5 + 0.24 * len(some))), pad=0.01)
    bar.ax.tick_params(colors=colors[1], labelsize="small")
    bar.outline.set_visible(False)
    _lines(axes, events, some, set(mark))
    there = np.array(sorted(set(mark) & set(some.tolist())), dtype=np.int64)
    for run in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1) if len(there) else []:
        low_edge, high_edge = run[0] - some[0] - 0.5, run[-1] - some[0] + 0.5
        axes.axhspan(low_edge, high_edge, fill=False, edgecolor=colors[3], linewidth=1.6)
    every = max(1, len(shown) // 16)
    axes.set_xticks(range(0, len(shown), every), [str(n) for n in shown[::every]], fontsize="small")
    axes.set_xlabel("hidden unit" + (f" ({len(shown)} of {values.shape[1]})" if len(shown) < values.shape[1] else ""))
    axes.set_title(_titled(title, some, len(values)))
    return figure


def _new(width: float, height: float, colors: Sequence[str]) -> tuple[Figure, Axes]:
    """Return an empty figure, sizes in inches, and its axes."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise OptionError("needs matplotlib", where="figures_why", hint="pip install 'offbeat[plot]'") from None
    figure = Figure(figsize=(width, max(height, 2.2)), layout="constrained", facecolor=colors[0])
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=colors[0])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(colors[2])
    axes.tick_params(colors=colors[1])
    for text in (axes.title, axes.xaxis.label):
        text.set_color(colors[1])
    return figure, axes


def _checked(events: Sequence[str], values: ArrayLike, dimensions: int, where: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if not len(events):
        raise OptionError("there is no event to draw", where=where)
    if array.ndim != dimensions or len(array) != len(events):
        raise OptionError(f"{len(events)} events, but values of shape {array.shape}", where=where)
    return array


def _window(strength: Floats) -> NDArray[np.int64]:
    """Return consecutive places around the strongest, all where they are few."""
    n = len(strength)
    begin = min(max(0, int(strength.argmax()) - 2 * _LINES // 3), max(0, n - _LINES))
    return np.arange(begin, min(n, begin + _LINES))


def _lines(axes: Axes, events: Sequence[str], some: NDArray[np.int64], mark: Collection[int]) -> None:
    """Write the lines beside the rows, first on top, the marked ones bold and pointed at."""
    words = [_short(events[i]) for i in some]
    axes.set_yticks(np.arange(len(some)), [f"▶ {w}" if i in mark else w for i, w in zip(some, words, strict=True)])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(some) - 0.5, -0.5)
    text: Any
    for i, text in zip(some, axes.get_yticklabels(), strict=True):
        text.set_parse_math(False)  # a log's dollar signs are no formulas
        text.set(fontfamily="monospace", fontsize="small", fontweight="bold" if i in mark else "normal")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDE else line[: _WIDE - 1] + "…"


def _titled(title: str, some: NDArray[np.int64], n: int) -> str:
    return title if len(some) == n else f"{title}\nevents {some[0] + 1} to {some[-1] + 1} of {n}"
