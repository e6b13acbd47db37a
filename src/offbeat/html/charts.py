"""The report's charts, from the arrays of ``offbeat.series`` to SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from offbeat import series
from offbeat.finding import Finding
from offbeat.html.svg import (
    WIDE,
    bars,
    chart,
    join,
    line,
    number,
    on_grid,
    percent,
    stretched,
    tag,
    x_axis,
)
from offbeat.run import Run
from offbeat.series import nice_ticks

#: Markers that carry their incident's number; more would hide each other.
_NUMBERED: Final = 9
_LANE: Final = 16


def short(value: float) -> str:
    """Return a figure for an axis: 1.5, 200, 12k, 3M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:.1f}".removesuffix(".0") + unit
    # Minus nothing is nothing.
    return f"{value + 0.0:,.2f}".rstrip("0").rstrip(".")


def timeline(run: Run, findings: Sequence[Finding]) -> Markup:
    """Return the highest score of each stretch of time, the threshold, and a marker for each finding."""
    t, scale = series.timeline(run), series.score_scale(run)
    top, plot = 34.0, 180.0
    base = top + plot
    at = [((c + 0.12) / t.columns, (c + 0.88) / t.columns) for c in t.at.tolist()]
    heights = np.maximum(scale.place(t.top) * plot, 1.0)
    parts = [
        on_grid(
            [(base - float(scale.place(np.array(v))) * plot, short(v)) for v in scale.ticks if v > 0],
            stretched(
                base,
                _some_bars(at, heights, ~t.flagged, base, "bar"),
                _some_bars(at, heights, t.flagged, base, "bar flagged"),
                line((t.at + 0.5) / t.columns, base - scale.place(t.usual) * plot, 4.5 / t.columns, "usual"),
            ),
        )
    ]
    if math.isfinite(run.threshold):
        y = base - float(scale.place(np.array(run.threshold))) * plot
        parts.append(tag("line", x1=0, x2="100%", y1=y, y2=y, class_="threshold"))
        text = f"threshold {short(run.threshold)}"
        ground = tag("rect", x=-104, y=0, width=104, height=17, class_="ground")
        # Close below the markers there is room on the other side only.
        above = y - 21 > top
        parts.append(tag("svg", ground, x="100%", y=y - 21 if above else y + 4, overflow="visible"))
        at_text = y - 9 if above else y + 16
        parts.append(tag("text", text, x="100%", dx=-4, y=at_text, text_anchor="end", class_="tick strong"))
    parts += [_markers(run, findings, t.axis), x_axis(t.axis, base)]
    words = f"Highest score of {t.columns} stretches, with the threshold and {len(findings)} incidents marked"
    return chart(words, int(base) + 36, *parts)


def _some_bars(
    at: list[tuple[float, float]], heights: NDArray[np.float64], which: NDArray[np.bool_], base: float, class_: str
) -> Markup:
    chosen = np.flatnonzero(which).tolist()
    return bars([at[i] for i in chosen], [float(heights[i]) for i in chosen], base, class_)


def _markers(run: Run, findings: Sequence[Finding], axis: series.Axis) -> Markup:
    """Return a marker a finding, the most severe drawn last, with numbers on the first few."""
    out, labelled = [], list[float]()
    for i, place in enumerate(series.incident_places(run, findings, axis)):
        if place is None:
            continue
        one, x = findings[i], min(max(place[0], 0.008), 0.992)
        marks = [tag("use", href=f"#m-{one.severity}", x=percent(x), y=22)]
        if i < _NUMBERED and all(abs(x - other) > 0.022 for other in labelled):
            marks.append(tag("text", str(i + 1), x=percent(x), y=10, text_anchor="middle", class_="tick strong"))
            labelled.append(x)
        title = tag("title", f"{i + 1}. {one.severity} · {one.kind} · score {one.score:.1f}: {one.reason}"[:300])
        out.append(tag("a", title, *marks, href=f"#i-{one.id}", tabindex="-1", class_=f"m {one.severity}"))
    return join(reversed(out))


def swim_lanes(run: Run) -> tuple[list[tuple[str, Markup]], Markup, int] | None:
    """Return (source, lane) for the strangest sources, the axis below them, and how many were left out."""
    grid = series.swim_lanes(run)
    if grid is None:
        return None
    scale = series.score_scale(run)
    lanes = []
    for name, cells in zip(grid.names, grid.cells, strict=True):
        gap = 0.001
        over = [c for c in cells if c[2] >= run.threshold]
        under = [c for c in cells if c[2] < run.threshold]
        paths = []
        for some, class_ in ((under, "bar"), (over, "bar flagged")):
            # The height says what colour says: only what reaches the threshold fills its lane.
            tall = [_LANE * (1.0 if class_ != "bar" else 0.75 * _of(c[2], run.threshold, scale)) for c in some]
            paths.append(bars([(a, max(b - gap, a + gap)) for a, b, _ in some], tall, _LANE, class_))
        ground = tag("rect", x=0, y=0, width="100%", height=_LANE, class_="lane")
        most = max((c[2] for c in cells), default=0.0)
        words = f"{name}: highest score {most:.1f}, {len(over)} of {len(cells)} stretches reach the threshold"
        lanes.append((name, chart(words, _LANE, ground, stretched(_LANE, *paths))))
    return lanes, chart("time", 34, x_axis(grid.axis, 0)), grid.left_out


def _of(score: float, threshold: float, scale: series.Scale) -> float:
    """Return how much of the way to the threshold (or to the top, where there is none) a score is."""
    whole = threshold if math.isfinite(threshold) and threshold > 0 else scale.top
    return min(max(score / whole, 0.08), 1.0)


def volume(run: Run) -> Markup:
    """Return events over time, warnings and errors apart."""
    v = series.volume(run)
    height = 120.0
    peak = max(int(v.events.max(initial=0)), 1)
    top = 22.0
    base, n = top + height, len(v.events)
    at = [((i + 0.08) / n, (i + 0.92) / n) for i in range(n)]
    paths = []
    for counts, class_ in ((v.events, "bar"), (v.warnings + v.errors, "bar warned"), (v.errors, "bar flagged")):
        tall = [0.0 if c == 0 else max(c / peak * height, 1.0) for c in counts.tolist()]
        paths.append(bars(at, tall, base, class_))
    ticks = [(base - t / peak * height, short(t)) for t in nice_ticks(peak, 3) if t > 0]
    words = f"Events over time; at most {peak:,} in one stretch"
    return chart(words, int(base) + 36, on_grid(ticks, stretched(base, *paths)), x_axis(v.axis, base))


def distribution(run: Run) -> Markup:
    """Return how many units score how much, on a logarithmic scale of counts."""
    d = series.score_distribution(run)
    top, height = 22.0, 130.0
    base, n = top + height, len(d.units)
    peak = math.log10(max(float(d.units.max(initial=0)), 1.0)) + 0.35

    def tall(counts: NDArray[np.float64]) -> list[float]:
        return [0.0 if c <= 0 else (math.log10(max(c, 1.0)) + 0.3) / peak * height for c in counts.tolist()]

    at = [((i + 0.08) / n, (i + 0.92) / n) for i in range(n)]
    paths = [bars(at, tall(d.units), base, "bar"), bars(at, tall(d.flagged), base, "bar flagged")]
    if d.anomalous is not None:
        third = [(a + (b - a) * 0.3, b - (b - a) * 0.3) for a, b in at]
        paths.append(bars(third, tall(d.anomalous), base, "bar labelled"))
    counts = [10.0**k for k in range(int(peak) + 1)]
    parts = [
        on_grid([(base - (math.log10(c) + 0.3) / peak * height, short(c)) for c in counts], stretched(base, *paths))
    ]
    if math.isfinite(run.threshold):
        place = float(d.scale.place(np.array(run.threshold)))
        anchor, shift = ("end", -6) if place > 0.6 else ("start", 6)
        x = percent(place)
        parts.append(tag("line", x1=x, x2=x, y1=2, y2=base, class_="threshold"))
        label = f"threshold {short(run.threshold)}"
        parts.append(tag("text", label, x=x, dx=shift, y=12, text_anchor=anchor, class_="tick halo strong"))
    parts.append(tag("line", x1=0, x2="100%", y1=base, y2=base, class_="axis"))
    for i, tick in enumerate(d.scale.ticks):
        anchor = "start" if i == 0 else "middle"
        x = percent(float(d.scale.place(np.array(tick))))
        parts.append(tag("text", short(tick), x=x, y=base + 16, text_anchor=anchor, class_="tick"))
    return chart(f"Distribution of the scores of {run.scores.height:,} {run.unit}s", int(base) + 22, *parts)


def sparklines(run: Run, templates: Sequence[int]) -> list[Markup]:
    """Return a small course over time for each template."""
    counts = series.sparklines(run, templates)
    height, out = 18, []
    for row in counts:
        n, peak = len(row), max(int(row.max(initial=0)), 1)
        at = [(i / n, (i + 0.85) / n) for i in range(n)]
        # The square root keeps single lines visible beside bursts.
        tall = [0.0 if c == 0 else max(math.sqrt(c / peak) * height, 2.0) for c in row.tolist()]
        paths = bars(at, tall, height, "bar")
        box = {"viewBox": f"0 0 {WIDE} {height}", "preserveAspectRatio": "none", "aria_hidden": "true"}
        out.append(tag("svg", tag("path", d=f"M0 {height}H{WIDE}", class_="axis"), paths, class_="spark", **box))
    return out


def curve(
    points: tuple[NDArray[np.float64], NDArray[np.float64]],
    here: tuple[float, float],
    words: str,
    names: tuple[str, str],
    *,
    steps: bool = False,
) -> Markup:
    """Return a square plot of a curve with the own threshold's point marked.

    Args:
        points: x and y between 0 and 1, each of shape (k,).
        here: the point to mark.
        words: what the plot shows.
        names: of the axes.
        steps: join points by steps, as average precision does; else by lines, with the diagonal that chance gives.
    """
    x, y = points
    side, left, top = 260, 34, 10
    px, py = left + x * side, top + (1 - y) * side
    pairs = [(number(a), number(b)) for a, b in zip(px.tolist(), py.tolist(), strict=True)]
    if steps:
        path = "M" + " ".join(pairs[0]) + "".join(f"V{b}H{a}" for a, b in pairs)
    else:
        path = "M" + "L".join(f"{a} {b}" for a, b in pairs)
    parts = []
    for t in (0, 0.25, 0.5, 0.75, 1):
        a, b = left + t * side, top + (1 - t) * side
        parts.append(tag("line", x1=left, x2=left + side, y1=b, y2=b, class_="gridline"))
        parts.append(tag("text", f"{t:g}", x=left - 6, y=b + 4, text_anchor="end", class_="tick"))
        parts.append(tag("text", f"{t:g}", x=a, y=top + side + 16, text_anchor="middle", class_="tick"))
    if not steps:
        parts.append(tag("path", d=f"M{left} {top + side}L{left + side} {top}", class_="chance"))
    cx, cy = left + here[0] * side, top + (1 - here[1]) * side
    parts += [
        tag("path", d=path, class_="curve"),
        tag("circle", tag("title", "at the threshold"), cx=cx, cy=cy, r=5, class_="here"),
        tag("text", names[0], x=left + side / 2, y=top + side + 33, text_anchor="middle", class_="tick"),
        tag("text", names[1], x=left + 6, y=top + 12, class_="tick halo"),
    ]
    return tag("svg", *parts, class_="square", viewBox=f"0 0 {left + side + 12} {top + side + 40}", role="img",
               aria_label=words)  # fmt: skip


def shares(views: dict[str, float], threshold: float) -> list[tuple[str, float, Markup]]:
    """Return (view, surprise, bar) for each view, the strongest first, with the threshold marked on each bar."""
    line = threshold if math.isfinite(threshold) else 0.0
    top = max([*views.values(), line, 1e-9]) * 1.02
    out = []
    for view, value in sorted(views.items(), key=lambda pair: (-pair[1], pair[0])):
        class_ = "bar flagged" if value >= threshold else "bar"
        parts = [
            tag("rect", x=0, y=0, width="100%", height=10, class_="lane"),
            tag("rect", x=0, y=0, width=percent(max(value, 0) / top), height=10, class_=class_),
        ]
        if line:
            x = percent(line / top)
            parts.append(tag("line", x1=x, x2=x, y1=0, y2=10, class_="threshold solid"))
        out.append((view, value, tag("svg", *parts, width="100%", height=10, aria_hidden="true")))
    return out
