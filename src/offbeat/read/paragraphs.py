"""Records of ``name: value`` lines, one below the other, each record beginning with the same name.

So apt keeps its history, ``wevtutil /f:text`` and PowerShell's ``Format-List`` print Windows events, and many programs
their reports.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import polars as pl

from offbeat.read import levels
from offbeat.read.layout import HEADER, JOINED, Context, Records, Want
from offbeat.read.names import Record
from offbeat.read.records import to_frame
from offbeat.read.stamps import DATED

_PAIR: Final = re.compile(
    r"^(?P<indent>\s*)(?P<name>[A-Za-z][\w ./()-]{0,40}?(?:\[[0-9]+\])?)\s*(?P<mark>[:=])(?:\s+(?P<value>.*))?$"
)
#: Names whose value goes on over whatever lines follow.
_TEXTS: Final = frozenset({"message", "description", "msg", "text", "body", "details"})
_STAMPED: Final = re.compile(DATED)
_RULE: Final = re.compile(r"\s*(?:-{2,}|={2,}|\*{2,}|\.{3})\s*$")
_EMPTY: Final = frozenset({"", "-", "N/A"})
_FEWEST: Final = 3  # names of a record


def begins(name: str) -> str:
    """The expression for lines that begin a record whose first name is this one, whatever its number."""
    pattern = re.sub(r"[0-9]+", "[0-9]+", re.escape(name))
    return rf"^\s*{pattern}\s*[:=](?:\s|$)"


def first_name(texts: Sequence[str]) -> str:
    """The name that each record of a sample begins with; empty where there are no such records.

    There must be several records, most with three names or more, none of them twice, and each with a date.
    """
    pair = _PAIR.match(texts[0]) if texts else None
    if pair is None or levels.NAMES.get(pair["name"].lower()):
        return ""
    name = pair["name"]
    opening = re.compile(begins(name))
    at = [row for row, text in enumerate(texts) if opening.match(text)]
    if len(at) < 2 or len(at) * _FEWEST > len(texts):
        return ""
    good = 0
    for begin, end in pairwise(at[:51]):
        record, twice = _record(texts[begin:end])
        dated = any(_STAMPED.search(value) for value in record.values())
        good += len(record) >= _FEWEST and not twice and dated
    return name if good >= 0.8 * min(50, len(at) - 1) else ""


def _record(texts: Sequence[str]) -> tuple[dict[str, Any], bool]:
    """The names and values of the lines of a record, and whether a name stands there twice."""
    found: dict[str, str] = {}
    last, indent, columns, twice = "", -1, set[int](), False
    for text in texts:
        pair = _PAIR.match(text)
        # Where all the marks stand below one another, that tells a name from a text with such a mark.
        aligned = pair is not None and len(found) > 1 and columns == {pair.start("mark")}
        deeper = pair is not None and 0 <= indent < len(pair["indent"].expandtabs())
        if pair is None or (last and not aligned and (last.lower() in _TEXTS or (deeper and len(found) > 1))):
            if last and not _RULE.match(text):
                found[last] += "\n" + text.strip()
            continue
        columns.add(pair.start("mark"))
        indent = len(pair["indent"].expandtabs())
        last = re.sub(r"\[[0-9]+\]$", "", pair["name"])
        twice = twice or last in found
        found[last] = (pair["value"] or "").strip()
    return {key: value.strip() for key, value in found.items() if value.strip() not in _EMPTY}, twice


class Paragraphs(Records):
    """Lines of ``name: value``, several a record."""

    name = "paragraphs"
    example = "Start-Date: 2023-01-29  16:42:09"
    rank = 6

    def fresh(self, lines: pl.Series, context: Context) -> pl.Series:
        """Where a record begins."""
        return lines.str.contains(begins(context.tag))

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line is part of a record."""
        name = first_name(lines.to_list())
        frame = self.parse(lines, Want(frozenset()), Context(tag=name))
        return frame["placed"] | (frame["mark"] > 0)

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """As :meth:`TextLayout.parse`; the lines of a record behind its first are marked as joined."""
        texts = lines.to_list()
        records: list[Record | None] = [None] * len(texts)
        marks = [0] * len(texts)
        at = lines.str.contains(begins(context.tag)).arg_true().to_list() if context.tag else []
        for begin, end in pairwise([*at, len(texts)]):
            record, _ = _record(texts[begin:end])
            records[begin] = record or None
            while end > begin + 1 and (not texts[end - 1].strip() or _RULE.match(texts[end - 1])):
                end -= 1
                marks[end] = HEADER if texts[end].strip() else 0
            if record:
                marks[begin + 1 : end] = [JOINED] * (end - begin - 1)
        return to_frame(records, want, context).with_columns(pl.Series("mark", marks, dtype=pl.UInt8))
