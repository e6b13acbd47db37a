"""What parse, patterns and sniff show on the terminal: pieces of text with style names, safe whatever the log says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from offbeat.printable import printable
from offbeat.report import Piece
from offbeat.schema import LEVELS

if TYPE_CHECKING:
    import polars as pl

    from offbeat.patterns import Part, Pattern, Patterns
    from offbeat.read import ReadSummary, Sniffed

_NAMES: Final = tuple(LEVELS)
_STYLES: Final = {"WARN": "yellow", "ERROR": "red", "FATAL": "bold red", "TRACE": "dim", "DEBUG": "dim"}
_BARS: Final = "▁▂▃▄▅▆▇█"
#: Widest cell of a column that is not the last; what is longer ends in an ellipsis.
_CELL: Final = 40
#: Narrower terminals show patterns without their first and last times, for the text is worth more.
_WIDE: Final = 140
#: The last column where stdout is no terminal.
_LINE: Final = 400


def level_name(number: int) -> str:
    """Return the name of an OpenTelemetry severity number's range; nothing for unknown."""
    return _NAMES[(number - 1) // 4] if 1 <= number <= 24 else ""


def aligned(
    heads: Sequence[str], rows: Iterable[Sequence[str]], width: int | None, right: Iterable[str] = ()
) -> Iterator[list[Piece]]:
    """Yield a table's lines: columns as wide as their cells, the last one cut at the terminal's width.

    Args:
        heads: column names.
        rows: cells; whatever they hold becomes printable.
        width: of the terminal; None where there is none.
        right: names of columns of numbers.
    """
    cells = [[*(printable(cell, _CELL) for cell in row[:-1]), printable(row[-1], width or _LINE)] for row in rows]
    if not cells:
        return
    widths = [max(len(line[i]) for line in (heads, *cells)) for i in range(len(heads) - 1)]
    room = max(20, width - sum(widths) - 2 * len(widths)) if width else _LINE
    numbers = set(right)

    def line(row: Sequence[str]) -> list[str]:
        texts = [c.rjust(w) if h in numbers else c.ljust(w) for h, c, w in zip(heads, row, widths, strict=False)]
        last = row[-1]
        return [*texts, last if len(last) <= room else last[: room - 1] + "…"]

    yield [("  ".join(line(heads)).rstrip(), "dim")]
    for row in cells:
        pieces: list[Piece] = []
        for head, text in zip(heads, line(row), strict=True):
            style = _STYLES.get(text.strip(), "") if head == "level" else "dim" if head in ("line", "time") else ""
            pieces += [(text, style), ("  ", "")]
        yield pieces[:-1]


def events(frame: pl.DataFrame, total: int, width: int | None) -> Iterator[list[Piece]]:
    """Yield the table of the first events."""
    names = list(frame.columns)
    for text in ("template", "message"):  # the longest goes last, where there is room
        if text in names:
            names.append(names.pop(names.index(text)))
    heads = ["time" if name == "timestamp" else name for name in names]
    if "timestamp" in names:
        frame = frame.with_columns(_times(frame["timestamp"]))
    rows = ([_cell(name, row[name]) for name in names] for row in frame.iter_rows(named=True))
    yield from aligned(heads, rows, width, ["line"])
    if frame.height < total:
        yield []
        rest = f"the first {frame.height:,} of {total:,} events; --limit for more, --json or --parquet FILE for all"
        yield [(rest, "dim")]


def _times(times: pl.Series) -> pl.Series:
    """Write times as ISO 8601, all as long as the most precise of them."""
    texts = times.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f")
    for zeros in ("000000", "000"):
        if texts.drop_nulls().str.ends_with(zeros).all():
            texts = texts.str.strip_suffix(zeros).str.strip_suffix(".")
            break
    return texts + "Z"


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "level":
        return level_name(value)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def sparkline(counts: Sequence[int]) -> str:
    """Draw counts as bars, each relative to the highest; none at all is a dot."""
    top = max(counts, default=0)
    return "".join(_BARS[(count * len(_BARS) - 1) // top] if count else "·" for count in counts)


def patterns(
    found: Patterns,
    limit: int,
    width: int | None,
    expanded: Mapping[int, tuple[int, Sequence[Part]]] | None = None,
) -> Iterator[list[Piece]]:
    """Yield the table of patterns, with an example and the values under each where ``expanded`` is given."""
    shown = found.rows[:limit]
    covered = 0
    rows = []
    for row in shown:
        covered += row.count
        rows.append(
            [f"{row.count:,}", f"{row.share:.2%}", f"{covered / found.events:.1%}", sparkline(row.counts),
             _short(row.first_seen), _short(row.last_seen), row.template_id,
             ("(new) " if row.new else "") + row.template]
        )  # fmt: skip
    heads = ["count", "share", "so far", "course", "first seen", "last seen", "id", "pattern"]
    if all(row.first_seen is None for row in shown) or (width is not None and width < _WIDE):
        heads = [*heads[:4], *heads[6:]]
        rows = [[*row[:4], *row[6:]] for row in rows]
    rest = found.rows[limit:]
    if rest:
        lines = sum(row.count for row in rest)
        blank = [""] * (len(heads) - 4)
        other = f"other: {len(rest):,} patterns that are not shown; --limit {len(found.rows)} or --json for all"
        rows.append([f"{lines:,}", f"{lines / found.events:.2%}", "100.0%", *blank, other])
    for i, line in enumerate(aligned(heads, rows, width, ["count", "share", "so far"])):
        yield line
        if expanded is not None and 0 < i <= len(shown):
            yield from _expanded(shown[i - 1], expanded.get(shown[i - 1].code), width)
    if expanded is None or rest:
        yield []
    yield [(f"{len(found.rows):,} patterns in {found.events:,} events", "dim")]


def _short(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S") if time is not None else ""


def _number(value: float | None) -> str:
    """Write a number for people: whole ones in full."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:,.6g}"


def _expanded(row: Pattern, found: tuple[int, Sequence[Part]] | None, width: int | None) -> Iterator[list[Piece]]:
    room = max(40, width - 8) if width else _LINE
    yield [
        ("        ", ""),
        (f"{printable(row.file, 60)}:{row.line}  ", "dim"),
        (printable(row.example, room - 30), ""),
    ]
    lines, parts = found or (0, ())
    for number, part in enumerate(parts, 1):
        spread = ""
        if part.median is not None and part.distinct > 1:
            unit = {"duration": " s", "size": " bytes"}.get(part.kind, "")
            spread = f", {_number(part.low)} to {_number(part.high)}{unit}, median {_number(part.median)}"
        distinct = "one value" if part.distinct == 1 else f"{part.distinct:,} values"
        top = ", ".join(f"{printable(value, 40)} ({count:,})" for value, count in part.top)
        what = f"<{number}> {part.kind}: {distinct}{spread}: "
        yield [("        ", ""), (what, "dim"), (printable(top, max(20, room - len(what))), "")]
    if parts and lines < row.count:
        yield [("        ", ""), (f"values of {lines:,} of its lines", "dim")]
    yield []


def sniffed(
    what: Sniffed, frame: pl.DataFrame, lost: pl.DataFrame, summary: ReadSummary, width: int | None
) -> Iterator[list[Piece]]:
    """Yield what was understood of a file: format, fields, the first events, and what could not be placed."""
    sure = f"{what.confidence:.1%} of the lines looked at"
    other = f"; next best: {what.runner_up}" if what.runner_up else ""
    known = what.layout != "plain"
    yield [("file     ", "dim"), (printable(what.file), "bold")]
    yield [("format   ", "dim"), (f"{what.layout}, {sure}{other}" if known else "plain text: no known format", "")]
    yield [("text     ", "dim"), (what.encoding + (f", times like {what.stamp}" if what.stamp else ""), "")]
    if what.fields:
        fields = ", ".join(f"{printable(name, 40)} ({kind})" for name, kind in what.fields.items())
        yield [("fields   ", "dim"), (fields, "")]
    for verb, counts in (("skipped", summary.skipped), ("repaired", summary.repaired), ("unplaced", summary.unplaced)):
        if counts:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
            yield [(f"{verb:9}", "dim"), (f"{reasons}, in the first {summary.lines:,} lines", "")]
    yield []
    yield from events(frame, frame.height, width)
    if lost.height:
        yield []
        yield [("could not be placed, and read as plain text:", "yellow")]
        yield from events(lost, lost.height, width)
