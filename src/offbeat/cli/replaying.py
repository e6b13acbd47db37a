"""replay: what another setting would have given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from offbeat.cli.options import (
    Expand,
    Json,
    Mask,
    Store,
    answers_of,
    done,
    mask_key,
    out,
    out_json,
    progress,
    read_labels,
    read_rules,
    say,
    stdin_check,
)

if TYPE_CHECKING:
    from offbeat.finding import Finding
    from offbeat.replay import Outcome, Setting

app = typer.Typer()

#: Findings that appear or disappear are named one by one up to so many.
_NAMED = 10


@app.command()
def replay(
    model: Annotated[str, typer.Argument(help="A model that fit wrote.")],
    files: Annotated[list[str], typer.Argument(help="The past: files, folders, globs or - for stdin.")],
    budget: Annotated[
        list[str] | None, typer.Option("--budget", help="5/day, 1/hour or 2/1000; may be given several times.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option("--threshold", help="A score in nats, or knee, sigma:3, quantile:0.999, rate:5/day; repeatable."),
    ] = None,
    suppress: Annotated[
        list[str] | None, typer.Option("--suppress", help="Sigma filters to try: a file, or a folder of them.")
    ] = None,
    rules: Annotated[
        list[str] | None, typer.Option("--rules", help="Sigma rules to try: a file, or a folder of them.")
    ] = None,
    use: Annotated[
        list[str] | None, typer.Option("--use", help="Rules and filters that are in use today, as --rules of detect.")
    ] = None,
    expand: Expand = None,
    store: Store = None,
    labels: Annotated[str | None, typer.Option("--labels", help="CSV key,label or [file,]line,label.")] = None,
    json: Json = False,
    mask: Mask = False,
) -> int:
    """Say what another setting would have given: offbeat replay model app.log --budget 5/day --suppress mine.yml."""
    from offbeat.budget import Budget
    from offbeat.feedback import Feedback
    from offbeat.pipeline import Pipeline
    from offbeat.replay import TODAY, Setting
    from offbeat.replay import replay as decide

    known = Feedback.open(answers_of(model, store))
    now = read_rules(use, True, expand)
    tried = [*(rules or []), *(suppress or [])]
    then = read_rules([*tried, *(use or [])], True, expand) if tried else now
    also = f" with {', '.join(tried)}" if tried else ""
    settings = [Setting(TODAY, rules=now, feedback=known)]
    if known.answers:
        settings.append(Setting("without feedback", rules=now))
    chosen: list[Setting] = []
    chosen += [Setting(f"--budget {b}{also}", Budget.parse(b), None, then, known) for b in budget or []]
    chosen += [Setting(f"--threshold {t}{also}", None, t, then, known) for t in threshold or []]
    if tried and not chosen:
        chosen = [Setting(f"today{also}", rules=then, feedback=known)]
    pipeline = Pipeline.load(model, mask_key=mask_key(mask), progress=progress())
    found = decide(pipeline, stdin_check(files), settings + chosen, labels=read_labels(labels))
    done()
    if json:
        for outcome in found:
            out_json(outcome.as_dict())
        return 0
    for line in table(found):
        out(line)
    for outcome in found[1:]:
        for line in differences(outcome):
            out(line)
    if not chosen:
        say("next: --budget 5/day, --threshold 8, --rules DIR or --suppress FILTERS to compare with")
    return 0


def table(found: Sequence[Outcome]) -> Iterator[str]:
    """Yield a line a setting: findings, by day, units, quiet ones, kinds, and quality where it is known."""
    heads = ["setting", "findings", "a day", "anomalies", "quiet", "appear", "disappear"]
    rows = []
    for one in found:
        a_day = "" if one.a_day is None else f"{one.a_day:,.1f}"
        changes = [f"+{len(one.appear)}", f"-{len(one.disappear)}"] if one is not found[0] else ["", ""]
        rows.append([one.setting, f"{len(one.findings):,}", a_day, f"{one.units:,}", f"{one.quiet:,}", *changes])
    if found[0].quality is not None:
        heads += ["precision", "recall", "F1"]
        for row, one in zip(rows, found, strict=True):
            row += [f"{value:.3f}" for value in (one.quality or {}).values()]
    for verdict in ("confirmed", "expected", "false-alarm"):
        if any(verdict in one.answered for one in found):
            heads.append(f"{verdict} told")
            for row, one in zip(rows, found, strict=True):
                counts = one.answered.get(verdict, {"told": 0, "of": 0})
                row.append(f"{counts['told']} of {counts['of']}")
    heads.append("kinds")
    for row, one in zip(rows, found, strict=True):
        kinds = one.as_dict()["kinds"]
        row.append(", ".join(f"{kind} {n}" for kind, n in kinds.items()) or "none")
    widths = [max(len(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    for line in (heads, *rows):
        cells = [
            c.ljust(w) if i in (0, len(heads) - 1) else c.rjust(w)
            for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def differences(outcome: Outcome) -> Iterator[str]:
    """Yield what appears and disappears against today, one line a finding."""
    from offbeat.finding import iso
    from offbeat.printable import printable

    if not outcome.appear and not outcome.disappear:
        return
    yield ""
    yield f"{outcome.setting}:"
    for sign, some in (("+", outcome.appear), ("-", outcome.disappear)):
        shown: Sequence[Finding] = some[:_NAMED]
        for one in shown:
            yield printable(f"  {sign} {one.severity:8} {iso(one.start) or ''}  {one.kind}: {one.reason}", 200)
        if len(some) > len(shown):
            yield f"  {sign} … and {len(some) - len(shown):,} more"
