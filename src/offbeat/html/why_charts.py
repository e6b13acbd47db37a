"""Charts of an explanation: shares, what each event adds beside the states of hidden units, a series in its parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from offbeat.html.charts import short
from offbeat.html.svg import bars, chart, join, line, on_grid, percent, stretched, tag, x_axis
from offbeat.series import Axis

Floats = NDArray[np.float64]

#: Steps of lightness of a heat map, from -1 to 1; the style sheet gives their colours.
LEVELS: Final = 9


def share(value: float, class_: str = "bar") -> Markup:
    """Return a bar from 0 to 1."""
    parts = [
        tag("rect", x=0, y=0, width="100%", height=10, class_="lane"),
        tag("rect", x=0, y=0, width=percent(min(max(value, 0.0), 1.0)), height=10, class_=class_),
    ]
    return tag("svg", *parts, width="100%", height=10, aria_hidden="true")


def adds(score: float, network: float | None, most: float, most_network: float) -> Markup:
    """Return what an event adds: to the score above, to the LSTM's own below; to the left where it takes away."""
    parts = [_side(score / most if most else 0.0, 0 if network is not None else 2.5, "bar flagged")]
    if network is not None:
        parts.append(_side(network / most_network if most_network else 0.0, 6, "bar labelled"))
    parts.append(tag("line", x1="25%", x2="25%", y1=0, y2=11, class_="axis"))
    return tag("svg", *parts, width="100%", height=11, aria_hidden="true")


def _side(share_: float, y: float, class_: str) -> Markup:
    """Return a bar from a quarter of the width on: to the right above zero, to the left below."""
    wide = min(abs(share_), 1.0) * (0.75 if share_ > 0 else 0.25)
    x = 0.25 if share_ > 0 else 0.25 - wide
    return tag("rect", x=percent(x), y=y, width=percent(wide), height=5 if y != 2.5 else 6, class_=class_)


def heat(states: Sequence[float]) -> Markup:
    """Return one row of a heat map: a cell a hidden unit, its state in (-1, 1) told by lightness."""
    level = np.clip(((np.asarray(states) + 1) / 2 * LEVELS).astype(np.int64), 0, LEVELS - 1)
    paths = []
    for one in np.unique(level).tolist():
        cells = "".join(f"M{i} 0h1v1h-1z" for i in np.flatnonzero(level == one).tolist())
        paths.append(tag("path", d=cells, class_=f"h{one}"))
    box = {"viewBox": f"0 0 {len(states)} 1", "preserveAspectRatio": "none", "aria_hidden": "true"}
    return tag("svg", *paths, class_="heat", **box)


def scale() -> Markup:
    """Return the steps of lightness side by side, for a legend."""
    cells = [tag("path", d=f"M{i} 0h1v1h-1z", class_=f"h{i}") for i in range(LEVELS)]
    box = {"viewBox": f"0 0 {LEVELS} 1", "preserveAspectRatio": "none", "aria_hidden": "true"}
    return tag("svg", *cells, class_="heat scale", **box)


def parts(course: dict[str, Any]) -> list[tuple[str, Markup]]:
    """Return (name, chart) for a series as it was seen, its trend, its seasons and the rest, one above the other.

    Args:
        course: what an explanation says of the course, with the series in its parts.
    """
    p = course["parts"]
    start = datetime.fromisoformat(p["start"])
    n = len(p["seen"])
    low = int(start.timestamp() * 1e6)
    axis = Axis(True, low, low + round(timedelta(seconds=course["step_seconds"] * n).total_seconds() * 1e6))
    at = (np.arange(n) + 0.5) / n
    told = [("trend", p["trend"]), *((f"{name}’s rhythm", values) for name, values in p["seasons"].items())]
    blamed = {"trend": "trend", "rest": "rest"}.get(course["part"], "")
    out = [("seen", _panel(at, np.asarray(p["seen"]), p["at"], True, expected=np.asarray(p["expected"])))]
    out += [(name, _panel(at, np.asarray(values), p["at"], name == blamed)) for name, values in told]
    out.append(("rest", _panel(at, np.asarray(p["rest"]), p["at"], blamed == "rest", upright=True)))
    return [*out, ("", chart("time", 34, x_axis(axis, 0)))]


def _panel(
    at: Floats, values: Floats, here: int, marked: bool, expected: Floats | None = None, upright: bool = False
) -> Markup:
    """Return a part of a series; the bucket in question is ringed on the parts that it sticks out of."""
    top, height = 12.0, 52.0 if expected is None else 84.0
    both = values if expected is None else np.concatenate([values, expected])
    low, high = min(0.0, float(both.min())), max(0.0, float(both.max()))
    span = (high - low) or 1.0

    def y(v: Floats) -> Floats:
        return top + height - (v - low) / span * height

    n, zero = len(values), float(y(np.zeros(1))[0])
    wide = 1.0 / n
    if upright:
        up, down = np.maximum(values, 0), np.maximum(-values, 0)
        edges = [(float(a) - 0.4 * wide, float(a) + 0.4 * wide) for a in at]
        drawn = [bars(edges, (up / span * height).tolist(), zero, "bar")]
        drawn += [
            tag("path", d="".join(_below(a, d / span * height, zero) for a, d in zip(edges, down, strict=True) if d),
                class_="bar")
        ]  # fmt: skip
    elif expected is not None:
        drawn = [
            bars([(float(a) - 0.42 * wide, float(a) + 0.42 * wide) for a in at], ((values / span) * height).tolist(),
                 zero, "bar"),
            line(at, y(expected), 2.5 * wide, "curve"),
        ]  # fmt: skip
    else:
        drawn = [line(at, y(values), 2.5 * wide, "usual")]
    ticks = [(float(y(np.array([v]))[0]), short(float(f"{v:.3g}"))) for v in (high, low) if abs(v) > span / 4]
    ring = []
    if marked:
        x, cy = percent(float(at[here])), float(y(values[here : here + 1])[0])
        ring = [tag("circle", cx=x, cy=cy, r=5, class_="here")]
    axis = tag("line", x1=0, x2="100%", y1=zero, y2=zero, class_="axis")
    words = f"a series of {n} buckets, from {short(float(values.min()))} to {short(float(values.max()))}"
    return chart(words, int(top + height) + 4, on_grid(ticks, stretched(top + height + 2, *drawn)), axis, join(ring))


def _below(edge: tuple[float, float], height: float, zero: float) -> str:
    x, w = edge[0] * 1000, (edge[1] - edge[0]) * 1000
    return f"M{x:.1f} {zero:.1f}v{height:.1f}h{w:.1f}v-{height:.1f}z"
