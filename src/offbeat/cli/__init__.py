"""The command line: thin, for every command is a call on the pipeline. Heavy imports wait inside the commands."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from copy import copy
from typing import Any

import typer
from typer import TyperException
from typer.main import get_command, get_command_name
from typer.models import CommandInfo, TyperInfo

from offbeat import allocator
from offbeat.cli import comparing, explaining, feedback, learning, looking, measuring, replaying, rules, updating
from offbeat.cli.options import say
from offbeat.errors import OffbeatError

app = typer.Typer(
    name="offbeat",
    help="Learns the rhythm of a system from its logs and says what is off the beat, where and why.",
    epilog="Start with: offbeat detect FILE",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for room in (learning, updating, looking, comparing, explaining, replaying, measuring):
    app.add_typer(room.app)
app.add_typer(rules.app, name="rules")
app.add_typer(feedback.app, name="feedback")


def main() -> None:
    """Run the command line with the exit codes of the contract: 0, 1 ours, 2 the user's, 3 --fail-on, 130."""
    # One thread for BLAS: two on two busy cores were measured 40 times slower. Set before numpy is imported.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    allocator.set_up()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # else nohup asks us to stay
        # A terminal that is closed must not leave temporary files with half a log in them.
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a mark in its place, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = _command(sys.argv[1:2])(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except OffbeatError as problem:
        say(f"offbeat: {problem}")
        sys.exit(problem.exit_code)
    except TyperException as problem:
        # Wrong options: Typer says which, and what was probably meant.
        show = getattr(problem, "show", None)
        if show is None:
            raise
        show()
        sys.exit(getattr(problem, "exit_code", 2))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        _reader_gone()
    except SystemExit as end:
        # Rich and Typer turn a broken pipe into exit code 1.
        if isinstance(end.__context__, BrokenPipeError):
            _reader_gone()
        raise
    finally:
        # A last look by Python for what could be freed takes a tenth of a second, just before all is.
        gc.freeze()


def _command(first: Sequence[str] = ()) -> Any:
    """Return the commands; their flags show no type, for after ``--json <bool>`` people write ``true``, a file.

    Args:
        first: the word that names the command. Only that one is made then, which halves the time until it starts; all
            are where the word names none, for help and for what may have been meant.
    """
    made: Any = get_command(_only(first[0]) if first else app)
    waiting = [made]
    while waiting:
        one = waiting.pop()
        waiting += getattr(one, "commands", {}).values()
        for parameter in one.params:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
    return made


def _only(name: str) -> typer.Typer:
    """Return an app of one command or of one group of commands; the whole one where none has the name."""
    only = copy(app)
    for group in app.registered_groups:
        room = copy(group.typer_instance)
        if room is None or group.name == name:
            only.registered_groups = [group]
            return only
        room.registered_commands = [c for c in room.registered_commands if _name(c) == name]
        if room.registered_commands and not isinstance(group.name, str):
            only.registered_groups = [TyperInfo(room)]
            return only
    return app


def _name(command: CommandInfo) -> str:
    return command.name or get_command_name(getattr(command.callback, "__name__", ""))


def _reader_gone() -> None:
    """End quietly: the reader of a pipe has gone, as with `| head`, and nothing is wrong."""
    # Keeps Python from complaining about what is still to be flushed at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(0)
