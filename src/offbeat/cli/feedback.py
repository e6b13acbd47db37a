"""feedback add, list, remove and ask: what people say of findings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offbeat.cli.options import Json, Mask, Model, done, mask_key, out, out_json, progress, say, stdin_check
from offbeat.errors import ModelError, OptionError

if TYPE_CHECKING:
    from offbeat.feedback import Feedback
    from offbeat.store import Answer, Answers, Question

app = typer.Typer(help="What people say of findings: quiet what is expected, and teach.", no_args_is_help=True)

Store = Annotated[
    str | None,
    typer.Option("--store", help="The file of answers; MODEL.feedback.sqlite beside the model unless given."),
]


@app.command()
def add(
    finding: Annotated[str, typer.Argument(help="A finding's id, or its beginning.")],
    verdict: Annotated[str, typer.Argument(help="expected, false-alarm or confirmed.")],
    scope: Annotated[
        str, typer.Option("--scope", help="finding: this one; pattern: all of its kind and template; session: its key.")
    ] = "finding",
    until: Annotated[
        str | None, typer.Option("--until", help="Covers only what starts before this time of the log (ISO 8601).")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="What detect -o wrote; found in this folder unless given.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="A word to remember why.")] = "",
    model: Model = None,
    store: Store = None,
) -> None:
    """Say what a finding is: offbeat feedback add ID false-alarm --scope pattern."""
    from offbeat.detection import parse_time
    from offbeat.store import Answer
    from offbeat.store.answers import SCOPES, VERDICTS

    for where, value, known in (("VERDICT", verdict, VERDICTS), ("--scope", scope, SCOPES)):
        if value not in known:
            raise OptionError(f"{value!r} is none", where=where, hint="one of: " + ", ".join(known))
    last = parse_time(until, "--until")
    question, answers = _question(finding, run, model, store)
    answers.add(Answer(question, verdict, scope, last, note))
    say(f"{question.finding} is {verdict}, kept in {answers.path}")
    _say_gain(answers)


@app.command(name="list")
def list_(model: Model = None, store: Store = None, json: Json = False) -> int:
    """Show all answers in the order in which they were given: offbeat feedback list -m model."""
    answers = _answers(model, store)
    for answer in answers.all():
        if json:
            out_json(_plain(answer))
        else:
            out(_words(answer))
    if not json:
        _say_gain(answers)
    return 0


@app.command()
def remove(
    finding: Annotated[str, typer.Argument(help="The finding's id, or its beginning.")],
    model: Model = None,
    store: Store = None,
) -> None:
    """Take an answer back: offbeat feedback remove ID -m model."""
    answers = _answers(model, store)
    gone = answers.remove(finding)
    say(f"{gone.finding} is no longer {gone.verdict}")


@app.command()
def ask(
    paths: Annotated[
        list[str], typer.Argument(metavar="RUN | MODEL FILES", help="What detect -o wrote; or a model and a log.")
    ],
    n: Annotated[int, typer.Option("-n", min=1, help="How many questions.")] = 5,
    store: Store = None,
    json: Json = False,
    mask: Mask = False,
) -> int:
    """Show where an answer teaches most: offbeat feedback ask RUN. Then: offbeat feedback add ID confirmed."""
    from offbeat.finding import iso
    from offbeat.printable import printable
    from offbeat.questions import ask as best

    units, threshold, model = _candidates(paths, mask)
    answers = _answers(model, store)
    found = best(units, answers.all(), threshold, n)
    done()
    # They are kept, so that they can be answered without the run, which may be gone by then.
    answers.ask(found)
    for question in found:
        unit = question.members[0]
        if json:
            about = {"session": unit.key, "start": iso(unit.start), "score": unit.score, "threshold": threshold}
            about |= {"is_anomaly": unit.flagged, "kind": unit.kind, "template_id": unit.template, "view": unit.view}
            about |= {"reason": question.about.reason}
            out_json({"id": question.finding} | about)
        else:
            flagged = "alarms" if unit.flagged else "does not alarm"
            out(f"{question.finding}  {printable(unit.key, 60)}  score {unit.score:.2f}, {flagged} at {threshold:.2f}")
            out(f"              {printable(question.about.reason, 300)}")
    if found and not json:
        say(f"next: offbeat feedback add {found[0].finding} confirmed --store {answers.path} (or false-alarm)")
    return 0


def _candidates(paths: list[str], mask: bool) -> tuple[list[Question], float, str]:
    """Return units to ask about, the threshold, and the model; of a run as written, or of a log scored now."""
    from offbeat import bundle
    from offbeat.questions import candidates, opened

    if len(paths) == 1:
        _, units, values = opened(paths[0])
        return units, float(values["threshold"]), values.get("model_path") or paths[0]
    from offbeat.pipeline import Pipeline
    from offbeat.rules import RuleSet

    if bundle.is_a(paths[0], bundle.RUN):
        raise OptionError("is a run, which holds its log", where=paths[0], hint="name a model before FILES")
    pipeline = Pipeline.load(paths[0], mask_key=mask_key(mask), progress=progress())
    pipeline.rules = RuleSet()
    run = pipeline.score(stdin_check(paths[1:]))
    return candidates(run), run.threshold, paths[0]


def _answers(model: str | None, store: str | None) -> Answers:
    """Return the file of answers: named, of a model, or the only one in this folder."""
    from offbeat.feedback import SUFFIX, store_of
    from offbeat.store import Answers

    if store or model:
        return Answers(store or store_of(str(model)))
    here = sorted(Path().glob(f"*{SUFFIX}"))
    if len(here) != 1:
        what = "which model's answers are meant is not said" if here else "there are no answers in this folder"
        raise OptionError(what, where="-m, --store", hint="name the model with -m, or the file with --store")
    return Answers(here[0])


def _question(name: str, run: str | None, model: str | None, store: str | None) -> tuple[Question, Answers]:
    """Return what is known of a finding, and where its answer belongs.

    Looked for in the run named; else in what was asked, in the runs of this folder, and in what was answered before.
    """
    from offbeat import bundle
    from offbeat.feedback import SUFFIX, store_of
    from offbeat.questions import opened
    from offbeat.store import Answers

    given = Path(store) if store else store_of(model) if model else None
    known = [Answers(path) for path in ([given] if given else sorted(Path().glob(f"*{SUFFIX}")))] if run is None else []
    for answers in known:
        if some := _named(name, answers.questions()):
            return some, answers
    for folder in [Path(run)] if run else sorted(p for p in Path().iterdir() if bundle.is_a(p, bundle.RUN)):
        try:
            found, units, values = opened(folder)
        except ModelError:
            if run:
                raise
            continue
        if some := _named(name, found) or _named(name, units):
            # Without a model answers stay beside the run; detect takes them with --store.
            return some, Answers(given or store_of(values.get("model_path") or folder))
    for answers in known:
        if some := _named(name, [answer.question for answer in answers.all()]):
            return some, answers
    where = run or "the runs in this folder"
    raise OptionError(f"{name!r} is no finding of {where}", where="FINDING", hint="--run names what detect -o wrote")


def _named(name: str, among: list[Question]) -> Question | None:
    """Return the question whose id begins so; raises OptionError where several do."""
    some = {question.finding: question for question in among if question.finding.startswith(name)} if name else {}
    if len(some) > 1 and name not in some:
        raise OptionError(f"{name!r} begins several ids", where="FINDING", hint=", ".join(list(some)[:5]))
    return some.get(name) or next(iter(some.values()), None)


def _say_gain(answers: Answers) -> None:
    """Say what the answers teach, once there are enough to say anything."""
    from offbeat.feedback import Feedback

    text = gain_words(Feedback(answers.all()))
    if text:
        say(text)


def gain_words(feedback: Feedback) -> str | None:
    """Say in a sentence what a head learned from the answers is worth; None while there are few."""
    gain = feedback.head.gain
    if gain.answers < _FEW:
        return None
    judged = (
        f"of {gain.answers} answers, each judged by the others, what is learned from them mends {gain.mended} "
        f"verdicts and breaks {gain.broken} (F1 {gain.model_f1:.2f}, then {gain.head_f1:.2f})"
    )
    return f"{judged}: {'it is used from now on' if gain.is_real else 'too little to rely on, so it is not used yet'}"


#: Fewer answers hardly show a gain.
_FEW = 5


def _plain(answer: Answer) -> dict[str, Any]:
    from offbeat.finding import iso

    about = answer.question.about
    return {
        "finding": answer.finding, "verdict": answer.verdict, "scope": answer.scope, "until": iso(answer.until),
        "note": answer.note, "added": iso(answer.added), "kind": about.kind, "session": about.session,
        "start": iso(about.start), "units": len(answer.question.members), "reason": about.reason,
    }  # fmt: skip


def _words(answer: Answer) -> str:
    from offbeat.finding import iso
    from offbeat.printable import printable

    about = answer.question.about
    until = f" until {iso(answer.until)}" if answer.until else ""
    note = f" ({answer.note})" if answer.note else ""
    what = about.reason or f"{about.kind} {about.session or ''}"
    return printable(f"{answer.finding}  {answer.verdict:11}  {answer.scope:7}{until}  {what}{note}", 300)
