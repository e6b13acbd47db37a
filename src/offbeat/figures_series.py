"""A decomposed series as a matplotlib figure, without pyplot: needs the extras ``explain`` and ``plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from offbeat.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from offbeat.explain.decompose import Decomposition

#: Told apart by lightness and by line too, so that print and colour-blind readers lose nothing.
_SEEN: Final = "#39424a"
_PART: Final = "#1f5f8b"
_FLAG: Final = "#c2410c"
_BAR: Final = "#a8b2bb"


def plot_decomposition(decomposition: Decomposition, at: int | None = None, title: str = "") -> Figure:
    """Return a series with what was expected, and below it trend, seasons and rest on the same axis of time.

    Args:
        decomposition: from ``explain.decompose``.
        at: index of the bucket in question; it is marked in the series, and on the part that it sticks out of.
        title: of the figure.

    Raises:
        OptionError: matplotlib is not installed.
        OffbeatError: there is no such bucket.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.figure import Figure
    except ImportError:
        raise OptionError("needs matplotlib", where="figures_series", hint="pip install 'offbeat[plot]'") from None
    d = decomposition
    out = None if at is None else d.sticks_out(at)
    when = d.times.astype("datetime64[us]")
    parts = [("trend", d.trend), *((f"season: {name}", season) for name, season in d.seasons.items()), ("rest", d.rest)]
    figure = Figure(figsize=(10, 1.8 + 1.4 * len(parts)), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [1.6, *([1.0] * len(parts))]
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    panels[0].plot(when, d.seen, color=_SEEN, linewidth=0.9, label="seen")
    panels[0].plot(when, d.expected, color=_PART, linewidth=1.4, linestyle="--", label="trend and season")
    panels[0].set_ylabel("seen")
    panels[0].set_title(title or "Series in parts")
    for axes, (name, part) in zip(panels[1:], parts, strict=True):
        if name == "rest":
            axes.vlines(when, 0, part, color=_BAR, linewidth=1.2)
            axes.axhline(0, color=_SEEN, linewidth=0.6)
            axes.margins(y=0.15)
        else:
            axes.plot(when, part, color=_PART, linewidth=1.2)
        axes.set_ylabel(name)
        if at is not None and out is not None and name.split(":")[0] == out.part:
            mark = f"{out.sd:+.1f} sd" + ("" if out.blamed else ", as usual")
            axes.plot(when[at], part[at], "o", mfc="none", mec=_FLAG, mew=2, ms=9, label=mark)
            axes.legend(frameon=False, loc="upper left", fontsize="small")
    if d.change is not None:
        words = "steps here" if d.change.kind == "step" else "drifts from here on"
        panels[1].axvline(when[d.change.at], color=_FLAG, linestyle=":", linewidth=1.4, label=words)
        panels[1].legend(frameon=False, loc="upper left", fontsize="small")
    if at is not None:
        panels[0].plot(when[at], d.seen[at], "o", mfc="none", mec=_FLAG, mew=2, ms=9, label="in question")
    panels[0].legend(frameon=False, ncols=3, loc="upper left", fontsize="small")
    panels[0].set_ylim(top=d.seen.max() + 0.25 * max(float(np.ptp(d.seen)), 1e-9))  # room for the legend
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    locator = AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]  # matplotlib's
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))  # type: ignore[no-untyped-call]  # as above
    panels[-1].set_xlabel("UTC")
    return figure
