"""Cases of the command line as data: an input, a command, and what it says on stdout and stderr."""

import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from offbeat.cli import main

GOLDEN = Path(__file__).resolve().parent / "golden"


@dataclass
class Said:
    """What a command wrote, and its exit code."""

    out: str
    err: str
    code: int


def cases(name: str) -> list:
    """Return the cases of one file in tests/golden/parse as pytest parameters."""
    path = GOLDEN / "parse" / f"{name}.toml"
    found = tomllib.loads(path.read_text(encoding="utf-8"))["case"]
    return [pytest.param(case, id=f"{name}-{number}") for number, case in enumerate(found)]


@pytest.fixture
def offbeat(tmp_path, monkeypatch, capfdbinary):
    """A function that runs a command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(command: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["offbeat", *shlex.split(command)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfdbinary.readouterr()
        return Said(out.decode(), err.decode(), int(end.value.code or 0))

    return run


def check(case: dict, offbeat, folder: Path) -> None:
    """Run a case and compare all that it says."""
    (folder / case.get("file", "app.log")).write_text(case["input"], encoding="utf-8")
    said = offbeat(case["command"])
    assert said.err == case.get("error", ""), case["why"]
    assert said.out == case.get("output", ""), case["why"]
    assert said.code == case.get("code", 0), case["why"]
