"""Write docs/cli.md, the reference of the command line, from what the commands say of themselves: `make docs`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer

from offbeat.cli import app

PAGE = Path(__file__).with_name("cli.md")
_HEAD = """\
# The command line

Made from the commands' own help by `make docs`; a test fails when it is out of date.

Results go to stdout, messages and progress to stderr. `--json` is always JSON lines, and complete. Times are ISO 8601
in UTC, line numbers count from 1, byte offsets are of the decompressed stream. `FILES` are files, folders, globs or `-`
for stdin. An output that exists is replaced in one step; a folder that offbeat did not write is refused.

| exit code | meaning |
|---|---|
| 0 | done, whether anything was found or not |
| 1 | offbeat's own mistake |
| 2 | the user's: one sentence says what, where, and what to try |
| 3 | `--fail-on` was met |
| 130 | interrupted |

"""


def commands() -> dict[str, Any]:
    """Return the commands by name, in the order of ``offbeat --help``."""
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # the app is a group


def options(command: Any) -> list[tuple[str, str, str]]:
    """Return (names, help, default) of a command's arguments and options."""
    return [(_names(p), (p.help or "").strip(), _default(p)) for p in command.params]


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    parts += [f"- [`offbeat {name}`](#offbeat-{name})\n" for name in commands()]
    for name, command in commands().items():
        parts.append(f"\n## offbeat {name}\n\n{inspect.cleandoc(command.help or '')}\n")
        parts.append("\n| | | default |\n|---|---|---|\n")
        parts += [f"| {names} | {_cell(words)} | {default} |\n" for names, words, default in options(command)]
    return "".join(parts)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    none = parameter.default is None or parameter.default is False or parameter.default == ()
    return "" if none else f"`{parameter.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
