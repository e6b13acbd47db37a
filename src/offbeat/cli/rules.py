"""rules check, list and test: the transparent half, looked at by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from offbeat.cli.options import Expand, Format, Json, Zone, out, out_json, placeholders, say
from offbeat.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from offbeat.rules import Correlation, Rule, RuleError, RuleSet
    from offbeat.trial import Tested

app = typer.Typer(help="Sigma rules: check them, list them, try them on a log.", no_args_is_help=True)


@app.command()
def check(
    paths: Annotated[list[str], typer.Argument(help="Rule files, or folders of them.")],
    json: Json = False,
    expand: Expand = None,
) -> int:
    """Say which rules can be used, and why others cannot: offbeat rules check rules/."""
    from offbeat.rules import load

    found = load(paths, placeholders(expand))
    if json:
        _check_json(found)
    else:
        for error in found.refused:
            out(str(error))
        for where, note in _notes(found):
            out(f"{where}: note: {note}")
    refused = len(found.refused)
    usable = len(found.documents)
    files = "1 file" if found.files == 1 else f"{found.files:,} files"
    say(f"{usable + refused:,} in {files}: {usable:,} can be used, {refused:,} cannot")
    return 2 if refused else 0


def _notes(found: RuleSet) -> list[tuple[str, str]]:
    """Return what is odd; what the filters are for is known only where there are rules beside them."""
    return [*found.notes, *(found.idle if found.rules else [])]


def _check_json(found: RuleSet) -> None:
    notes: dict[str, list[str]] = {}
    for where, note in _notes(found):
        notes.setdefault(where, []).append(note)
    for document in found.documents:
        out_json(
            {"rule": document.title, "where": document.where, "usable": True, "notes": notes.get(document.where, [])}
        )
    for e in found.refused:
        out_json({"rule": e.title, "where": e.where, "usable": False, "field": e.field, "what": e.what, "hint": e.hint})


@app.command(name="list")
def list_(
    paths: Annotated[list[str] | None, typer.Argument(help="Rule files or folders; else those that ship.")] = None,
    json: Json = False,
    expand: Expand = None,
) -> int:
    """Show rules, one a row: offbeat rules list, or offbeat rules list rules/."""
    from offbeat.rules import load, load_pack

    found = load(paths, placeholders(expand)) if paths else load_pack()
    rows = [_row(rule) for rule in found.rules]
    if json:
        for row in rows:
            out_json(row)
    else:
        _table(rows)
    _say_refused(found.refused)
    return 2 if found.refused and paths else 0


def _row(rule: Rule | Correlation) -> dict[str, Any]:
    from offbeat.rules import Correlation

    row = {"rule": rule.title, "id": rule.id, "name": rule.name, "level": rule.level, "where": rule.where}
    if isinstance(rule, Correlation):
        return row | {"kind": rule.kind, "log": "", "seconds": rule.seconds, "group_by": list(rule.group_by)}
    return row | {"kind": "event", "log": str(rule.logsource)}


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    from offbeat.printable import printable

    names = ("level", "kind", "log", "rule")
    widths = {name: max([len(name), *(len(str(row[name])) for row in rows)]) for name in names[:-1]}
    for row in [{name: name.upper() for name in names}, *rows]:
        cells = [str(row[name]).ljust(widths.get(name, 0)) for name in names]
        out(printable("  ".join(cells).rstrip(), 500))


@app.command(name="test")
def try_(
    rule: Annotated[str, typer.Argument(help="A rule file, or a folder of them.")],
    events: Annotated[
        list[str] | None, typer.Argument(help="A log; else the examples in the rule's own test file.")
    ] = None,
    json: Json = False,
    format_: Format = None,
    tz: Zone = None,
    any_log: Annotated[bool, typer.Option("--any-log", help="Try rules on logs that they are not for.")] = False,
    expand: Expand = None,
) -> int:
    """Run a rule over a log or its own examples: offbeat rules test rule.yml app.log."""
    from pathlib import Path

    from offbeat.read import open_logs
    from offbeat.rules import load
    from offbeat.trial import run_rules

    if not events:
        return _examples(Path(rule), json, placeholders(expand))
    found = load([rule], placeholders(expand))
    _say_refused(found.refused)
    if not found.rules:
        return 2
    logs = open_logs(events, format=format_, tz=tz)
    for tested in run_rules(found, logs, explain=not json, gated=not any_log):
        if json:
            out_json({"rule": tested.rule, "events": tested.events, "matched": tested.matched})
        else:
            _show(tested, found)
    return 2 if found.refused else 0


def _show(tested: Tested, rules: RuleSet) -> None:
    from offbeat.printable import printable
    from offbeat.rules import Correlation
    from offbeat.trial import described

    one = tested.matched == 1
    events = "event matches" if one else "events match"
    found = "finding" if one else "findings"
    what = found if isinstance(rules.documents[tested.key], Correlation) else events
    out(printable(f"{tested.rule}: {tested.matched:,} {what}, of {tested.events:,} events", 500))
    for firing in tested.firings[:10]:
        out(printable(f"  {described(firing)}", 500))
    for file, line in tested.where:
        out(printable(f"  {file}:{line}", 500))
    for words in tested.because:
        out(printable(f"  because of {words}", 1000))
    if tested.reasons and tested.looked_at < tested.events - tested.matched:
        out(f"  of the first {tested.looked_at:,} that do not match:")
    for reason in tested.reasons:
        out(printable(f"  {reason}", 1000))


def _examples(path: Path, json: bool, given: Mapping[str, Sequence[str]]) -> int:
    """Run rules over their own examples; return 1 where one is not as it says."""
    from offbeat.rules import EXAMPLES, load
    from offbeat.trial import examples_of, read_examples, run_examples

    files = [examples_of(path)]
    if path.is_dir():
        files = sorted(path.rglob(f"*{EXAMPLES}"))
        if not files:
            raise OptionError("holds no examples", where=str(path), hint=f"they are in files that end in {EXAMPLES}")
    failed = 0
    for file in files:
        rule = file.with_name(file.name.removesuffix(EXAMPLES) + ".yml")
        rules = load([rule], given)
        _say_refused(rules.refused)
        for example, tested in run_examples(rules, rule, read_examples(file)):
            good = tested.matched == example.matched
            failed += not good
            if json:
                row = {"rule": tested.rule, "events": tested.events, "matched": tested.matched}
                out_json(row | {"example": example.name, "expected": example.matched, "as_expected": good})
                continue
            out(f"{'as expected' if good else 'NOT as expected'}: {tested.rule}: {example.name}")
            if not good:
                out(f"  {tested.matched} instead of {example.matched} ({example.where})")
                for reason in tested.reasons:
                    out(f"  {reason}")
    return 1 if failed else 0


def _say_refused(refused: Sequence[RuleError]) -> None:
    for error in refused:
        say(f"offbeat: {error}")
