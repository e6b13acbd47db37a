"""What a sample of lines tells of the layout that was found for them, beyond that it reads them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import replace
from typing import Final

import polars as pl

from offbeat.read import levels, lines
from offbeat.read.formats import TEXT
from offbeat.read.layout import CONTINUATION, Context, TextLayout, Want
from offbeat.read.layouts import Layout

_SAMPLE_LINES: Final = 1000
#: Layouts of little form, whose lines may or may not have others that belong to them.
_LOOSE: Final = frozenset({"time", "inside", "name-level", "level-time"})
#: A line across the page; it may name who draws it.
_RULE: Final = r"^[-=*_]{5}.*[-=*_]{5}$|^[-=*_]{5,}$"
#: Rank from which on a layout is of one program.
_PARTICULAR: Final = 6


def is_clock(layout: Layout, sample: pl.Series) -> bool:
    """Whether the long numbers in nearly all lines are times: none lies ahead, and they seldom go back."""
    frame = layout.parse(sample, Want(frozenset({"timestamp"})), Context())
    stamps_ = frame["timestamp"].drop_nulls()
    if len(stamps_) < 0.9 * len(sample):
        return False
    steps = stamps_.diff().drop_nulls()
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    return int((steps >= dt.timedelta(0)).sum()) >= 0.8 * len(steps) and bool((stamps_ < soon).all())


def joining(
    layout: TextLayout, others: tuple[Layout, ...], sample: pl.Series, context: Context
) -> tuple[TextLayout, tuple[Layout, ...]]:
    """Whether lines without a header go on with the event before, where the layout itself does not say.

    They do where most lines have one; and all of them where the header stands on a line of its own.
    """
    if not layout.multiline and layout.name not in _LOOSE:
        return layout, others
    frame = layout.parse(sample, Want(frozenset({"message"})), context)
    messages = frame["message"].filter(frame["placed"])
    alone = int((messages == "").sum()) > 0.8 * len(messages)
    if alone:
        others = ()
    elif layout.multiline or layout.name.startswith("inside"):
        others = tuple(other for other in others if not other.name.startswith("inside"))
    often = len(messages) >= 0.5 * int((~sample.str.contains(CONTINUATION)).sum())
    return (replace(layout, multiline=True), others) if alone or often else (layout, others)


def names_levels(layout: TextLayout, sample: pl.Series) -> bool:
    """Whether nearly all messages name a level in a header of their own, of a layout that knows none."""
    if "level" in layout.groups or layout.derive is not None:
        return False
    frame = layout.parse(sample.head(200), Want(frozenset({"message"})), Context())
    messages = frame["message"].filter(frame["placed"])
    named = int((levels.from_names(messages.str.extract(levels.SAID)) > 0).sum())
    return named > 0.8 * len(messages) > 0


def in_paragraphs(layout: TextLayout, data: bytes) -> bool:
    """Whether just the first lines of paragraphs have the header, so that what follows up to the next goes on.

    Paragraphs are parted by blank lines, or by lines across the page.
    """
    texts = lines.split(data, Counter()).head(_SAMPLE_LINES)
    if (ruled := texts.str.contains(_RULE)).sum() > 1:
        texts = pl.select(pl.when(ruled).then(pl.lit("")).when(texts.str.strip_chars() != "").then(texts)).to_series()
        texts = texts.drop_nulls()
    headed = layout.fits(texts)
    texts = texts.slice(int(headed.arg_max() or 0))
    headed, blank = headed.tail(len(texts)), texts.str.strip_chars() == ""
    begun = ~blank & blank.shift(1, fill_value=True)
    both = int((headed & begun).sum())
    return both > 1 and both >= 0.9 * int(headed.sum()) and both >= 0.9 * int(begun.sum()) and both < 0.5 * len(texts)


def over(counts: Counter[str], chosen: Layout | None, sample: pl.Series) -> tuple[TextLayout, ...]:
    """Much more particular formats of lines that the chosen one would read as well: HAProxy's among others' syslog."""
    if not isinstance(chosen, TextLayout) or chosen.rank > _PARTICULAR - 2:
        return ()
    found = []
    for name in counts:
        layout = TEXT.get(name)
        enough = layout is not None and counts[name] >= max(2, 0.01 * len(sample))
        if not enough or layout is None or layout.rank < max(_PARTICULAR, chosen.rank + 2):
            continue
        if (layout.fits(sample) & chosen.fits(sample)).sum() >= 0.5 * counts[name]:
            found.append(layout)
    return tuple(sorted(found, key=lambda layout: -layout.rank))
