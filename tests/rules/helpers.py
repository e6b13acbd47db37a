"""Rules and events in a few words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

pytest.importorskip("sigma", reason="Sigma rules need the extra `rules`")

from offbeat.rules import Document, Rule, RuleError
from offbeat.rules.match import Matcher
from offbeat.rules.sigma import compile_text
from offbeat.schema import TIME

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SIGMA = DATA / "sigma"
needs_sigma = pytest.mark.skipif(not SIGMA.exists(), reason="the public Sigma rules are not in ../shared/data")


def compiled(text: str, placeholders: Mapping[str, Sequence[str]] | None = None) -> Document:
    """Return what one document compiles to; fails where it is refused."""
    found = compile_text(text, "rule.yml", placeholders)
    assert len(found) == 1
    assert not isinstance(found[0], RuleError), str(found[0])
    return found[0]


def refused(text: str) -> RuleError:
    """Return why one document is refused; fails where it is not."""
    found = compile_text(text, "rule.yml")
    assert len(found) == 1
    assert isinstance(found[0], RuleError), found[0]
    return found[0]


def rule(selection: str, condition: str = "sel", placeholders: Mapping[str, Sequence[str]] | None = None) -> Rule:
    """Return a rule for any log with one selection, given as YAML."""
    body = "\n".join("        " + line for line in selection.splitlines())
    text = f"title: t\nlogsource:\n    category: any\ndetection:\n    sel:\n{body}\n    condition: {condition}\n"
    made = compiled(text, placeholders)
    assert isinstance(made, Rule)
    return made


def events(*records: Mapping[str, Any] | str) -> pl.DataFrame:
    """Return EVENTS: a text is a message, a map the fields of an event; ``_time`` and ``_source`` are its own."""
    rows = [{"message": r} if isinstance(r, str) else dict(r) for r in records]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("message", "_time", "_source")))
    n = len(rows)
    times = [row.get("_time") for row in rows]
    return pl.DataFrame(
        {
            "file": pl.Series([0] * n, dtype=pl.UInt16),
            "line": pl.Series(range(1, n + 1), dtype=pl.UInt32),
            "timestamp": pl.Series(times, dtype=pl.String).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us")
            .dt.replace_time_zone("UTC").cast(TIME),
            "level": pl.Series([0] * n, dtype=pl.UInt8),
            "source": pl.Series([row.get("_source") for row in rows], dtype=pl.String),
            "message": pl.Series([row.get("message", "") for row in rows], dtype=pl.String),
            **{
                f"fields.{name}": pl.Series(
                    [None if row.get(name) is None else str(row[name]) for row in rows], dtype=pl.String
                )
                for name in names
            },
        }
    )  # fmt: skip


def matches(one: Rule, *records: Mapping[str, Any] | str, gated: bool = False) -> list[bool]:
    """Return which events a rule matches."""
    frame = events(*records)
    rows = set(Matcher([one], gated=gated).rows(frame)[0].tolist())
    return [i in rows for i in range(frame.height)]
