"""sniff: the golden cases, and that it does not read on."""

import io
import sys

import pytest
from cli_cases import cases, check, offbeat  # noqa: F401 - a fixture

from offbeat.read import streams


@pytest.mark.parametrize("case", cases("sniff"))
def test_golden(case, offbeat, tmp_path):  # noqa: F811 - the fixture
    """The command says exactly what the case says."""
    check(case, offbeat, tmp_path)


def test_only_the_beginning_is_read(offbeat, tmp_path, monkeypatch):  # noqa: F811 - a fixture
    """A look at a long file costs no more than a look at a short one."""
    (tmp_path / "app.log").write_text("2023-01-29 16:42:09 INFO flushed 12 rows\n" * 1_000_000)
    read = []
    step = streams.Stream.read
    monkeypatch.setattr(streams.Stream, "read", lambda self: read.append(step(self)) or read[-1])
    said = offbeat("sniff app.log --limit 2")
    assert said.code == 0
    assert sum(map(len, read)) < 30e6
    assert said.out.count("flushed 12 rows") == 2


def test_standard_input_on_a_terminal_is_refused(offbeat, monkeypatch):  # noqa: F811 - a fixture
    """Waiting for ever for someone to type a log helps no one."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    said = offbeat("sniff -")
    assert said.code == 2
    assert "stdin is a terminal" in said.err
