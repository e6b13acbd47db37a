"""What the fields of a format hold: numbers, categories, identifiers or text."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

_ID: Final = r"^(?:[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\w+[-_][0-9a-fA-F-]{8,})$"


def field_kinds(fields: pl.Series) -> dict[str, str]:
    """What each field of the sample holds: number, category, id or text."""
    import orjson

    columns: dict[str, list[object]] = {}
    records = [orjson.loads(text) for text in fields.drop_nulls().to_list()]
    for record in records:
        for name, value in record.items():
            if value is not None:
                columns.setdefault(name, []).append(value)
    return {name: _kind(name, values) for name, values in list(columns.items())[:200]}


def _kind(name: str, values: list[object]) -> str:
    distinct = len({str(value) for value in values})
    if re.search(
        r"(?:^|[._-])(?:trace|span|request|session|correlation|transaction|flow|block|order|user)?_?[iI][dD]$|uid$|guid$|cursor$",
        name,
        re.IGNORECASE,
    ) or (sum(bool(re.match(_ID, str(value))) for value in values) > 0.9 * len(values)):
        return "id"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "category" if distinct <= 3 < len(values) else "number"
    if all(re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", str(value)) for value in values):
        return "category" if distinct <= 3 < len(values) else "number"
    if distinct <= max(3, min(50, 0.2 * len(values))):
        return "category"
    return "text"
