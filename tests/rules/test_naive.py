"""The columns' evaluator says the same as one that goes event by event."""

import sys
from pathlib import Path

import pytest
from helpers import DATA, SIGMA, needs_sigma

from offbeat.read import open_logs
from offbeat.rules import Rule, load
from offbeat.rules.fields import resolve
from offbeat.rules.match import Matcher
from offbeat.ruling import asked

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from naive_rules import fits


@needs_sigma
@pytest.mark.parametrize("name", ["web/scan_acunetix.log.gz", "ssh/auth.log.gz", "formats/suricata_eve.json.gz"])
def test_both_find_the_same_events(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On real logs every public rule matches the same events either way, whatever log it is for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rules = [d for d in load([SIGMA / "rules"]).documents if isinstance(d, Rule)]
    logs = open_logs(str(DATA / name))
    matcher = Matcher(rules, gated=False)
    frame = next(logs.batches(*asked(logs, matcher)))[::37][:150]
    view = matcher.frame(frame).events
    found = {field: resolve(view, field) for field in matcher.fields if field != "offbeat.format"}
    whole = [c for c in view.columns if c in ("source", "message") or c.startswith("fields.")]
    if "fields" in view.columns:
        whole = ["source", "message", "fields"]
    records = [
        {f"_{column}": value for column, value in zip(whole, row, strict=True)}
        | {field: series[i] for field, series in found.items() if series is not None}
        for i, row in enumerate(view.select(whole).rows())
    ]
    slow = [[i for i, record in enumerate(records) if fits(expr, record)] for expr in matcher.exprs]
    fast = [rows.tolist() for rows in matcher.rows(frame)]
    assert [r.title for r, a, b in zip(rules, slow, fast, strict=True) if a != b] == []
    assert any(fast)
