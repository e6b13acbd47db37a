r"""Run what the documentation shows: Python blocks, and console sessions with their output.

- A ```` ```python ```` block is run, all blocks of a document in one namespace. A ```` ```text ```` block right after
  one is what it prints.
- A ```` ```console ```` block is a shell session: lines after ``$ `` are commands (a backslash at the end goes on), the
  lines below are what they print, stdout and stderr together, and ``[exit 3]`` where they fail. A command without
  output is only required to succeed.
- ``<!-- numbers vary -->`` before a block: every number may differ, for training a network rounds differently on other
  processors; the words may not.
- ``...`` in a line stands for any part of it, and alone on a line for any number of lines.
- Blocks in other languages (``sh``) are not run.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).resolve().parents[2]
_VARY = "<!-- numbers vary -->"
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*(?:e-?\d+)?")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def run_page(page: Path, folder: Path) -> int:
    """Run the examples of a page in a folder, in order; returns how many there are. Fails at the first that differs."""
    document = Document.parse(
        str(page),
        CodeBlockParser("python", _python),
        CodeBlockParser("text", _printed),
        CodeBlockParser("console", _console),
    )
    document.namespace.update({"__name__": "__main__"})
    examples = list(document.examples())
    with contextlib.chdir(folder):
        for example in examples:
            example.evaluate()
    return len(examples)


def _python(example: Example) -> str | None:
    """Run a block of Python and keep what it printed."""
    code = compile("\n" * (example.line) + example.parsed, example.path, "exec")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, example.namespace)  # noqa: S102 - that is what examples are for
    example.namespace["_printed"] = (example.end, printed.getvalue())
    return None


def _printed(example: Example) -> str | None:
    """Compare a block of text with what the Python right before it printed; any other text is prose."""
    end, text = example.namespace.get("_printed", (-1, ""))
    between = example.document.text[end : example.start]
    between = between.replace(_VARY, "")
    return difference(example.parsed, text, _numbers_vary(example)) if end >= 0 and not between.strip() else None


def _console(example: Example) -> str | None:
    """Run each command of a session and compare what it prints."""
    for command, shown in commands(example.parsed):
        env = {"LC_ALL": "C.UTF-8", "COLUMNS": "100", "HOME": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
        )
        printed = done.stdout.decode()
        status = f"[exit {done.returncode}]\n" if done.returncode else ""
        if not shown:
            if status:
                return f"$ {command}\nfailed:\n{printed}{status}"
            continue
        differs = difference(shown, printed + status, _numbers_vary(example))
        if differs:
            return f"$ {command}\n{differs}"
    return None


def commands(session: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console session with the output shown below it."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        n = 1
        while lines[n - 1].endswith("\\"):
            n += 1
        yield "\n".join(lines[:n]), "\n".join(lines[n:]).strip("\n")


def _numbers_vary(example: Example) -> bool:
    return example.document.text[: example.start].rstrip().endswith(_VARY)


def difference(shown: str, printed: str, numbers_vary: bool = False) -> str | None:
    """Return what is wrong with an example's output, or None where ``shown`` describes ``printed``."""
    expected, got = shown.strip("\n"), printed.strip("\n") + "\n"
    if numbers_vary:
        expected, got = _NUMBER.sub("0", expected), _NUMBER.sub("0", got)
    pattern = []
    for line in expected.splitlines():
        if line.strip() == "...":
            pattern.append(r"(?:.*\n)*?")
        else:
            pattern.append(".*".join(re.escape(part) for part in line.rstrip().split("...")) + r"[ \t]*\n")
    if re.fullmatch("".join(pattern), got):
        return None
    return f"the page shows:\n{shown}\nbut it prints:\n{printed}"
