"""Elements of SVG by hand, with everything escaped, and the ticks that stand on an axis.

Charts stretch to the page's width while their text keeps its size: marks lie at percentages, and paths inside a nested
``svg`` whose own coordinates are stretched. Nothing needs ``style`` attributes, which the page's policy refuses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from offbeat.printable import visible
from offbeat.series import Axis, nice_ticks

#: Units of a stretched path across the whole width.
WIDE: Final = 1000

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STEPS: Final = [
    *(timedelta(milliseconds=m) for m in (1, 5, 10, 50, 100, 500)),
    *(timedelta(seconds=s) for s in (1, 5, 10, 30)),
    *(timedelta(minutes=m) for m in (1, 5, 10, 30)),
    *(timedelta(hours=h) for h in (1, 2, 3, 6, 12)),
    *(timedelta(days=d) for d in (1, 2, 7, 14, 30, 60, 120, 365, 730, 1825, 3650)),
]


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element; strings are made visible and escaped, ``class_`` is ``class``, and ``_`` becomes ``-``."""
    given = ((k.rstrip("_").replace("_", "-"), v) for k, v in attributes.items() if v is not None)
    written = "".join(f' {k}="{_text(v)}"' for k, v in given)
    inside = "".join(_text(child) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")  # noqa: S704 - escaped


def _text(value: object) -> str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, float):
        return number(value)
    return str(escape(visible(str(value))))


def join(parts: Iterable[Markup]) -> Markup:
    """Return elements one after another."""
    return Markup("").join(parts)


def number(value: float) -> str:
    """Return a coordinate in few characters."""
    return f"{value:.1f}".removesuffix(".0")


def percent(place: float) -> str:
    """Return a position between 0 and 1 as a percentage."""
    return f"{place * 100:.2f}".rstrip("0").rstrip(".") + "%"


def chart(title: str, height: int, *children: object, class_: str = "") -> Markup:
    """Return a chart as wide as the page; ``title`` says in words what it shows."""
    return tag(
        "svg", *children, class_=f"chart {class_}".strip(), width="100%", height=height, role="img", aria_label=title
    )


def stretched(height: float, *paths: Markup, y: float = 0) -> Markup:
    """Return paths drawn in coordinates 0 to WIDE across, stretched to the whole width."""
    return tag(
        "svg", *paths, x=0, y=y, width="100%", height=height, viewBox=f"0 0 {WIDE} {number(height)}",
        preserveAspectRatio="none",
    )  # fmt: skip


def bars(at: Sequence[tuple[float, float]], heights: Sequence[float], base: float, class_: str) -> Markup:
    """Return one path of upright bars.

    Args:
        at: left and right of each, between 0 and 1.
        heights: in pixels.
        base: where they stand, in pixels from the top.
        class_: of the path.
    """
    parts = []
    for (left, right), height in zip(at, heights, strict=True):
        if height > 0:
            x, w = number(left * WIDE), number((right - left) * WIDE)
            parts.append(f"M{x} {number(base)}v-{number(height)}h{w}v{number(height)}z")
    return tag("path", d="".join(parts), class_=class_) if parts else Markup("")


def line(x: NDArray[np.float64], y: NDArray[np.float64], gap: float, class_: str) -> Markup:
    """Return a path through points; x between 0 and 1, y in pixels; it breaks where more than ``gap`` is missing."""
    d, before = [], -math.inf
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        # Lone points become dots: the line's round ends.
        d.append(f"L{number(a * WIDE)} {number(b)}" if a - before <= gap else f"M{number(a * WIDE)} {number(b)}h.1")
        before = a
    return tag("path", d="".join(d), class_=class_) if d else Markup("")


def axis_ticks(axis: Axis, most: int = 7) -> list[tuple[float, str, str]]:
    """Return (position, label, second label) of ticks; the second label is the date, where it is new."""
    if not axis.timed:
        steps = [t for t in nice_ticks(axis.high - axis.low, most) if t <= axis.high - axis.low]
        return [(t / (axis.high - axis.low), f"{int(t + axis.low):,}", "") for t in steps]
    assert axis.ends is not None  # noqa: S101 - it is timed
    low, high = axis.ends
    step = next((s for s in _STEPS if (high - low) / s <= most), _STEPS[-1])
    midnight = low.replace(hour=0, minute=0, second=0, microsecond=0)
    # Half-open on the left, so that a label never hangs over the edge.
    first = midnight + -((midnight - low) // step) * step
    out: list[tuple[float, str, str]] = []
    shown = ""
    while first <= high and len(out) <= most + 1:
        day = _day(first, low, high)
        clock = _clock(first, step)
        place = (first - low) / (high - low)
        out.append((place, clock or day, day if clock and day != shown else ""))
        shown = day
        first += step
    return out


def day_of(time: datetime) -> str:
    """Return day and month in words, the same in every locale."""
    return f"{time.day} {_MONTHS[time.month - 1]}"


def _day(time: datetime, low: datetime, high: datetime) -> str:
    day = day_of(time)
    return f"{day} {time.year}" if low.year != high.year else day


def _clock(time: datetime, step: timedelta) -> str:
    if step >= timedelta(days=1):
        return ""
    if step < timedelta(seconds=1):
        return f"{time:%H:%M:%S}.{time.microsecond // 1000:03d}"
    return f"{time:%H:%M:%S}" if step < timedelta(minutes=1) else f"{time:%H:%M}"


def x_axis(axis: Axis, y: float) -> Markup:
    """Return ticks and labels below a plot that ends at ``y``; takes 34 pixels."""
    out = []
    for i, (place, label, second) in enumerate(axis_ticks(axis)):
        anchor = "start" if place < 0.03 else "end" if place > 0.97 else "middle"
        # Every other label gives way on a narrow page.
        narrow = "tick other" if i % 2 else "tick"
        x = percent(min(max(place, 0), 1))
        out.append(tag("line", x1=x, x2=x, y1=y, y2=y + 4, class_="axis"))
        out.append(tag("text", label, x=x, y=y + 16, text_anchor=anchor, class_=narrow))
        if second:
            out.append(tag("text", second, x=x, y=y + 29, text_anchor=anchor, class_=f"{narrow} day"))
    return join([tag("line", x1=0, x2="100%", y1=y, y2=y, class_="axis"), *out])


def on_grid(places: Sequence[tuple[float, str]], *marks: Markup) -> Markup:
    """Return marks between horizontal lines, below, and the lines' labels, above; places are (y in pixels, label)."""
    lines = [tag("line", x1=0, x2="100%", y1=y, y2=y, class_="gridline") for y, _ in places]
    labels = [tag("text", label, x=0, y=y - 4, class_="tick halo") for y, label in places]
    return join([*lines, *marks, *labels])
