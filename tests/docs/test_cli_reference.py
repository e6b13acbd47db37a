"""Every command, option, format and detector is documented, and the pages made from the code are up to date."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script that writes the pages."""
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_up_to_date(reference: ModuleType):
    """What the code says of itself is what the pages say."""
    stale = [path.name for path, text in reference.pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: make docs"


def test_every_table_is_in_a_page(reference: ModuleType):
    """A mark that was lost in editing does not go unnoticed."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    assert [name for name in reference.TABLES if f"<!-- made: {name} -->" not in text] == []


def test_every_command_and_option_has_help(reference: ModuleType):
    """Nothing is offered that is not explained."""
    silent = [name for name, command in reference.commands().items() if not command.help]
    for name, command in reference.commands().items():
        silent += [f"{name} {names}" for names, words, _ in reference.options(command) if not words]
    assert silent == []


def test_every_command_shows_how_it_is_called():
    """Each command is in README or a page of the docs that is not made, as a user would type it."""
    from typer.main import get_command

    from offbeat.cli import app

    pages = [ROOT / "README.md", *(page for page in (ROOT / "docs").glob("*.md") if page.name != "cli.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert [name for name in get_command(app).commands if f"offbeat {name}" not in text] == []
