"""Write what can be said from the code itself: docs/cli.md, and the tables between marks in other pages (`make docs`).

A mark is ``<!-- made: NAME -->``; what stands between it and ``<!-- end -->`` is replaced by the table of that name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from offbeat.cli import app
from offbeat.detect import DETECTORS
from offbeat.learn import DEFAULT
from offbeat.read.layouts import ALIASES, LAYOUTS

FOLDER = Path(__file__).parent
_MARK = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_CLI = """\
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
    """Return the commands by name, in the order of ``offbeat --help``; those of a group by both names."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]  # it is a group
        inner = getattr(command, "commands", None)
        found |= {f"{name} {n}": c for n, c in inner.items()} if inner else {name: command}
    return found


def options(command: Any) -> list[tuple[str, str, str]]:
    """Return (names, help, default) of a command's arguments and options."""
    return [(_names(p), (p.help or "").strip(), _default(p)) for p in command.params]


def cli() -> str:
    """Return the page on the command line."""
    parts = [_CLI]
    parts += [f"- [`offbeat {name}`](#offbeat-{name.replace(' ', '-')})\n" for name in commands()]
    for name, command in commands().items():
        parts.append(f"\n## offbeat {name}\n\n{inspect.cleandoc(command.help or '')}\n\n")
        parts.append(_table(("", "", "default"), options(command)))
    return "".join(parts)


def formats() -> str:
    """Return the table of log formats."""
    names: dict[str, list[str]] = {}
    for alias, name in ALIASES.items():
        names.setdefault(name, []).append(f"`{alias}`")
    rows = [(f"`{n}`", f"`` {layout.example} ``", ", ".join(names.get(n, ()))) for n, layout in LAYOUTS.items()]  # type: ignore[attr-defined]  # every layout has one
    return _table(("name", "a line", "also called"), rows)


def detectors() -> str:
    """Return the table of detectors."""
    rows = [(f"`{n}`", "yes" if n in DEFAULT else "", d.looks_at, d.source) for n, d in DETECTORS.items()]
    return _table(("name", "default", "looks at", "source"), rows)


TABLES: dict[str, Callable[[], str]] = {"formats": formats, "detectors": detectors}


def pages() -> dict[Path, str]:
    """Return every page that is made, wholly or in part, as it should be."""
    made = {FOLDER / "cli.md": cli()}
    for page in sorted(FOLDER.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if page not in made and _MARK.search(text):
            made[page] = _MARK.sub(lambda m: m[1] + TABLES[m[2]]() + m[3], text)
    return made


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    none = parameter.default is None or isinstance(parameter.default, bool) or parameter.default == ()
    return "" if none else f"`{parameter.default}`"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
