"""fit, detect and evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offbeat.cli.options import (
    Calibrate,
    Clean,
    Dedupe,
    Detectors,
    Expand,
    Files,
    Format,
    Html,
    Idle,
    Json,
    Mask,
    Model,
    Params,
    Rule,
    Seed,
    SessionBy,
    Store,
    Window,
    Zone,
    answers_of,
    done,
    make_pipeline,
    mask_key,
    out,
    out_json,
    progress,
    read_labels,
    read_rules,
    say,
    stdin_check,
)
from offbeat.errors import InputError, OptionError

if TYPE_CHECKING:
    from offbeat.budget import Budget
    from offbeat.finding import Finding
    from offbeat.pipeline import Pipeline
    from offbeat.rules import RuleSet
    from offbeat.run import Run

app = typer.Typer()

_LEVELS = ("low", "medium", "high", "critical")


@app.command()
def fit(
    files: Files,
    output: Annotated[str, typer.Option("-o", "--output", help="The model's folder.")],
    labels: Annotated[str | None, typer.Option("--labels", help="CSV key,label or [file,]line,label.")] = None,
    format_: Format = None,
    session_by: SessionBy = None,
    window: Window = None,
    idle: Idle = None,
    tz: Zone = None,
    dedupe: Dedupe = False,
    mask: Mask = False,
    detector: Detectors = None,
    param: Params = None,
    clean: Clean = False,
    threshold: Rule = None,
    calibrate: Calibrate = None,
    seed: Seed = 0,
) -> None:
    """Learn what is normal and write a model: offbeat fit app.log -o model."""
    from offbeat import bundle, report
    from offbeat.rules import RuleSet

    bundle.refuse_foreign(Path(output))
    pipeline = make_pipeline(
        detector, param, format=format_, session_by=session_by, window=window, idle=idle, tz=tz,
        dedupe=dedupe, mask_key=mask_key(mask), clean=clean, threshold=threshold, seed=seed, rules=RuleSet(),
        calibrate=calibrate or "groups",
    )  # fmt: skip
    pipeline.fit(stdin_check(files), read_labels(labels))
    done()
    for name in pipeline.summary["truncated"]:
        raise InputError(
            f"{name}; no model is written", hint="fetch it again, or unpack what is there and learn from that"
        )
    pipeline.save(output)
    s = pipeline.summary
    say(f"learned {s['templates']:,} templates and {s['units']:,} units from {s['events']:,} events: {s['grouped']}")
    if s["known_anomalies"]:
        say(f"left out {s['known_anomalies']:,} units labelled as anomalies")
    if s["apart"]:
        say(report.apart_words(s["apart"], pipeline.grouping.unit if pipeline.grouping else "unit"))
    say(f"about {s['alert_share']:.2%} of units like these will be flagged; model written to {output}")
    say(f"next: offbeat detect FILES -m {output}")


@app.command()
def detect(
    files: Files,
    model: Model = None,
    json: Json = False,
    scores: Annotated[str | None, typer.Option("--scores", help="Write every unit's scores to a Parquet file.")] = None,
    series: Annotated[str | None, typer.Option("--series", help="Write counts over time to a Parquet file.")] = None,
    html: Html = None,
    explain: Annotated[bool, typer.Option("--explain", help="With --html: say why of the first 20 findings.")] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Write the run to a folder, for explain.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=0, help="Show so many findings; 50 on the terminal.")
    ] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Flag at most 5/day, 1/hour or 2/1000 units.")] = None,
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", help="Exit with 3 on low, medium, high or critical.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only findings after this time (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only findings before this time (ISO 8601).")] = None,
    rules: Annotated[
        list[str] | None, typer.Option("--rules", help="Sigma rules to look for as well: a file, or a folder of them.")
    ] = None,
    pack: Annotated[
        bool, typer.Option(" /--no-pack", show_default=False, help="Leave out the rules that ship.")
    ] = True,
    expand: Expand = None,
    store: Store = None,
    format_: Format = None,
    session_by: SessionBy = None,
    window: Window = None,
    idle: Idle = None,
    tz: Zone = None,
    dedupe: Dedupe = False,
    mask: Mask = False,
    detector: Detectors = None,
    param: Params = None,
    clean: Clean = False,
    threshold: Rule = None,
    calibrate: Calibrate = None,
    seed: Seed = 0,
) -> int:
    """Find what is off the beat: offbeat detect app.log. Without -m it learns from the files themselves."""
    from offbeat import report
    from offbeat.budget import Budget
    from offbeat.detection import check_outputs, parse_time, write_frame, write_run

    if fail_on is not None and fail_on not in _LEVELS:
        raise OptionError(f"{fail_on!r} is no severity", where="--fail-on", hint="one of: " + ", ".join(_LEVELS))
    allowed = Budget.parse(budget) if budget else None
    stretch = (parse_time(since, "--since"), parse_time(until, "--until"))
    check_outputs(scores, output, html, series)
    if explain and not html:
        raise OptionError(
            "belongs to --html", where="--explain", hint="offbeat explain RUN ID explains on the terminal"
        )
    grouping: dict[str, Any] = {"format": format_, "session_by": session_by, "window": window}
    grouping |= {"idle": idle, "tz": tz, "dedupe": dedupe}
    known: dict[str, Any] = {"mask_key": mask_key(mask), "rules": read_rules(rules, pack, expand)}
    if model is None:
        pipeline = make_pipeline(
            detector, param, clean=clean, threshold=threshold, seed=seed, calibrate=calibrate or "groups", **known,
            **grouping,
        )  # fmt: skip
        run = pipeline.fit(stdin_check(files)).cross_score()
    else:
        if detector or param or clean or threshold or calibrate:
            flags = "--detector, --param, --clean, --threshold, --calibrate"
            raise OptionError("belongs to learning", where=flags, hint="with fit")
        pipeline = _loaded(model, grouping, **known)
        run = pipeline.score(stdin_check(files))
    run = _answered(run, model, store, allowed)
    if any(stretch):
        run = run.between(*stretch)
    findings = run.find()
    done()
    if run.feedback is not None:
        run.summary["feedback"] = run.feedback.as_dict()
    if scores:
        write_frame(run.scores, scores)
    if series:
        write_frame(run.series, series)
    if output:
        write_run(run, findings, output, pipeline)
    if html:
        _write_page(run, findings, html, pipeline, explain)
    if json:
        for one in findings if limit is None else findings[:limit]:
            out_json(one.as_dict())
        if run.feedback is not None:
            say(f"offbeat: {report.quiet_words(run.feedback.as_dict(), run.unit)}")
    else:
        _print_report(run, findings, 50 if limit is None else limit, pipeline.summary, model)
    if _cut_off(run):
        return 2
    met = fail_on is not None and any(_LEVELS.index(f.severity) >= _LEVELS.index(fail_on) for f in findings)
    return 3 if met else 0


def _loaded(model: str, grouping: dict[str, Any], mask_key: bytes | None, rules: RuleSet | None) -> Pipeline:
    """Return a saved model that looks for some rules; raises OptionError where an option contradicts what it knows."""
    from offbeat.intake import Options
    from offbeat.pipeline import Pipeline

    pipeline = Pipeline.load(model, mask_key=mask_key, progress=progress())
    pipeline.options.joined(Options(**grouping))
    pipeline.rules = rules
    return pipeline


def _write_page(run: Run, findings: list[Finding], path: str, pipeline: Pipeline, explain: bool) -> None:
    """Write the report, with the first findings explained where that is asked for."""
    from offbeat.html import EXPLAINED, write_html

    why = {}
    if explain:
        from offbeat.why import Findings

        opened = Findings.of(run, findings, pipeline)
        why = {one.id: opened.explain(one.id) for one in findings[:EXPLAINED]}
    write_html(run, findings, path, trained=pipeline.summary, explained=why)


def _answered(run: Run, model: str | None, store: str | None, budget: Budget | None) -> Run:
    """Return the run with what people said of earlier findings applied, and within the budget if there is one."""
    from offbeat.feedback import Feedback

    path = answers_of(model or "", store) if model or store else None
    return Feedback.open(path).applied(run, budget) if path else run if budget is None else run.with_budget(budget)


def _cut_off(run: Run) -> bool:
    """Say which archives end too early, after what is there was used; whether there is any."""
    truncated = run.logs.summary.truncated if run.logs else []
    for name in truncated:
        say(f"offbeat: {name}")
    return bool(truncated)


def _print_report(run: Run, findings: list[Finding], limit: int, trained: dict[str, Any], model: str | None) -> None:
    from rich.console import Console
    from rich.text import Text

    from offbeat import report

    console = Console(highlight=False, soft_wrap=True)
    lines = list(report.head(run, trained, min(limit, len(findings)), len(findings)))
    if kinds := report.overview(findings):
        lines.append([("found    ", "dim"), (kinds, "")])
    for one in findings[:limit]:
        lines += report.finding(one)
    if not findings:
        lines.append(report.calm(run))
    lines.append([])
    hint = "--json for all of it, --html report.html to look at" if findings else "--budget 5/day for the strangest"
    again = "" if model else "; offbeat fit FILES -o MODEL keeps what was learned"
    lines.append([(f"next: {hint}{again}", "dim")])
    for pieces in lines:
        console.print(Text.assemble(*pieces))


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A model that fit wrote.")],
    files: Files,
    labels: Annotated[str, typer.Option("--labels", help="CSV key,label or [file,]line,label.")],
    json: Json = False,
    html: Html = None,
    mask: Mask = False,
) -> int:
    """Compare with labels: precision, recall, F1, ROC AUC and more."""
    from offbeat.detection import check_outputs, evaluate_run
    from offbeat.pipeline import Pipeline
    from offbeat.rules import RuleSet

    check_outputs(html=html)
    known = read_labels(labels)
    pipeline = Pipeline.load(model, mask_key=mask_key(mask), progress=progress())
    pipeline.rules = RuleSet()
    run = pipeline.score(stdin_check(files), known)
    result = evaluate_run(run)
    if html:
        from offbeat.html import write_html

        write_html(run, run.find(), html, trained=pipeline.summary)
    done()
    _print_metrics(result, json)
    return 2 if _cut_off(run) else 0


def _print_metrics(result: dict[str, Any], json: bool) -> None:
    if json:
        out_json(result)
        return
    for name, value in result.items():
        out(f"{name:24} {value:.4f}" if isinstance(value, float) else f"{name:24} {value}")
