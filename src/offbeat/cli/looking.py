"""parse, patterns and sniff: looking at a log before anything is learned from it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offbeat.cli.options import (
    Dedupe,
    Files,
    Format,
    Json,
    Mask,
    Model,
    SessionBy,
    Zone,
    done,
    mask_key,
    out_json,
    progress,
    say,
    stdin_check,
)
from offbeat.errors import OptionError

if TYPE_CHECKING:
    import polars as pl

    from offbeat.mine import Catalog
    from offbeat.patterns import Part, Patterns
    from offbeat.read import Logs, ReadSummary, Sniffed

app = typer.Typer()

#: Rows on the terminal unless --limit says otherwise.
_TERMINAL = 50
#: Columns of parse's table on the terminal unless --columns names others; values and templates are for --json.
_EVENTS = ("line", "timestamp", "level", "source", "template_id", "message")

Limit = Annotated[int | None, typer.Option("--limit", min=0, help="Show so many rows; 50 on the terminal.")]


@app.command()
def parse(
    files: Files,
    json: Json = False,
    parquet: Annotated[str | None, typer.Option("--parquet", help="Write a Parquet file.")] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Only these columns, with commas; nothing else is computed.")
    ] = None,
    limit: Limit = None,
    model: Model = None,
    format_: Format = None,
    session_by: SessionBy = None,
    tz: Zone = None,
    dedupe: Dedupe = False,
    mask: Mask = False,
) -> int:
    """Turn logs into a table: offbeat parse app.log --json, or --parquet app.parquet."""
    from offbeat.table import open_table

    if json and parquet:
        raise OptionError("give one of them", where="--json, --parquet")
    if parquet and limit is not None:
        raise OptionError("is for rows shown; a Parquet file holds all", where="--limit", hint="leave it out")
    given = {"format": format_, "session_by": session_by, "tz": tz, "dedupe": dedupe, "mask_key": mask_key(mask)}
    names = [name.strip() for name in columns.split(",") if name.strip()] if columns is not None else None
    if names is None and not json and not parquet:
        names = [*_EVENTS, *(["session"] if session_by else [])]
    table = open_table(stdin_check(files), columns=names, progress=progress(), **_with_model(model, given))
    if parquet:
        rows = table.write_parquet(parquet)
        done()
        say(f"wrote {rows:,} events to {parquet}")
    elif json:
        table.write_json(sys.stdout.buffer, limit)
    else:
        from offbeat.cli import shown

        head = table.head(_TERMINAL if limit is None else limit)
        done()
        show_pieces(shown.events(head, table.logs.summary.events, width()))
    done()
    return _account(table.logs, table.catalog if model is None else None)


@app.command()
def patterns(
    files: Files,
    sort: Annotated[
        str, typer.Option("--sort", help="count, rare (rarest first) or new (first seen latest first).")
    ] = "count",
    expand: Annotated[bool, typer.Option("--expand", help="Show what the variable parts hold.")] = False,
    json: Json = False,
    limit: Limit = None,
    model: Model = None,
    format_: Format = None,
    tz: Zone = None,
    dedupe: Dedupe = False,
    mask: Mask = False,
) -> int:
    """Show the kinds of lines, how often and since when: offbeat patterns app.log --sort rare."""
    from offbeat.patterns import SORTS, find_patterns
    from offbeat.read import open_logs

    if sort not in SORTS:
        raise OptionError(f"{sort!r} is no order", where="--sort", hint="one of: " + ", ".join(SORTS))
    given = {"format": format_, "session_by": None, "tz": tz, "dedupe": dedupe, "mask_key": mask_key(mask)}
    options = _with_model(model, given)
    catalog = options.pop("catalog", None)
    del options["session_by"]
    show = progress() or (lambda _: None)
    found = find_patterns(open_logs(stdin_check(files), **options), sort=sort, catalog=catalog, progress=show)
    count = limit if limit is not None else len(found.rows) if json else _TERMINAL
    values = found.expand(found.rows[:count], show) if expand else None
    done()
    if json:
        _print_patterns(found, count, values)
    else:
        from offbeat.cli import shown

        show_pieces(shown.patterns(found, count, width(), values))
    return _account(found.logs, None if catalog else found.catalog)


def _print_patterns(found: Patterns, count: int, values: dict[int, tuple[int, list[Part]]] | None) -> None:
    from offbeat.finding import iso

    for row in found.rows[:count]:
        line: dict[str, Any] = {
            "template_id": row.template_id, "template": row.template, "count": row.count, "share": row.share,
            "first_seen": iso(row.first_seen), "last_seen": iso(row.last_seen), "new": row.new,
            "example": {"file": row.file, "line": row.line, "text": row.example},
            "course": {"start": iso(found.start), "step": found.step, "counts": row.counts},
        }  # fmt: skip
        if values is not None:
            lines, parts = values.get(row.code, (row.count, []))
            line |= {"sampled": lines, "values": parts}
        out_json(line)


@app.command()
def sniff(
    file: Annotated[str, typer.Argument(help="A file, or - for stdin.")],
    json: Json = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show so many lines as they are understood.")] = 10,
    format_: Format = None,
    tz: Zone = None,
    mask: Mask = False,
) -> int:
    """Show how a file is understood, from its first lines: offbeat sniff app.log."""
    from offbeat.read import open_logs

    logs = open_logs(stdin_check([file]), format=format_, tz=tz, mask_key=mask_key(mask))
    batches = logs.batches(["line", "timestamp", "level", "source", "message", "fields"])
    frame = next(batches)
    what, summary = logs.sniffed[0], logs.summary
    lost = frame.clear()
    if summary.unplaced:
        # What no format reads has nothing but its text.
        nothing = frame["timestamp"].is_null() & frame["source"].is_null() & frame["fields"].is_null()
        lost = frame.filter(nothing).head(limit)
    first = frame.head(limit)
    if json:
        _print_sniffed(what, first, lost, summary)
    else:
        from offbeat.cli import shown

        show_pieces(shown.sniffed(what, first, lost, summary, width()))
    batches.close()  # type: ignore[attr-defined]  # a generator: the rest of the file is not read
    return 0


def _print_sniffed(what: Sniffed, first: pl.DataFrame, lost: pl.DataFrame, summary: ReadSummary) -> None:
    import orjson

    from offbeat.finding import iso

    def rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
        out = []
        for row in frame.iter_rows(named=True):
            fields = orjson.Fragment(row["fields"]) if row["fields"] else {}
            out.append(row | {"timestamp": iso(row["timestamp"]), "fields": fields})
        return out

    values = {
        "file": what.file, "format": what.layout, "confidence": what.confidence, "runner_up": what.runner_up,
        "encoding": what.encoding, "stamp": what.stamp, "fields": dict(what.fields), "events": rows(first),
        "lines": summary.lines, "skipped": dict(summary.skipped), "repaired": dict(summary.repaired),
        "unplaced": dict(summary.unplaced), "unplaced_events": rows(lost),
    }  # fmt: skip
    out_json(values)


def _with_model(model: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return options for ``open_table``: those given, or the model's with its templates."""
    if model is None:
        return given
    from offbeat.intake import Options
    from offbeat.mine import Catalog
    from offbeat.pipeline import Pipeline

    pipeline = Pipeline.load(model, mask_key=given["mask_key"])
    if not isinstance(pipeline.catalog, Catalog):
        raise OptionError("was learned from ids, not from text", where=model, hint="name a model that fit wrote")
    key = given.pop("mask_key")
    known, session = pipeline.options, given["session_by"]
    # A model without a key of the user's does not mind one here, where it names a column and groups nothing.
    options = known.joined(Options(**given | {"session_by": session if known.session_by else None}))
    session = session or known.session_by
    return {"format": options.format, "session_by": session, "tz": options.tz, "dedupe": options.dedupe,
            "mask_key": key, "catalog": pipeline.catalog}  # fmt: skip


def width() -> int | None:
    """Columns of the terminal; None where stdout is none, and nothing need be cut."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show_pieces(lines: Any) -> None:
    """Print pieces of text with style names."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for pieces in lines:
        console.print(Text.assemble(*pieces))


def _account(logs: Logs, learned: Catalog | None) -> int:
    """Say on stderr what was skipped or repaired and where mining went badly; return 2 for a cut archive, else 0."""
    for warning in learned.warnings if learned is not None else ():
        say(f"offbeat: {warning}")
    summary = logs.summary
    ends = [*summary.truncated, *summary.notes]
    counts = [text for text in summary.sentences()[1:] if text not in ends]
    if counts:
        say(f"offbeat: {'; '.join(counts)}")
    for text in ends:
        say(f"offbeat: {text}")
    return 2 if summary.truncated else 0
