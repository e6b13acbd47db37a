"""The columns' evaluator says the same as one that goes event by event."""

import sys
from pathlib import Path

import pytest
from helpers import DATA, SIGMA, events, needs_sigma
from hypothesis import given, settings
from hypothesis import strategies as st

from offbeat.read import open_logs
from offbeat.rules import Rule, columns, load
from offbeat.rules.expr import All, Expr, Match, Not, Ref, Some
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


_TEXTS = st.sampled_from(["", "a", "A", "ab", "Ab*c", "b?", "10", "9.5", "aab", "x y", "ÄB", "äb", "\N{KELVIN SIGN}ab"])
_GLOBS = st.sampled_from([("a", 0, "b"), (0, "b", 1), ("A", 1), (1, 0, "b"), (0, "a", 0, "b", 0)])
_LEAVES = st.one_of(
    st.builds(
        Match,
        st.sampled_from(["f", "g", None]),
        st.sampled_from(["equals", "contains", "startswith", "endswith"]),
        st.lists(_TEXTS, min_size=1, max_size=3).map(tuple),
        st.booleans(),
    ).filter(lambda leaf: leaf.field is not None or leaf.op == "contains"),
    st.builds(
        Match, st.sampled_from(["f", "g"]), st.just("glob"), st.lists(_GLOBS, min_size=1).map(tuple), st.booleans()
    ),
    st.builds(Match, st.sampled_from(["f", "g"]), st.sampled_from(["any", "null"])),
    st.builds(Match, st.sampled_from(["f", "g"]), st.sampled_from(["lt", "gte"]), st.tuples(st.integers(8, 11))),
    st.builds(Match, st.just("f"), st.just("regex"), st.sampled_from([("^a",), ("[ab]+$",), ("(?i)AB",), ("ab|10",)])),
    st.builds(Match, st.just("f"), st.just("same"), st.just(("g",))),
)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda args: All(tuple(args)), st.lists(inner, max_size=3)),
        st.builds(lambda args: Some(tuple(args)), st.lists(inner, max_size=3)),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
_RECORDS = st.lists(
    st.fixed_dictionaries({"f": st.none() | _TEXTS, "g": st.none() | _TEXTS, "message": _TEXTS}), min_size=1, max_size=8
)


@settings(max_examples=150)
@given(st.lists(_TREES, min_size=1, max_size=3), _RECORDS, st.booleans())
def test_any_expression_on_any_events(trees: list[Expr], records: list[dict[str, str | None]], repeating: bool):
    """Whatever is joined, negated, absent or alike: both evaluators say the same, also of several rules at once.

    So they do where values are taken to be different without looking.
    """
    rules = [Rule(f"r{i}", {"s": tree}, Ref("s")) for i, tree in enumerate(trees)]
    with pytest.MonkeyPatch.context() as patch:
        if not repeating:
            patch.setattr(columns, "_SAMPLED", 0)
            patch.setattr(columns, "_DIFFERENT", 0.0)
        found = Matcher(rules, gated=False).rows(events(*records))
    for tree, rows in zip(trees, found, strict=True):
        # A keyword is looked for in each column, as in a line where they stand apart.
        assert [i in rows for i in range(len(records))] == [fits(tree, {"_source": None, **r}) for r in records]
