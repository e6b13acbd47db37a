"""The rules that ship: fresh, tried on their examples, quiet where nothing is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import DATA

from offbeat.read import open_logs
from offbeat.rules import EXAMPLES, PACK, Engine, Firing, load, load_pack
from offbeat.rules.pack.build import compiled
from offbeat.ruling import asked
from offbeat.trial import examples_of, read_examples, run_examples

FILES = sorted(path for path in PACK.glob("*.yml") if not path.name.endswith(EXAMPLES))


def test_the_compiled_pack_is_fresh():
    """What ships compiled is what the files say."""
    assert (PACK / "pack.json").read_bytes() == compiled(), "run: python -m offbeat.rules.pack"


def test_the_pack_needs_no_pysigma():
    """The rules that ship run where pySigma is not installed."""
    code = (
        "import sys; sys.modules['sigma'] = sys.modules['yaml'] = None\n"
        "from offbeat.rules import Engine, load_pack\n"
        "assert Engine(load_pack().documents).nodes"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_each_rule_has_examples_that_match_and_that_do_not(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each file's last rule finds in each example what it says, and there are examples of both kinds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rules = load([file])
    assert rules.refused == ()
    results = list(run_examples(rules, file, read_examples(examples_of(file))))
    assert [(e.name, t.matched) for e, t in results] == [(e.name, e.matched) for e, _ in results]
    assert any(t.matched for _, t in results)
    assert any(t.matched < t.events for _, t in results)


def _found(name: str) -> list[tuple[str, Firing]]:
    logs = open_logs(str(DATA / name))
    engine = Engine(load_pack().documents, [sniffed.layout for sniffed in logs.sniffed])
    out = []
    for frame in logs.batches(*asked(logs, engine.matcher)):
        out += engine.add(engine.match(frame))
    return [(engine.documents[f.key].title, f) for f in [*out, *engine.flush()]]


needs_data = pytest.mark.skipif(not DATA.exists(), reason="there are no logs in ../shared/data")


@needs_data
@pytest.mark.parametrize("name", ["web/apache_access.log.gz", "bgl/BGL_first10k.log.gz", "formats/zeek_dns.json.gz"])
def test_the_pack_is_quiet_where_nothing_is_wrong(name: str):
    """A real log without an attack gives no finding."""
    assert _found(name) == []


@needs_data
def test_the_pack_finds_what_real_logs_hold():
    """A scanner's run is a scan with injections that makes the server fail; an exposed host is attacked by password."""
    scanned = {title for title, _ in _found("web/scan_acunetix.log.gz")}
    assert scanned == {"Burst of server errors", "Web scan", "Injection in a request"}
    attacked = _found("ssh/auth.log.gz")
    assert {title for title, _ in attacked} >= {"Brute force from one address", "Password spraying"}
    worst = max((f for title, f in attacked if title == "Brute force from one address"), key=lambda f: f.events)
    assert worst.group == {"src_ip": "24.151.103.17"}
