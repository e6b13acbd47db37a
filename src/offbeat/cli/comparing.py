"""compare: what changed between two logs, or two stretches of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from offbeat.cli.options import Dedupe, Format, Json, Mask, Zone, done, mask_key, out_json, progress, say, stdin_check
from offbeat.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from offbeat.change import Change
    from offbeat.compare import Comparison
    from offbeat.report import Piece

app = typer.Typer()

_TERMINAL = 50


@app.command()
def compare(
    baseline: Annotated[str, typer.Argument(help="The log as it was: a file, folder, glob or -.")],
    other: Annotated[str | None, typer.Argument(help="The log to compare with it.")] = None,
    before: Annotated[
        str | None, typer.Option("--before", help="Of one log: the baseline's stretch of time, FROM/TO (ISO 8601).")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", help="Of one log: the stretch to compare with it, FROM/TO (ISO 8601).")
    ] = None,
    json: Json = False,
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Show so many; 50 on the terminal.")] = None,
    format_: Format = None,
    tz: Zone = None,
    dedupe: Dedupe = False,
    mask: Mask = False,
) -> int:
    """Say what changed between two logs: offbeat compare good.log bad.log, or one log with --before and --after."""
    from offbeat.compare import compare as find
    from offbeat.read import open_logs

    stretches = None
    if before is not None or after is not None:
        if other is not None:
            raise OptionError("are for one log", where="--before, --after", hint="leave out the second")
        stretches = (_stretch(before, "--before"), _stretch(after, "--after"))
    options: dict[str, Any] = {"format": format_, "tz": tz, "dedupe": dedupe, "mask_key": mask_key(mask)}
    logs = [open_logs(stdin_check([name]), **options) for name in (baseline, other) if name is not None]
    show = progress() or (lambda _: None)
    found = find(logs[0], logs[1] if other is not None else None, ranges=stretches, progress=show)
    done()
    count = limit if limit is not None else len(found.changes) if json else _TERMINAL
    if json:
        for change in found.changes[:count]:
            out_json(change.as_dict())
    else:
        from offbeat.cli.looking import show_pieces, width

        show_pieces(_table(found, count, width()))
    for log in logs:
        for text in (*log.summary.truncated, *log.summary.notes):
            say(f"offbeat: {text}")
    return 2 if any(log.summary.truncated for log in logs) else 0


def _stretch(text: str | None, where: str) -> tuple[datetime, datetime]:
    """Read ``FROM/TO``; raises OptionError where it is none."""
    from offbeat.detection import parse_time

    parts = (text or "").split("/")
    if len(parts) != 2:
        what = f"{text!r} is no stretch of time" if text else "is needed, too"
        raise OptionError(what, where=where, hint="as in 2026-11-22T14:00/2026-11-22T15:00")
    low, high = (parse_time(part, where) for part in parts)
    if low is None or high is None or low >= high:
        raise OptionError(f"{text!r} ends before it begins", where=where, hint="FROM/TO")
    return low, high


def _table(found: Comparison, limit: int, width: int | None) -> Iterator[list[Piece]]:
    """Yield what a person reads: both sides, the changes, and the first ones in words with a line each."""
    from offbeat.cli.shown import aligned
    from offbeat.finding import iso
    from offbeat.printable import printable

    for name, lines, span in zip(("before   ", "after    "), found.lines, found.spans, strict=True):
        yield [(name, "dim"), (f"{lines:,} lines" + (f", {iso(span[0])} to {iso(span[1])}" if span else ""), "")]
    if found.outside:
        yield [("         ", ""), (f"{found.outside:,} lines are in neither stretch", "dim")]
    if found.left_out:
        yield [("left out ", "dim"), (f"fields with too many different values: {', '.join(found.left_out)}", "dim")]
    shown = found.changes[:limit]
    many = f"{len(found.changes):,} of {found.tested:,} patterns and values differ" if found.changes else "nothing"
    told = (
        f"; of such, about {0.05:.0%} are chance" if found.changes else f" among {found.tested:,} patterns and values"
    )
    yield [("changed  ", "dim"), (many + told, "")]
    if not shown:
        return
    yield []
    rows = [(_ratio(c), f"{c.share_before:.2%}", f"{c.share_after:.2%}", f"{c.count_after:,}", _what(c)) for c in shown]
    heads = ("times", "before", "after", "lines", "what")
    yield from aligned(heads, rows, width, heads[:-1])
    if len(shown) < len(found.changes):
        yield [(f"the first {len(shown):,} of {len(found.changes):,}; --limit for more, --json for all", "dim")]
    yield []
    for change in shown[:3]:
        yield [(printable(change.sentence, 400), "bold")]
        yield [(f"    {printable(change.file, 60)}:{change.line}  ", "dim"), (printable(change.example, 160), "")]


def _ratio(change: Change) -> str:
    if change.change == "burst" or change.ratio is None or change.ratio == 0:
        return change.change
    return f"{change.ratio:,.0f}" if change.ratio >= 10 else f"{change.ratio:.2g}"


def _what(change: Change) -> str:
    also = f"  (also {', '.join(change.also[:3])})" if change.also else ""
    return f"{change.label}{also}"
