"""One block to one frame of EVENTS: layouts place the lines, what belongs together is joined, everything is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from offbeat.read import layout as layouts
from offbeat.read import levels, nested
from offbeat.read import lines as text_lines
from offbeat.read.blocks import Block
from offbeat.read.json_records import JsonDocuments, JsonLines
from offbeat.read.layout import CONTINUATION, HEADER, JOINED, PARTIAL, TextLayout, Want
from offbeat.read.layouts import Layout
from offbeat.read.named_values import Logfmt
from offbeat.read.sniff import Plan
from offbeat.read.summary import BLANK
from offbeat.read.unfold import unfold
from offbeat.read.xml_records import XmlRecords

HEADER_LINES: Final = "header lines"
NO_FORMAT: Final = "no known format"
BROKEN_JSON: Final = "broken JSON"
ENDLESS: Final = "endless lines cut"
BAD_TIME: Final = "time not understood"
BLANK_MARK: Final = 4
CONTINUED: Final = 5
#: What journalctl prints between entries.
_BETWEEN: Final = r"^-- (?:Boot [0-9a-f]{32} --|Reboot --|Journal begins at |Logs begin at |No entries --)"
#: Share of lines from which on a layout is run on all of them at once.
_MOSTLY: Final = 0.7
MAX_MESSAGE: Final = 64 * 1024


@dataclass
class Parsed:
    """A frame of events and what was counted on the way."""

    frame: pl.DataFrame = field(default_factory=pl.DataFrame)
    lines: int = 0
    events: int = 0
    bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    unplaced: Counter[str] = field(default_factory=Counter)


def parse_block(
    block: Block, plan: Plan, want: Want, mask: Callable[[pl.Series], pl.Series] | None = None, *, hashed: bool = False
) -> Parsed:
    """Read one block.

    Args:
        block: whole lines of one file; their bytes are taken.
        plan: how to read the file.
        want: columns to fill in; ``line`` and ``span`` always are.
        mask: replaces personal data in lines.
        hashed: also give a hash of each event's whole text.

    Returns:
        The events in order, with ``line`` and ``span`` before the wanted columns.
    """
    done = Parsed(lines=block.lines, bytes=len(block.data))
    lines = prepare(block.take(), plan, done.repaired)
    if block.cut:
        done.repaired[ENDLESS] += 1
    if mask is not None:
        lines = mask(lines)
    folded = unfold(lines, plan.context.tag) if plan.context.folded else None
    if folded:
        lines = folded[0]
    placed = place(lines, plan, want, done)
    if "timestamp" in want and plan.layout is not None and plan.layout.timed:
        lost = int((placed["placed"] & placed["timestamp"].is_null()).sum())
        if lost:
            done.repaired[BAD_TIME] += lost
    row = pl.int_range(len(lines), dtype=pl.UInt32, eager=True) if folded is None else folded[1]
    frame = placed.with_columns((row + block.line).cast(pl.UInt32).alias("line"))
    if hashed:
        frame = frame.with_columns(lines.hash(7).alias("hash"))
    if "message" in want and _whole(plan):
        frame = frame.with_columns(text_lines.shorten(frame["message"], done.repaired).alias("message"))
    done.frame = _events(frame, lines, want, done)
    if plan.writer is not None and "source" in want:
        done.frame = done.frame.with_columns(pl.lit(plan.writer).alias("source"))
    if folded:  # all but the first event of a line cover none
        again = ~pl.col("line").is_first_distinct()
        done.frame = done.frame.with_columns(pl.when(again).then(0).otherwise("span").cast(pl.UInt32).alias("span"))
    return done


def _whole(plan: Plan) -> bool:
    """Whether lines are read in full, whatever their length: half a record is none."""
    return isinstance(plan.layout, JsonLines | JsonDocuments | XmlRecords)


def prepare(data: bytes, plan: Plan, repaired: Counter[str]) -> pl.Series:
    """Lines as layouts take them; repairs are added to ``repaired``."""
    lines = text_lines.split(data, repaired)
    lines = lines if _whole(plan) else text_lines.shorten(lines, repaired)
    return lines if plan.wrapper is None else nested.unwrap(lines, plan.wrapper)


def certain(lines: pl.Series, plan: Plan) -> pl.Series:
    """Lines that begin an event, as far as the file's own layout knows: it reads them and the line before."""
    own, left = _by_own(lines, plan, Want(frozenset()))
    if left.is_empty():
        return begins(own["mark"])
    known = pl.repeat(True, len(lines), eager=True).scatter(left, False)
    mark = pl.repeat(0, len(lines), dtype=pl.UInt8, eager=True).scatter(own["row"], own["mark"])
    return begins(mark) & known & known.shift(1, fill_value=False)


def place(lines: pl.Series, plan: Plan, want: Want, done: Parsed) -> pl.DataFrame:
    """Give each line to the layout that reads it.

    Returns:
        One row a line: ``placed``, the wanted columns, and ``mark``, what the line is to those beside it.
    """
    if plan.layout is None and not plan.others:
        return _marked(layouts.plain(lines, want))
    placed, left = _by_own(lines, plan, want)
    if left.is_empty():
        return placed.drop("row", strict=False)
    if _whole(plan):
        lines = lines.scatter(left, text_lines.shorten(lines.gather(left), done.repaired))
    return _place_rest(placed, left, lines, plan, want, done)


def begins(mark: pl.Series) -> pl.Series:
    """Whether each line begins an event, which depends on nothing but itself and the line before."""
    goes_on = (mark == PARTIAL).shift(1, fill_value=False)
    return ~mark.is_in([JOINED, CONTINUED, HEADER, BLANK_MARK]) & ~goes_on


def _marked(frame: pl.DataFrame) -> pl.DataFrame:
    return frame if "mark" in frame.columns else frame.with_columns(mark=pl.lit(0, pl.UInt8))


def _parse_some(layout: Layout, lines: pl.Series, rows: pl.Series, want: Want, plan: Plan) -> pl.DataFrame | None:
    """Those of the lines that the layout reads, with ``row``; None where it reads none.

    Cutting a line into columns costs several times what finding out costs that there is nothing to cut.
    """
    if isinstance(layout, TextLayout | Logfmt):
        fits = layout.fits(lines)
        if not fits.any():
            return None
        lines, rows = lines.filter(fits), rows.filter(fits)
    frame = _marked(layout.parse(lines, want, plan.context)).with_columns(rows.alias("row"))
    hit = frame["placed"]
    return frame if hit.all() else frame.filter(hit)


def _by_own(lines: pl.Series, plan: Plan, want: Want) -> tuple[pl.DataFrame, pl.Series]:
    """What the file's own layout reads, with ``row`` where that is not all, and the rows that it does not."""
    rows = pl.int_range(len(lines), dtype=pl.UInt32, eager=True)
    if plan.layout is None:
        return _none(want), rows
    if not plan.over:
        return _by_one(plan.layout, lines, rows, want, plan)
    parts, rest = [], lines
    for layout in plan.over:
        if (frame := _parse_some(layout, rest, rows, want, plan)) is not None:
            parts.append(frame)
            rows = _without(rows, frame["row"])
            rest = lines.gather(rows)
    frame, left = _by_one(plan.layout, rest, rows, want, plan)
    parts.append(frame if "row" in frame.columns else frame.with_columns(rows.alias("row")))
    return pl.concat(parts).sort("row"), left


def _by_one(
    layout: Layout, lines: pl.Series, rows: pl.Series, want: Want, plan: Plan
) -> tuple[pl.DataFrame, pl.Series]:
    """What one layout reads of the lines in these rows."""
    if isinstance(layout, TextLayout) and plan.sniffed.confidence < _MOSTLY:
        some = _parse_some(layout, lines, rows, want, plan)
        return (_none(want), rows) if some is None else (some, _without(rows, some["row"]))
    frame = _marked(layout.parse(lines, want, plan.context))
    ours = frame["placed"] | (frame["mark"] > 0)
    if frame["placed"].all():
        return frame, rows.head(0)
    return frame.with_columns(rows.alias("row")).filter(ours), rows.filter(~ours)


def _none(want: Want) -> pl.DataFrame:
    """No line at all."""
    return layouts.empty(want, 0).with_columns(mark=pl.lit(0, pl.UInt8), row=pl.lit(0, pl.UInt32))


def _without(rows: pl.Series, taken: pl.Series) -> pl.Series:
    return rows.filter(~rows.is_in(taken.implode()))


def _place_rest(
    ours: pl.DataFrame, rows: pl.Series, lines: pl.Series, plan: Plan, want: Want, done: Parsed
) -> pl.DataFrame:
    """Give the lines that the file's layout could not place to the others, then to continuation or plain text."""
    rest = lines.gather(rows)
    parts = [ours]
    indented = rest.str.contains(r"^\s") if plan.layout is not None else pl.repeat(False, len(rest), eager=True)
    blank = rest.str.strip_chars() == ""
    free = ~indented & ~blank
    if not any(plan.sniffed.runner_up == other.name for other in plan.others):  # else most lines are worth a try
        free = free & rest.str.contains(layouts.MAY_HAVE_HEADER)
    parts += _by_others(rest, rows, free, plan, want)
    taken = pl.concat([part["row"] for part in parts[1:]]) if len(parts) > 1 else rows.head(0)
    left = ~rows.is_in(taken.implode())
    rows, rest, blank = rows.filter(left), rest.filter(left), blank.filter(left)
    if len(rows):
        parts.append(_continued_or_plain(rest, rows, blank, plan, want, done))
    return pl.concat(parts, how="vertical").sort("row").drop("row")


def _by_others(rest: pl.Series, rows: pl.Series, free: pl.Series, plan: Plan, want: Want) -> list[pl.DataFrame]:
    parts = []
    rest, rows = rest.filter(free), rows.filter(free)
    for other in plan.others:
        if rest.is_empty():
            break
        frame = _parse_some(other, rest, rows, want, plan)
        if frame is None or frame.is_empty():
            continue
        parts.append(frame)
        left = ~rows.is_in(frame["row"].implode())
        rest, rows = rest.filter(left), rows.filter(left)
    return parts


def _continued_or_plain(
    rest: pl.Series, rows: pl.Series, blank: pl.Series, plan: Plan, want: Want, done: Parsed
) -> pl.DataFrame:
    """Mark what goes on with the event before (its text is added), and keep the others as events of plain text."""
    frame = layouts.plain(rest, want).with_columns(rows.alias("row"))
    layout = plan.layout
    if layout is None:
        joins = pl.repeat(False, len(rest), eager=True)
    elif layout.multiline:
        joins = pl.repeat(True, len(rest), eager=True)
    else:
        joins = rest.str.contains(CONTINUATION)
    between = rest.str.contains(_BETWEEN) if layout is not None else joins
    joins = joins & ~blank & ~between & (rows > 0)
    alone = ~joins & ~blank & ~between
    if layout is not None and alone.any():
        broken = layout.name == "json" and rest.filter(alone).str.starts_with("{")
        count = int(broken.sum()) if isinstance(broken, pl.Series) else 0
        done.unplaced[BROKEN_JSON] += count
        done.unplaced[NO_FORMAT] += int(alone.sum()) - count
        done.unplaced += Counter()  # drops the zeros
    mark = pl.select(
        pl.when(between)
        .then(HEADER)
        .when(blank)
        .then(BLANK_MARK)
        .when(joins)
        .then(CONTINUED)
        .otherwise(0)
        .cast(pl.UInt8)
    ).to_series()
    return frame.with_columns(mark.alias("mark")).select("placed", *want.schema(), "mark", "row")


def _events(frame: pl.DataFrame, lines: pl.Series, want: Want, done: Parsed) -> pl.DataFrame:
    """Join lines to events; drop and count what is none."""
    columns = ["line", "span", *want.schema(), *(["hash"] if "hash" in frame.columns else [])]
    mark = frame["mark"]
    if not (mark > 0).any():
        return frame.with_columns(span=pl.lit(1, pl.UInt32)).select(columns)
    joins = mark.is_in([JOINED, CONTINUED])
    skip = mark.is_in([HEADER, BLANK_MARK])
    begun = begins(mark)
    # A line that joins where nothing is before it in the block begins an event itself.
    event = begun.cast(pl.UInt32).cum_sum()
    orphans = (event == 0) & ~skip
    if orphans.any():
        first = orphans.arg_true()[0]
        begun = begun | (pl.int_range(len(begun), eager=True) == first)
        event = begun.cast(pl.UInt32).cum_sum()
    frame = frame.with_columns(event=event, text=lines, skip=skip, more=joins & ~begun)
    # Blank lines inside an event belong to it, those behind it do not.
    ends = frame.filter(~pl.col("skip")).group_by("event").agg(pl.col("line").max().alias("last"))
    frame = frame.join(ends, on="event", how="left", maintain_order="left")
    outside = frame["skip"] & ((frame["line"] > frame["last"]) | frame["last"].is_null())
    for value, reason in ((HEADER, HEADER_LINES), (BLANK_MARK, BLANK)):
        count = int((outside & (frame["mark"] == value)).sum())
        if count:
            done.skipped[reason] += count
    return _joined(frame.filter(~outside), want, columns)


def _level_below(lines: pl.Series) -> pl.Series:
    """The level of events whose header says none, from the line below it: UInt8, shape (n,).

    So java.util.logging writes it; others say there what went wrong.
    """
    named = levels.from_names(lines.str.extract(rf"^\s*({levels.WORDS}):?(?:\s|$)"))
    unknown = (named == 0).arg_true()
    return named.scatter(unknown, levels.from_words(lines.gather(unknown).fill_null("")))


def _joined(frame: pl.DataFrame, want: Want, columns: list[str]) -> pl.DataFrame:
    sizes = frame.group_by("event", maintain_order=True).agg(pl.len().cast(pl.UInt32).alias("span"))
    single = sizes.filter(pl.col("span") == 1).select("event")
    alone = frame.join(single, on="event", how="semi").with_columns(span=pl.lit(1, pl.UInt32))
    several = frame.join(single, on="event", how="anti")
    if several.is_empty():
        return alone.select(columns)
    first = [pl.col(name).first() for name in columns if name not in {"span", "message", "hash", "level"}]
    whole = [pl.len().cast(pl.UInt32).alias("span")]
    tail = pl.col("text").filter(pl.col("more") & (pl.col("mark") != JOINED))
    if "level" in want:
        whole.append(pl.col("level").first())
        whole.append(tail.first().alias("next"))
    if "message" in want:
        head = pl.col("message").filter(~pl.col("more") & ~pl.col("skip")).str.join("")
        whole.append(head.alias("message"))
        whole.append(tail.str.join("\n").alias("tail"))
    if "hash" in columns:
        whole.append(pl.col("text").str.join("\n").hash(7).first().alias("hash"))
    groups = several.group_by("event", maintain_order=True).agg(*first, *whole)
    if "level" in want and (groups["level"] == 0).any():
        groups = groups.with_columns(
            pl.when(pl.col("level") == 0).then(_level_below(groups["next"])).otherwise("level").alias("level")
        )
    if "message" in want:
        head, tail = pl.col("message"), pl.col("tail")
        both = pl.when(head == "").then(tail.str.strip_chars_start()).otherwise(head + "\n" + tail)
        both = pl.when(tail == "").then(head).otherwise(both)
        groups = groups.with_columns(both.str.head(MAX_MESSAGE).alias("message"))
    return pl.concat([alone.select(columns), groups.select(columns)]).sort("line")
