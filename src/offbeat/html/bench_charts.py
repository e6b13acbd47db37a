"""A benchmark's plots: curves of several detectors in one, scores by label, and figures on altered lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from offbeat.html.charts import short
from offbeat.html.svg import bars, chart, number, on_grid, percent, stretched, tag
from offbeat.series import Scale

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: So many lines can be told apart, by colour and by dashes.
LINES = 6
_BINS = 60


def curves(
    named: Sequence[tuple[str, Floats, Floats, tuple[float, float]]], words: str, axes: tuple[str, str], *, steps: bool
) -> Markup:
    """Return a square plot of curves, each with its own threshold's point.

    Args:
        named: (name, x, y, point of the threshold), x and y between 0 and 1; at most LINES.
        words: what the plot shows.
        axes: names of the axes.
        steps: join points by steps, as average precision does; else by lines, with the diagonal that chance gives.
    """
    side, left, top = 300, 34, 10
    parts = [*_frame(side, left, top, axes)]
    if not steps:
        parts.append(tag("path", d=f"M{left} {top + side}L{left + side} {top}", class_="chance"))
    for i, (name, x, y, here) in reversed(list(enumerate(named))):
        pairs = [
            (number(left + a * side), number(top + (1 - b) * side)) for a, b in zip(x.tolist(), y.tolist(), strict=True)
        ]
        path = f"M{pairs[0][0]} {pairs[0][1]}" + "".join(
            f"V{b}H{a}" if steps else f"L{a} {b}" for a, b in pairs[1:]
        )  # fmt: skip
        parts.append(tag("path", tag("title", name), d=path, class_=f"curve c{i}"))
        cx, cy = left + here[0] * side, top + (1 - here[1]) * side
        parts.append(tag("circle", tag("title", f"{name}, own threshold"), cx=cx, cy=cy, r=4, class_=f"dot c{i}"))
    return tag("svg", *parts, class_="square", viewBox=f"0 0 {left + side + 12} {top + side + 40}", role="img",
               aria_label=words)  # fmt: skip


def _frame(side: int, left: int, top: int, axes: tuple[str, str]) -> list[Markup]:
    parts = []
    for t in (0, 0.25, 0.5, 0.75, 1):
        a, b = left + t * side, top + (1 - t) * side
        parts.append(tag("line", x1=left, x2=left + side, y1=b, y2=b, class_="gridline"))
        parts.append(tag("text", f"{t:g}", x=left - 6, y=b + 4, text_anchor="end", class_="tick"))
        parts.append(tag("text", f"{t:g}", x=a, y=top + side + 16, text_anchor="middle", class_="tick"))
    parts.append(tag("text", axes[0], x=left + side / 2, y=top + side + 33, text_anchor="middle", class_="tick"))
    parts.append(tag("text", axes[1], x=left + 6, y=top + 12, class_="tick halo"))
    return parts


def scores(score: Floats, label: Bools, weight: Floats, threshold: float, words: str) -> Markup:
    """Return how many normal and anomalous units score how much, counts on a logarithmic scale.

    Args:
        score: of each unit, shape (n,).
        label: whether it is anomalous, shape (n,).
        weight: how many units it stands for, shape (n,).
        threshold: the own one.
        words: what the plot shows.
    """
    low = min(float(score.min(initial=0.0)), 0.0)
    line = threshold - low if math.isfinite(threshold) and threshold > low else 1.0
    top = max(float(score.max(initial=0.0)) - low, line) * 1.05
    scale = Scale(top, line, top <= 6 * line)
    bins = np.minimum((scale.place(score - low) * _BINS).astype(np.int64), _BINS - 1)
    normal, anomalous = (np.bincount(bins[of], weights=weight[of], minlength=_BINS) for of in (~label, label))
    above, height = 18.0, 110.0
    base = above + height
    peak = math.log10(max(float(max(normal.max(), anomalous.max())), 1.0)) + 0.35

    def tall(counts: NDArray[Any]) -> list[float]:
        return [0.0 if c <= 0 else (math.log10(max(c, 1.0)) + 0.3) / peak * height for c in counts.tolist()]

    at = [((i + 0.05) / _BINS, (i + 0.95) / _BINS) for i in range(_BINS)]
    third = [(a + (b - a) * 0.3, b - (b - a) * 0.3) for a, b in at]
    marks = stretched(base, bars(at, tall(normal), base, "bar"), bars(third, tall(anomalous), base, "bar labelled"))
    counts = [10.0**k for k in range(int(peak) + 1)]
    parts = [on_grid([(base - (math.log10(c) + 0.3) / peak * height, short(c)) for c in counts], marks)]
    if math.isfinite(threshold):
        place = float(scale.place(np.array(threshold - low)))
        anchor, shift = ("end", -6) if place > 0.6 else ("start", 6)
        x = percent(place)
        parts.append(tag("line", x1=x, x2=x, y1=2, y2=base, class_="threshold"))
        words_at = f"threshold {short(threshold)}"
        parts.append(tag("text", words_at, x=x, dx=shift, y=11, text_anchor=anchor, class_="tick halo strong"))
    parts.append(tag("line", x1=0, x2="100%", y1=base, y2=base, class_="axis"))
    for i, value in enumerate(scale.ticks):
        anchor = "start" if i == 0 else "middle"
        x = percent(float(scale.place(np.array(value))))
        parts.append(tag("text", short(value + low), x=x, y=base + 16, text_anchor=anchor, class_="tick"))
    return chart(words, int(base) + 22, *parts)


def against_share(named: Sequence[tuple[str, Floats, Floats]], words: str) -> Markup:
    """Return a small plot of F1 against the share of altered lines.

    Args:
        named: (name, shares, F1), at most LINES.
        words: what the plot shows.
    """
    wide, high, left, top = 240, 170, 30, 10
    most = max((float(shares.max()) for _, shares, _ in named), default=0.2) or 0.2
    parts = []
    for t in (0, 0.5, 1):
        y = top + (1 - t) * high
        parts.append(tag("line", x1=left, x2=left + wide, y1=y, y2=y, class_="gridline"))
        parts.append(tag("text", f"{t:g}", x=left - 6, y=y + 4, text_anchor="end", class_="tick"))
    ticks = sorted({share for _, shares, _ in named for share in shares.tolist()})
    for share in ticks:
        x = left + share / most * wide
        parts.append(tag("text", f"{share:.0%}", x=x, y=top + high + 16, text_anchor="middle", class_="tick"))
    for i, (name, shares, f1) in reversed(list(enumerate(named))):
        at = [(left + a / most * wide, top + (1 - b) * high) for a, b in zip(shares.tolist(), f1.tolist(), strict=True)]
        path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in at)
        parts.append(tag("path", tag("title", name), d=path, class_=f"curve c{i}"))
        parts += [tag("circle", cx=x, cy=y, r=2.5, class_=f"dot c{i}") for x, y in at]
    return tag("svg", *parts, class_="small-plot", viewBox=f"0 0 {left + wide + 14} {top + high + 24}", role="img",
               aria_label=words)  # fmt: skip
