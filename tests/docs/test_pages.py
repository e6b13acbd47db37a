"""The pages agree with the code and with each other."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "offbeat"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_architecture_names_every_room_and_module():
    """What is new in the house is on its map, and what has gone is not."""
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`[^|]+) \|", text, flags=re.MULTILINE)
    named = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert (rooms | modules) - named - {"schema"} == set()
    assert named - rooms - modules == set()
    assert "`schema.py`" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    """Every link to a file of the project, or to a heading, finds it."""
    dead = []
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name) if name else page
        if not place.exists() or (anchor and anchor not in _anchors(place)):
            dead.append(target)
    assert dead == []


def test_changelog_knows_the_version():
    """The version that the package says is one that the changelog describes."""
    import offbeat

    assert offbeat.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_nothing_opens_connections_or_unpickles():
    """SECURITY says so: no module imports what talks to a network, or what runs code from files."""
    forbidden = {"socket", "ssl", "http", "urllib", "requests", "httpx", "ftplib", "smtplib", "xmlrpc"}
    forbidden |= {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path.name}: {name}" for name in names if name.split(".")[0] in forbidden]
    assert found == []
