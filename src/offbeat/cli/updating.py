"""update and templates: a model that goes on to learn, and what a person says of its templates."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offbeat.cli.options import Json, Mask, Store, answers_of, done, mask_key, out, out_json, progress, say, stdin_check
from offbeat.errors import InputError, ModelError, OptionError

if TYPE_CHECKING:
    from offbeat.pipeline import Pipeline
    from offbeat.store import Answers
    from offbeat.updating import Update

app = typer.Typer()

#: What is held back, on the terminal, at most.
_SHOWN = 20


@app.command()
def update(
    model: Annotated[str, typer.Argument(help="A model that fit wrote.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders, globs or - for stdin, later than what was learned; none to acknowledge."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Write the model there, and leave the old one as it is.")
    ] = None,
    acknowledge: Annotated[
        list[str] | None,
        typer.Option("--acknowledge", help="Learn what is held back: its id, a finding's, a template's, or all."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", help="Learn by itself what is held back and a habit since so long; 14d, or never."),
    ] = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", help="Forget what was last seen so long ago; 90d, or never; remembered.")
    ] = None,
    older: Annotated[
        bool, typer.Option("--older", help="Learn what is older than what was learned last, too.")
    ] = False,
    store: Store = None,
    json: Json = False,
    mask: Mask = False,
) -> None:
    """Go on to learn, but not what is strange: offbeat update model app.log."""
    from offbeat import bundle
    from offbeat.feedback import store_of
    from offbeat.pipeline import Pipeline
    from offbeat.rules import RuleSet
    from offbeat.store import Answers

    if not files and not acknowledge:
        raise OptionError("nothing to learn", where="FILES", hint="name files, or --acknowledge what is held back")
    if output:
        bundle.refuse_foreign(Path(output))
        Answers(store_of(output)).all()  # one that cannot be used is said before anything is written
    answers = Answers(answers_of(model, store))
    pipeline = Pipeline.load(model, mask_key=mask_key(mask), progress=progress())
    pipeline.rules = RuleSet()
    found = pipeline.update(
        stdin_check(files) if files else None, acknowledge=acknowledge or (), after=after, ttl=ttl, older=older,
        answers=answers.all(),
    )  # fmt: skip
    done()
    for name in found.truncated:
        raise InputError(f"{name}; the model is left as it was", hint="fetch it again, or unpack what is there")
    _write(pipeline, model, output, answers)
    if json:
        out_json(found.as_dict())
        return
    for line in _told(found):
        out(line)
    sys.stdout.flush()
    say(f"model written to {output or model}; next: offbeat detect FILES -m {output or model}")


def _write(pipeline: Pipeline, model: str, output: str | None, answers: Answers) -> None:
    """Write a model that was changed in its place, or elsewhere with what was said of its findings.

    Raises:
        ModelError: it was written anew since it was loaded, and what that learned would be lost.
    """
    from offbeat import bundle

    if not output and bundle.hash_of(model) != pipeline.hash:
        what = "was written anew by another process meanwhile, and is left so"
        raise ModelError(what, where=model, hint="run this again, after the other")
    pipeline.save(output or model)
    _carry(answers, output)


def _carry(answers: Answers, output: str | None) -> None:
    """Take what was said of a model's findings over to the model that goes on from it."""
    from offbeat.feedback import store_of
    from offbeat.store import Answers

    if output and (n := Answers(store_of(output)).take(answers)):
        say(f"{_count(n, 'answer').removeprefix(', ')} taken over to {store_of(output)}")


def _told(found: Update) -> list[str]:
    """Return what a person reads of an update."""
    from offbeat.printable import printable

    lines = []
    if found.units:
        skipped = f", {found.skipped:,} of them known already" if found.skipped else ""
        lines.append(f"read     {found.events:,} events in {found.units:,} units{skipped}")
    lines.append(f"learned  {found.learned:,} units{_count(found.new_templates, 'new template')}")
    lines += [
        f"changed  {printable(one['old'], 80)}  is now  {printable(one['new'], 80)}" for one in found.changed[:_SHOWN]
    ]
    if found.released:
        lines.append(f"released{_count(found.released, 'unit')[1:]} held back before, learned now")
    if found.aged_out:
        lines.append(f"forgot   {found.aged_out:,} templates last seen too long ago")
    if found.fit:
        lines.append(f"fit      {found.fit['words']}")
    lines.append(f"flagged  about {found.alert_share:.2%} of units like these will be")
    lines.append(f"held     {found.held:,} units held back, {found.quarantined:,} of them new")
    lines += [_group(one) for one in found.groups[:_SHOWN]]
    if found.groups:
        lines.append("         what of these is normal: offbeat update MODEL --acknowledge ID")
    return lines


def _count(n: int, what: str) -> str:
    return f", {n:,} {what}{'' if n == 1 else 's'}" if n else ""


def _group(one: dict[str, Any]) -> str:
    from offbeat.printable import printable

    since = f" since {one['first_seen']}" if one["first_seen"] else ""
    many = f"{one['units']:,} unit{'' if one['units'] == 1 else 's'}"
    since += ", confirmed" if one["confirmed"] else ""
    return f"         {one['id']}  {many}{since}: {printable(one['reason'], 200)}"


@app.command()
def templates(
    model: Annotated[str, typer.Argument(help="A model that fit wrote.")],
    edits: Annotated[
        str | None, typer.Option("--edits", help="A file of edits: merge ID ID, split ID, rename ID TEXT, seed TEXT.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Write the model there, and leave the old one as it is.")
    ] = None,
    json: Json = False,
    mask: Mask = False,
) -> None:
    """Show a model's templates, or edit them: offbeat templates model --edits edits.txt."""
    from offbeat import bundle
    from offbeat.editing import edit, listed, read_edits
    from offbeat.feedback import store_of
    from offbeat.pipeline import Pipeline
    from offbeat.printable import printable
    from offbeat.store import Answers

    if output and not edits:
        raise OptionError("nothing to write", where="-o", hint="name a file of --edits")
    if output:
        bundle.refuse_foreign(Path(output))
        Answers(store_of(output)).all()  # one that cannot be used is said before anything is written
    pipeline = Pipeline.load(model, mask_key=mask_key(mask), progress=progress())
    if edits:
        try:
            lines = Path(edits).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as problem:
            raise InputError(f"cannot be read: {getattr(problem, 'strerror', 'it is no text')}", where=edits) from None
        found = read_edits(lines, edits)
        edit(pipeline, found)
        done()
        _write(pipeline, model, output, Answers(store_of(model)))
        say(f"{_count(len(found), 'edit').removeprefix(', ') or 'no edit'} made; model written to {output or model}")
        return
    done()
    for row in listed(pipeline):
        if json:
            out_json(row)
        else:
            same = f"  (is {row['same_as']})" if row["same_as"] else ""
            out(f"{row['template_id']}  {row['count']:>9,}  {printable(str(row['template']), 160)}{same}")
