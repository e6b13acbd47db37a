"""The variable parts of messages as typed values, read only when asked.

What a part is follows from how its values look and from the words beside it in the template.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import polars as pl

from offbeat.mine.parts import VARIABLE, extract

#: Seconds in a unit of time, bytes in a unit of size (IEC 80000-13 for ``KiB``; logs mean the same by ``KB``).
SECONDS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "usec": 1e-6, "microsecond": 1e-6, "ms": 1e-3, "msec": 1e-3, "milli": 1e-3,
    "millisecond": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3600.0,
    "hr": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0,
}  # fmt: skip
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
BYTES: Final = {"byte": 1.0} | {p + end: 1024.0**n for p, n in _POWERS.items() for end in ("b", "ib")}

_NUMBER = r"[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?"
_UNIT = r"[A-Za-zµ]+"
_HEX = r"[0-9a-fA-F]{1,4}"
_HEXES = rf"(?:{_HEX}(?::{_HEX}){{0,5}})?"
# In order of trial; a part is of the first kind that all its values fit.
_KINDS: Final[tuple[tuple[str, str], ...]] = (
    ("status", r"[1-5]\d\d"),
    ("number", r"[-+]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?(?:[eE][-+]?\d+)?%?"),
    ("duration", rf"<?{_NUMBER} ?(?:{'|'.join(sorted(SECONDS, key=len, reverse=True))})s?"),
    ("size", rf"{_NUMBER} ?(?i:[kmgtp]?i?b|bytes?|[kmg])(?: \({_NUMBER} ?(?i:[kmgtp]?i?b|bytes?)\))?"),
    ("uuid", r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    ("ip", r"/?(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?"),
    ("ip", rf"/?\[?(?:(?:{_HEX}:){{7}}{_HEX}|{_HEXES}::{_HEXES})\]?(?:%\w+)?"),
    ("ip", r"::(?:ffff:)?(?:\d{1,3}\.){3}\d{1,3}"),
    ("hex", r"(?:0[xX][0-9a-fA-F]+|[0-9a-fA-F]{6,})"),
    ("url", r"[a-z][a-z0-9+.-]*://\S+"),
    ("path", r"(?:/|[A-Za-z]:\\|\\\\)\S*"),
    ("quoted", r"\"[^\"]*\"|'[^']*'"),
)
_PATTERNS: Final = tuple((kind, f"^(?:{pattern})$") for kind, pattern in _KINDS)
_USER: Final = re.compile(r"(?i)\b(?:user|username|ruser|logname|login|uname)\W*$")
_STATUS: Final = re.compile(r"(?i)(?:\bstatus|\bcode|HTTP/\S+\"?|^\"?[A-Z]+ <\*>)\W*$")
_AFTER: Final = re.compile(rf"^ ?({_UNIT})(?![\w=])")


@dataclass(frozen=True)
class Values:
    """The variable parts of messages of one template.

    Attributes:
        text: one String column a part, named ``0``, ``1``, …; null where the message does not fit the template.
        kinds: of each part one of ip, path, url, number, duration, size, status, hex, uuid, user, quoted, text.
        typed: the same columns; durations in seconds, sizes in bytes and numbers as Float64, the others as text.
    """

    text: pl.DataFrame
    kinds: list[str]
    typed: pl.DataFrame


def values(messages: pl.Series, template: str) -> Values:
    """Read the variable parts of messages.

    Args:
        messages: String, all of one template; null and what does not fit give nulls.
        template: the template's text.
    """
    literals = VARIABLE.split(template)[::2]
    text = extract(messages.str.strip_chars(), template)
    names = VARIABLE.findall(template)
    kinds: list[str] = []
    columns: list[pl.Series] = []
    for i, column in enumerate(text):
        before, after = VARIABLE.sub("<*>", _until(template, i)), literals[i + 1]
        kind, unit = _kind(column, names[i], before, after)
        kinds.append(kind)
        columns.append(_convert(column, kind, unit))
    return Values(text, kinds, pl.DataFrame(columns) if columns else text)


def _until(template: str, part: int) -> str:
    """Return the template before its variable part number ``part``."""
    matches = list(VARIABLE.finditer(template))
    return template[: matches[part].start()]


def _kind(column: pl.Series, name: str, before: str, after: str) -> tuple[str, str]:
    """Return the kind of a part and the unit that the template gives it."""
    seen = column.drop_nulls().unique()
    seen = seen.filter(seen != "")
    if name == "user" or _USER.search(before):
        return "user", ""
    if name in ("path", "url", "size"):
        return name, ""
    if seen.is_empty():
        return "text", ""
    kind = next((kind for kind, pattern in _PATTERNS if seen.str.contains(pattern).all()), "text")
    if kind == "text" and before[-1:] in ('"', "'") and before[-1:] == after[:1]:
        return "quoted", ""
    if kind == "status" and not _STATUS.search(before):
        kind = "number"
    if kind == "hex" and not seen.str.contains(r"[a-fA-FxX]").any():
        kind = "number"
    if kind == "number" and (unit := _AFTER.match(after)):
        word = unit.group(1)
        if _base(word) in SECONDS:
            return "duration", word
        if word.lower() in BYTES or _base(word) in BYTES:
            return "size", word
    return kind, ""


def _base(unit: str) -> str:
    """Return a unit in the singular, lower case."""
    lower = unit.lower()
    return lower.removesuffix("s") if len(lower) > 2 and lower not in SECONDS else lower


def _convert(column: pl.Series, kind: str, unit: str) -> pl.Series:
    """Return numbers as Float64 in base units; other kinds as they are."""
    if kind not in ("number", "duration", "size"):
        return column
    number = column.str.extract(rf"({_NUMBER})").str.replace_all(",", "").cast(pl.Float64, strict=False)
    # Digits without end, as of 1e400, are a text to whoever counts or averages.
    number = number.to_frame().select(pl.when(pl.col(number.name).is_finite()).then(pl.col(number.name))).to_series()
    if kind == "number":
        return number
    table = SECONDS if kind == "duration" else BYTES
    if unit:
        return number * table.get(_base(unit), table.get(unit.lower(), 1.0))
    units = column.str.extract(rf"{_NUMBER} ?({_UNIT})")
    factors = {u: _factor(u, table) for u in units.drop_nulls().unique()}
    scale = units.replace_strict(factors, default=1.0, return_dtype=pl.Float64)
    return (number * scale).alias(column.name)


def _factor(unit: str, table: dict[str, float]) -> float:
    """Return the factor of a unit; a lone ``k`` or ``M`` beside sizes means kilo- or megabytes."""
    base = _base(unit)
    return table.get(base, table.get(unit.lower(), table.get(unit.lower() + "b", 1.0) if table is BYTES else 1.0))
