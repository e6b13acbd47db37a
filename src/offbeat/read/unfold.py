"""JSON that holds all its records on one line: an array of them, or one under a single name, as of CloudTrail.

Each record becomes a line of its own before anything else looks at the lines, and keeps the number of the line it
stands on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
import polars as pl

from offbeat.read import xml_records
from offbeat.read.names import NAMES

#: Names of the list in exports of CloudTrail, Azure, CloudWatch and others.
_NAMES: Final = (
    "Records|records|Events|events|logEvents|logs|entries|items|results|value|data|resourceLogs|resource_logs"
)
_OTLP: Final = frozenset({"resourceLogs", "resource_logs"})
#: A record with one of these is an event itself, whatever list it holds.
_OWN: Final = frozenset({*NAMES["time"], *NAMES["message"]})
_FOLDED: Final = rf'^\s*(?:\{{\s*"(?:{_NAMES})"\s*:\s*)?\[\s*\{{'
_BEGIN: Final = re.compile(_FOLDED)
_APART: Final[dict[str, Any]] = {"row": pl.UInt32, "line": pl.List(pl.String)}
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]')


def unfold(lines: pl.Series, tag: str = "") -> tuple[pl.Series, pl.Series] | None:
    """Put each record on a line of its own.

    Args:
        lines: String, shape (n,).
        tag: of XML, the element that is a record.

    Returns:
        The lines, shape (m,), and for each the position of the one it stood on (UInt32); None where no line holds
        several.
    """
    if tag:
        return xml_records.apart(lines, tag)
    rows = lines.str.contains(_FOLDED).arg_true()
    if rows.is_empty():
        return None
    whole = lines.to_frame("line").with_row_index("row")
    apart = [pl.DataFrame({"row": [row], "line": [records(lines[row])]}, schema=_APART) for row in rows]
    folded = pl.concat(apart).explode("line")
    rest = whole.filter(~pl.col("row").is_in(rows.implode())).cast({"row": pl.UInt32})
    both = pl.concat([rest, folded.select("row", "line")[rest.columns]]).sort("row", maintain_order=True)
    return both["line"], both["row"]


def records(text: str) -> list[str]:
    """The records of an array as JSON; of one that is cut off the whole ones, and what is left."""
    try:
        value: Any = orjson.loads(text)
    except ValueError:
        return _cut_off(text)
    if isinstance(value, dict):
        if any(name in _OWN for name in value):
            return [text]
        name, value = next((name, item) for name, item in value.items() if isinstance(item, list))
        if name in _OTLP:
            value = [record for resource in value for record in _of_resource(resource)]
    if not all(isinstance(item, dict) for item in value):
        return [text]
    try:
        return [orjson.dumps(item).decode() for item in value]
    except TypeError:  # nested more deeply than can be written: the records are cut out of the text
        return _cut_off(text)


def _of_resource(resource: Any) -> Iterator[Any]:
    """The records of one resource in OpenTelemetry's JSON (OTLP, opentelemetry-proto), each with what it shares."""
    shared = _attributes(_part(resource, "resource"))
    for scope in _list(resource, "scopeLogs", "scope_logs"):
        for record in _list(scope, "logRecords", "log_records"):
            if isinstance(record, dict):
                named = {"scope": name} if (name := _part(scope, "scope").get("name")) else {}
                own = {key: value for key, value in record.items() if key != "attributes"}
                yield {**own, **shared, **named, **_attributes(record)}


def _part(value: Any, name: str) -> dict[str, Any]:
    part = value.get(name) if isinstance(value, dict) else None
    return part if isinstance(part, dict) else {}


def _list(value: Any, *names: str) -> list[Any]:
    found: Any = next((value[name] for name in names if name in value), []) if isinstance(value, dict) else []
    return found if isinstance(found, list) else []


def _attributes(owner: dict[str, Any]) -> dict[str, Any]:
    """Attributes, a list of keys and typed values, as a record."""
    pairs = [pair for pair in _list(owner, "attributes") if isinstance(pair, dict) and isinstance(pair.get("key"), str)]
    return {pair["key"]: next(iter(_part(pair, "value").values()), None) for pair in pairs}


def _cut_off(text: str) -> list[str]:
    begin = _BEGIN.match(text)
    assert begin is not None  # noqa: S101 - only such lines are asked for
    found: list[str] = []
    depth, start, done = 0, begin.end() - 1, begin.end() - 1
    for token in _TOKEN.finditer(text, start):
        mark = token[0]
        if mark in "{[":
            start = token.start() if depth == 0 else start
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth < 0:
                break
            if depth == 0:
                done = token.end()
                found.append(text[start:done])
    rest = text[done:].strip(" ,\t" if depth >= 0 else " ,\t]}")  # what closes the array is no record
    return [*found, *([rest] if rest else [])] or [text]
