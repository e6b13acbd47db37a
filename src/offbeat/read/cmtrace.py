"""What Microsoft's Configuration Manager, Intune and others write for CMTrace: the header stands behind the message.

``<![LOG[message]LOG]!><time="16:42:09.486-60" date="01-29-2023" component="PolicyAgent" type="1" …>``; messages may
hold line ends, the type is 1, 2 or 3, and the zone is the minutes that local time is behind Greenwich
(learn.microsoft.com, "About log files in Configuration Manager").
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

import polars as pl

from offbeat.read.layout import JOINED, Context, Records, Want
from offbeat.read.names import Record
from offbeat.read.records import to_frame

_BEGIN: Final = "<![LOG["
_WHOLE: Final = re.compile(r"<!\[LOG\[(?P<message>.*?)\]LOG\]!><(?P<more>time=.*)>\s*$", re.DOTALL)
_PAIR: Final = re.compile(r'(\w+)="([^"]*)"')
_TIME: Final = re.compile(r"(?P<clock>[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)(?P<zone>[+-][0-9]+)?")
_LEVELS: Final = {"0": "info", "1": "info", "2": "warning", "3": "error"}
_MOST_LINES: Final = 1000


class CmTrace(Records):
    """One event from ``<![LOG[`` on."""

    name = "cmtrace"
    example = (
        '<![LOG[Starting policy evaluation]LOG]!><time="16:42:09.486-60" date="01-29-2023" component="PolicyAgent" '
        'context="" type="1" thread="4712" file="policy.cpp:117">'
    )
    rank = 8

    def fresh(self, lines: pl.Series, context: Context) -> pl.Series:
        """Where an event begins."""
        return lines.str.starts_with(_BEGIN)

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line is part of an event."""
        if not lines.str.starts_with(_BEGIN).any():
            return pl.repeat(False, len(lines), dtype=pl.Boolean, eager=True)
        frame = self.parse(lines, Want(frozenset()), Context())
        return frame["placed"] | (frame["mark"] > 0)

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """As :meth:`TextLayout.parse`; the lines of an event behind its first are marked as joined."""
        texts = lines.to_list()
        records: list[Record | None] = [None] * len(texts)
        marks = [0] * len(texts)
        starts = lines.str.starts_with(_BEGIN).arg_true().to_list()
        for begin, after in pairwise([*starts, len(texts)]):
            for end in range(begin + 1, min(after, begin + _MOST_LINES) + 1):
                if "]LOG]!><time=" in texts[end - 1]:
                    records[begin] = _record("\n".join(texts[begin:end]))
                    if records[begin] is not None:
                        marks[begin + 1 : end] = [JOINED] * (end - begin - 1)
                    break
        return to_frame(records, want, context).with_columns(pl.Series("mark", marks, dtype=pl.UInt8))


def _record(text: str) -> Record | None:
    whole = _WHOLE.match(text)
    if whole is None:
        return None
    said: dict[str, Any] = dict(_PAIR.findall(whole["more"]))
    record = {"message": whole["message"].strip(), "level": _LEVELS.get(said.pop("type", ""), "")}
    time = _TIME.match(said.pop("time", ""))
    month, _, rest = said.pop("date", "").partition("-")
    day, _, year = rest.partition("-")
    if time is not None and year:
        behind = int(time["zone"] or 0)
        zone = f"{'-' if behind > 0 else '+'}{abs(behind) // 60:02}:{abs(behind) % 60:02}"
        record["timestamp"] = f"{year}-{month:>02}-{day:>02}T{time['clock']:>08}{zone}"
    return {**record, **{name: value for name, value in said.items() if value}}
