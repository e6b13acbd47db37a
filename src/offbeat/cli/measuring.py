"""simulate, bench and detectors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offbeat.cli.options import (
    Format,
    Idle,
    Json,
    Params,
    Seed,
    SessionBy,
    Window,
    Zone,
    done,
    out,
    out_json,
    parameters,
    progress,
    read_labels,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import polars as pl

    from offbeat.bench.report import Report
    from offbeat.evaluate.protocols import Split
    from offbeat.intake import Options

app = typer.Typer()


@app.command()
def bench(
    what: Annotated[
        list[str],
        typer.Argument(
            help="A protocol (T1-clean, T1-free, T1-sup, T2, T2-sup, T3-clean, T3-free, T4, T5, T5-entry), or files."
        ),
    ],
    data: Annotated[str | None, typer.Option("--data", help="The folder that holds the protocol's data.")] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="Of your own files: CSV key,label or line,label.")
    ] = None,
    detectors_: Annotated[str | None, typer.Option("--detectors", help="a,b or all; offbeat is the whole.")] = None,
    param: Params = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Repeat so often whatever has chance in it.")] = 5,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes at a time, of one thread each.")] = 2,
    timeout: Annotated[str, typer.Option("--timeout", help="Give up on a detector after so long.")] = "15m",
    within: Annotated[
        str | None, typer.Option("--within", help="Begin nothing more after so long; first seeds come first.")
    ] = None,
    perturb: Annotated[
        bool, typer.Option("--perturb", help="Also on lines reworded, dropped, doubled, reordered (5, 10, 20 %).")
    ] = False,
    order: Annotated[bool, typer.Option("--order", help="Instead: which view notices altered sequences.")] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Write results and reports there; continues what is there.")
    ] = None,
    format_: Format = None,
    session_by: SessionBy = None,
    window: Window = None,
    idle: Idle = None,
    tz: Zone = None,
    json: Json = False,
) -> None:
    """Measure detectors: offbeat bench T1-free --data DIR --detectors all, or offbeat bench FILES --labels CSV."""
    from offbeat import bench as b
    from offbeat import bundle
    from offbeat.intake import Options

    if what == ["T4"]:
        _blame(data, output, json)
        return
    tasks = b.make_tasks(b.known_detectors(detectors_), range(seed, seed + seeds), parameters(param), perturb)
    limit = b.seconds(timeout, "--timeout")
    budget = None if within is None else b.seconds(within, "--within")
    if output:
        bundle.refuse_foreign(Path(output))
    show = progress() or (lambda _: None)
    with b.workplace(output) as folder:
        split = _split(what, data, labels, Options(format_, session_by, window, idle, tz), folder)
        if order:
            found = b.run_order(split, range(seed, seed + seeds), show)
            done()
            _print(found, json, b.order_lines)
            return
        for note in split.notes:
            say(note)
        b.check_labels(tasks, split)
        results = b.run_tasks(split, tasks, folder / "parts", jobs=jobs, timeout=limit, within=budget, progress=show)
        done()
        table = b.collect(results)
        summary = b.summarise(table)
        if output:
            b.write_results(folder, split, results, table, _page)
            say(f"written to {output}")
    if sys.stdout.isatty() and not json:
        _show(summary)
        return
    _print(summary, json, b.table)


def _show(summary: pl.DataFrame) -> None:
    """Print a table to look at, with as many columns as fit; elsewhere than on a terminal it is Markdown."""
    from rich.console import Console
    from rich.text import Text

    from offbeat import bench as b
    from offbeat.printable import printable

    console = Console()
    heads, cells = b.heads_of(), b.cells_of(summary.filter(summary["seeds"] > 0))
    widths = [max(len(line[i]) for line in (heads, *cells)) for i in range(len(heads))]
    # What matters least is named first: it goes first where there is no room.
    for least in ("MB", "score s", "delay", "MCC", "FPR", "ROC AUC", "swapped", "fit s", "AP min–max", "R", "P"):
        if sum(widths) + 2 * len(widths) <= console.width:
            break
        at = heads.index(least)
        lines: list[list[Any]] = [heads, widths, *cells]
        for line in lines:
            del line[at]
    for line, style in [(heads, "dim"), *((c, "" if c[1] == "all" else "dim") for c in cells)]:
        texts = [t.ljust(w) if i < 2 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True))]
        console.print(Text("  ".join(texts).rstrip(), style), soft_wrap=True)
    for name, reason in summary.filter(summary["seeds"] == 0).select("detector", "reason").rows():
        console.print(Text(f"{name} has no figures: {printable(reason, 300)}", "yellow"), soft_wrap=True)


def _page(report: Report) -> dict[str, bytes]:
    from offbeat.html import render_bench

    return {"report.html": render_bench(report).encode()}


def _blame(data: str | None, output: str | None, json: bool) -> None:
    """T4: rank the services after each fault; the table by kind of fault, or with JSON every fault."""
    import io

    from offbeat import bench as b
    from offbeat import bundle
    from offbeat.bench.blaming import accuracy_table, blame_report, places

    found = places(b.data_folder("T4", data) / "trainticket", progress() or (lambda _: None))
    done()
    if output:
        folder = bundle.open_folder(output, bundle.BENCH)
        buffer = io.BytesIO()
        found.write_parquet(buffer)
        bundle.replace_file(folder / "results.parquet", buffer.getvalue())
        bundle.replace_file(folder / "report.md", blame_report(found).encode())
        bundle.seal(folder, {"name": "T4"}, bundle.BENCH)
        say(f"written to {output}")
    _print(found, json, accuracy_table)


def _split(what: list[str], data: str | None, labels: str | None, options: Options, folder: Path) -> Split:
    """Return the units of a protocol or of files."""
    from offbeat import bench as b
    from offbeat.errors import OptionError

    if len(what) == 1 and what[0] in b.NAMES:
        return b.named_split(what[0], data, folder)
    if labels is None:
        hint = f"{', '.join(sorted([*b.NAMES, 'T4']))}; or your own files with --labels"
        raise OptionError(f"{what[0]!r} is no protocol", where="bench", hint=hint)
    return b.own_split(what, read_labels(labels), options)


def _print(frame: pl.DataFrame, json: bool, table: Callable[[pl.DataFrame], Iterable[str]]) -> None:
    """Print a frame as JSON lines, or as a table for people."""
    if json:
        for row in frame.iter_rows(named=True):
            out_json(row)
        return
    for line in table(frame):
        out(line)


@app.command()
def tune(
    what: Annotated[list[str], typer.Argument(help="Files to choose parameters for, or a protocol of bench.")],
    detector: Annotated[str, typer.Option("--detector", help="The detector; see: offbeat detectors.")] = "lstm",
    time: Annotated[str, typer.Option("--time", help="Begin no trial after so long.")] = "10m",
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Keep the search there; goes on with what is there.")
    ] = None,
    labels: Annotated[str | None, typer.Option("--labels", help="CSV key,label or [file,]line,label.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="The folder that holds the protocol's data.")] = None,
    space: Annotated[
        list[str] | None, typer.Option("--space", help="Search only these: hidden=16:128, layers=1,2,3.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="labels, loss or altered; by itself, what there is.")
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Try at most so many.")] = None,
    seed: Seed = 0,
    format_: Format = None,
    session_by: SessionBy = None,
    window: Window = None,
    idle: Idle = None,
    tz: Zone = None,
    json: Json = False,
) -> None:
    """Search a detector's parameters: offbeat tune app.log --detector lstm --time 10m -o STUDY."""
    from offbeat import bench as b
    from offbeat.bench import space as s
    from offbeat.bench import tuning
    from offbeat.intake import Options

    wanted = s.search_space(s.known_detector(detector), s.parse_space(space))
    goal = tuning.known_objective(objective)
    limit = b.seconds(time, "--time")
    tuning.need_optuna()
    options = Options(format_, session_by, window, idle, tz)
    with b.workplace(None) as place:
        known = len(what) == 1 and what[0] in b.NAMES
        units = b.named_split(what[0], data, place) if known else b.own_units(what, read_labels(labels), options)
    tried = tuning.Trials(units, detector, goal, seed)
    found = tuning.tune(tried, wanted, output, seconds=limit, most=trials, progress=progress() or (lambda _: None))
    done()
    chosen = s.flags(detector, found.params)
    failed = f", {found.failed} of them failed" if found.failed else ""
    before = "" if found.default is None else f"; as it was {found.default:.4f}"
    say(f"{found.objective}: best {found.best:.4f}{before}; {found.trials} trials{failed}")
    if json:
        row = {"detector": detector, "objective": found.objective, "best": found.best, "default": found.default,
               "params": found.params, "trials": found.trials, "failed": found.failed}  # fmt: skip
        out_json(row)
        return
    out(chosen)
    say(f"next: offbeat fit FILES -o MODEL --detector presence,{detector} {chosen}")


@app.command()
def simulate(
    output: Annotated[str, typer.Option("-o", "--output", help="The log to write; labels go to FILE.labels.csv.")],
    n: Annotated[int, typer.Option("-n", min=1, help="So many entries.")] = 100_000,
    seed: Seed = 7,
    rate: Annotated[float, typer.Option("--rate", help="Share of anomalous entries, about; 0 to 0.2.")] = 0.015,
    difficulty: Annotated[float, typer.Option("--difficulty", help="0 stands out, 1 hides among look-alikes.")] = 0.5,
    reword: Annotated[
        float, typer.Option("--reword", help="A release at half time words so large a share of the templates anew.")
    ] = 0.0,
) -> None:
    """Write a labelled JSON log of a small shop with faults: offbeat simulate -o shop.jsonl -n 100000 --seed 7."""
    from offbeat.simulate import simulate as run

    made = run(output, n, seed, rate=rate, difficulty=difficulty, reword=reword)
    say(f"wrote {made.lines:,} lines, {made.anomalous:,} of them in {len(made.incidents)} incidents, to {made.path}")
    say(f"labels in {made.labels}; next: offbeat detect {made.path}")


@app.command()
def detectors(json: Json = False) -> None:
    """List the detectors by the names used here."""
    from offbeat.detect import DETECTORS
    from offbeat.learn import DEFAULT

    for name, kind in DETECTORS.items():
        row = {"name": name, "default": name in DEFAULT, "labels": kind.supervised, "unit": kind.unit,
               "looks_at": kind.looks_at, "source": kind.source}  # fmt: skip
        if json:
            out_json(row)
        else:
            sys.stdout.write("\t".join(str(v) for v in row.values()) + "\n")
