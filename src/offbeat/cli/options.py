"""Options that commands share, and what they do with them. Heavy imports wait inside functions."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offbeat.errors import InputError, OptionError

if TYPE_CHECKING:
    from offbeat.pipeline import Pipeline
    from offbeat.rules import RuleSet

#: Rules that cannot be used are said one by one up to so many.
_REFUSED = 20

Files = Annotated[
    list[str], typer.Argument(help="Files, folders, globs or - for stdin; .gz .bz2 .xz .zst as they are.")
]
Format = Annotated[str | None, typer.Option("--format", help="Log format; found by itself unless given.")]
SessionBy = Annotated[
    str | None, typer.Option("--session-by", help="Field, or regular expression, of a session's key.")
]
Window = Annotated[str | None, typer.Option("--window", help="Windows of so many events (100) or so much time (5m).")]
Idle = Annotated[str | None, typer.Option("--idle", help="A pause this long ends a session (30m).")]
Zone = Annotated[str | None, typer.Option("--tz", help="Time zone of time stamps without one; UTC unless given.")]
Dedupe = Annotated[bool, typer.Option("--dedupe", help="Drop exact duplicates.")]
Mask = Annotated[bool, typer.Option("--mask", help="Replace personal data by a hash keyed with $OFFBEAT_MASK_KEY.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")]
Detectors = Annotated[str | None, typer.Option("--detector", help="Views to use, with commas; see: offbeat detectors.")]
Params = Annotated[
    list[str] | None, typer.Option("--param", help="Parameter of a detector: hidden=32, lstm.epochs=10.")
]
Clean = Annotated[bool, typer.Option("--clean", help="The training data is declared free of anomalies.")]
Rule = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        help="knee, knee:0.2, sigma:3, quantile:0.999, pot:0.001, rate:5/1000, follow:5/1000 (or 5/day, 1/hour).",
    ),
]
Calibrate = Annotated[
    str | None,
    typer.Option("--calibrate", help="groups (by source and hour of day, where there is data; the default) or pooled."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON lines on stdout, complete.")]
Html = Annotated[str | None, typer.Option("--html", help="Write a report to look at: one file, no network.")]
Expand = Annotated[
    list[str] | None, typer.Option("--expand", help="Values for a placeholder of the modifier expand: NAME=a,b.")
]
Store = Annotated[str | None, typer.Option("--store", help="What feedback keeps; MODEL.feedback.sqlite unless given.")]
Model = Annotated[str | None, typer.Option("-m", "--model", help="A model that fit wrote.")]


def say(text: str) -> None:
    """Print a message for the person on stderr."""
    from offbeat.printable import printable

    sys.stderr.write(printable(text, 2000) + "\n")


def out(text: str) -> None:
    """Print a line of results for people on stdout; whatever of a log or a rule is in it cannot steer the terminal."""
    from offbeat.printable import visible

    sys.stdout.write(visible(text) + "\n")


def out_json(values: Any) -> None:
    """Print values as a line of JSON on stdout."""
    import orjson

    sys.stdout.buffer.write(orjson.dumps(values) + b"\n")


def progress() -> Any:
    """Return what shows progress on a terminal's stderr, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return None
    return lambda words: _over_line(f"{words} …")


def _over_line(words: str) -> None:
    sys.stderr.write(f"\r\x1b[2K{words}")
    sys.stderr.flush()


def done() -> None:
    """Wipe what ``progress`` left on the terminal."""
    if sys.stderr.isatty():
        _over_line("")


def mask_key(mask: bool) -> bytes | None:
    """Return the key that personal data are hashed with; raises OptionError where it is wanted and not set."""
    key = os.environ.get("OFFBEAT_MASK_KEY", "")
    if mask and not key:
        raise OptionError(
            "needs a key", where="--mask", hint="set OFFBEAT_MASK_KEY; the same key gives the same hashes"
        )
    return key.encode() if mask else None


def parameters(given: list[str] | None) -> dict[str, str]:
    """Read ``--param k=v``; raises OptionError where the sign is missing."""
    out = {}
    for item in given or []:
        name, sign, value = item.partition("=")
        if not sign or not name:
            raise OptionError(f"{item!r} is no parameter", where="--param", hint="as in --param hidden=32")
        out[name] = value
    return out


def placeholders(given: list[str] | None) -> dict[str, list[str]]:
    """Read ``--expand NAME=a,b``; raises OptionError where the sign is missing."""
    found = {}
    for item in given or []:
        name, sign, values = item.partition("=")
        if not sign or not name:
            raise OptionError(f"{item!r} names no values", where="--expand", hint="as in --expand Servers=web-1,web-2")
        found[name.strip("%")] = [value.strip() for value in values.split(",")]
    return found


def read_rules(paths: list[str] | None, pack: bool, expand: list[str] | None) -> RuleSet | None:
    """Return the rules to look for, and say which cannot be used; None means those that ship, and no others.

    Raises:
        UserError: a path is absent, or none of its rules can be used.
    """
    from offbeat.rules import RuleSet, load, load_pack

    if not paths:
        return None if pack else RuleSet()
    found = load(paths, placeholders(expand))
    if found.refused and not found.documents:
        raise found.refused[0]
    found = found.joined(load_pack()) if pack else found
    for error in found.refused[:_REFUSED]:
        say(f"offbeat: {error}")
    if len(found.refused) > _REFUSED:
        more = len(found.refused) - _REFUSED
        say(f"offbeat: {more:,} more rules cannot be used; offbeat rules check says which")
    for where, note in found.idle:
        say(f"offbeat: {where}: {note}")
    return found


def make_pipeline(detector: str | None, param: list[str] | None, **options: Any) -> Pipeline:
    """Return a pipeline as the options say."""
    from offbeat.pipeline import Pipeline

    if detector is not None:
        options["detectors"] = [name.strip() for name in detector.split(",") if name.strip()]
    return Pipeline(params=parameters(param), progress=progress(), **options)


def stdin_check(files: list[str]) -> list[str]:
    """Return the files; raises OptionError where stdin is meant and is a terminal, rather than wait for ever."""
    if "-" in files and sys.stdin.isatty():
        raise OptionError("stdin is a terminal", where="-", hint="name a file, or pipe a log in: … | offbeat detect -")
    return files


def read_labels(path: str | None) -> Any:
    """Return the labels of a file, where one is named."""
    from offbeat.evaluate.labels import read_labels

    return read_labels(path) if path else None


def answers_of(model: str, store: str | None) -> Path:
    """Return the file of answers to use: the one named, or that beside a model.

    Raises:
        InputError: the one named is not there.
    """
    from offbeat.feedback import store_of

    if store and not Path(store).is_file():
        raise InputError("there is no file of answers here", where=store, hint="offbeat feedback add makes one")
    return Path(store) if store else store_of(model)
