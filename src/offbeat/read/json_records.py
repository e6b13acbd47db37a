"""JSON: one record a line (application logs, Docker, journald, Suricata, Zeek), or pretty-printed over several lines.

Windows events exported as JSON get the names that event viewers and Sigma rules use: ``EventID``, ``Channel``,
``Provider_Name`` and the names of ``EventData`` as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson
import polars as pl

from offbeat.read import json_columns, levels
from offbeat.read.layout import HEADER, JOINED, PARTIAL, Context, Records, Want
from offbeat.read.names import Record
from offbeat.read.records import to_frame

#: Escaped halves of surrogate pairs: JavaScript and Java cut texts in between, and no decoder takes the record then.
_HALVES: Final = re.compile(
    r"(?P<right>\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


class JsonLines(Records):
    """One JSON object a line."""

    name = "json"
    example = '{"time":"2023-01-29T09:49:07.701Z","level":"INFO","service":"orders","msg":"order 17 accepted"}'
    rank = 9

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line is a JSON object."""
        return pl.Series([record is not None for record in load_all(lines.to_list())], dtype=pl.Boolean)

    def records(self, lines: pl.Series) -> list[Record | None]:
        """The object of each line, None where there is none."""
        return [_named(record) for record in load_all(lines.to_list())]

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """As :meth:`TextLayout.parse`."""
        read = json_columns.parse(lines, want, context)
        if read is None:
            return self._parse(lines, want, context)
        frame, odd = read
        if not odd.any():
            return frame
        rows = pl.int_range(len(lines), eager=True)
        rest = self._parse(lines.filter(odd), want, context).drop("mark", strict=False)
        parts = [frame.with_columns(row=rows).filter(~odd), rest.with_columns(rows.filter(odd).alias("row"))]
        return pl.concat(parts).sort("row").drop("row")

    def _parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        records = self.records(lines)
        frame = to_frame(records, want, context)
        frame = _windows_levels(frame, records, want)
        if not context.pieces:
            return frame
        marks = [PARTIAL if record is not None and is_piece(record) else 0 for record in records]
        return frame.with_columns(pl.Series("mark", marks, dtype=pl.UInt8))


def load_all(texts: Sequence[str]) -> list[Any]:
    """Objects of all lines; None where a line is none. One call for all lines is half the cost of one a line."""
    if all(text[:1] == "{" for text in texts):
        try:
            records = orjson.loads("[" + ",".join(texts) + "]")
        except ValueError:
            records = []
        if len(records) == len(texts) and all(type(record) is dict for record in records):
            return list(records)
    return [_load(text) for text in texts]


def _load(text: str) -> Any:
    if text.lstrip()[:1] != "{":
        return None
    try:
        record = orjson.loads(text)
    except ValueError:  # broken, cut off, or nested deeper than orjson goes
        mended = _HALVES.sub(_mend, text)
        return _load(mended) if mended != text else None
    return record if record else None


def _mend(match: re.Match[str]) -> str:
    return match[0] if match["right"] else "\\ufffd"


def is_docker(record: Record) -> bool:
    """Whether Docker's json-file driver wrote the record."""
    return {"log", "stream", "time"} <= record.keys() and len(record) <= 5 and isinstance(record["log"], str)


def is_piece(record: Record) -> bool:
    """Whether the record goes on in the next one: Docker splits long lines, and only the last piece has their end."""
    return is_docker(record) and record["log"][-1:] != "\n"


def in_pieces(records: Sequence[Record]) -> bool:
    """Whether records that do not end their line go on in the next one.

    A log that was rewritten without its newlines would otherwise be one endless event.
    """
    return any(is_docker(record) and not is_piece(record) for record in records)


def _named(record: Any) -> Any:
    return windows_event(record["Event"]) if record and "Event" in record and _is_windows(record["Event"]) else record


def _is_windows(event: Any) -> bool:
    return isinstance(event, dict) and isinstance(event.get("System"), dict)


def windows_event(event: Record) -> Record:
    """One flat record with the usual names from the XML shape of a Windows event (evtx_dump, python-evtx)."""
    flat: dict[str, Any] = {}
    for key, value in event["System"].items():
        if isinstance(value, dict):
            inner = value.get("#attributes") or {k.lstrip("@"): v for k, v in value.items() if k != "#text"}
            if "#text" in value:
                flat[key] = value["#text"]
            for name, item in inner.items() if isinstance(inner, dict) else ():
                flat["TimeCreated" if name == "SystemTime" else f"{key}_{name}"] = item
        elif value is not None:
            flat[key] = value
    for part in ("EventData", "UserData"):
        flat.update(_event_data(event.get(part)))
    return {key: value for key, value in flat.items() if not key.startswith("#")}


def _event_data(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        return {}
    named = data.get("Data")
    if isinstance(named, list) and all(isinstance(item, dict) for item in named):
        return {str(item.get("@Name", i)): item.get("#text") for i, item in enumerate(named)}
    if len(data) == 1 and isinstance(
        only := next(iter(data.values())), dict
    ):  # UserData wraps a provider's own element
        return {key: value for key, value in only.items() if not key.startswith(("#", "@"))}
    return {key: value for key, value in data.items() if not key.startswith(("#", "@"))}


def _windows_levels(frame: pl.DataFrame, records: Sequence[Record | None], want: Want) -> pl.DataFrame:
    if "level" not in want or not any(r is not None and "EventRecordID" in r for r in records):
        return frame
    numbers = [r.get("Level") if r is not None and "EventRecordID" in r else None for r in records]
    level = levels.from_numbers(pl.Series([n if isinstance(n, int) else None for n in numbers]), levels.WINDOWS)
    return frame.with_columns(pl.when(level > 0).then(level).otherwise(pl.col("level")).alias("level"))


class JsonDocuments(Records):
    """JSON objects printed over several lines, one after another or as one array."""

    name = "json-documents"
    example = "{"
    rank = 9

    def fresh(self, lines: pl.Series, context: Context) -> pl.Series:
        """Where a document begins, and behind where one ended until the next begins."""
        begins = lines.str.starts_with(context.indent + "{")
        ends = lines.str.starts_with(context.indent + "}")
        closed = pl.select(pl.when(begins).then(False).when(ends).then(True).forward_fill()).to_series()
        return begins | closed.shift(1).fill_null(False)

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line is part of a document."""
        frame = self.parse(lines, Want(frozenset()), Context(indent=indent_of(lines)))
        return frame["placed"] | (frame["mark"] > 0)

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """As :meth:`TextLayout.parse`; the lines of a document behind its first are marked as joined."""
        texts = lines.to_list()
        records: list[Record | None] = [None] * len(texts)
        marks = [0] * len(texts)
        indent = context.indent
        row = 0
        while row < len(texts):
            if texts[row].strip() in ("[", "]", "],", ""):
                marks[row] = HEADER if texts[row].strip() else 0
                row += 1
                continue
            end = _document_end(texts, row, indent)
            record = _load("\n".join(texts[row:end]).rstrip().rstrip(","))
            if record is None:
                row += 1
                continue
            records[row] = _named(record)
            marks[row + 1 : end] = [JOINED] * (end - row - 1)
            row = end
        frame = to_frame(records, want, context)
        return _windows_levels(frame, records, want).with_columns(pl.Series("mark", marks, dtype=pl.UInt8))


def indent_of(lines: pl.Series) -> str:
    """What stands before the first brace of each document."""
    first = next((text for text in lines.to_list() if text.strip() and text.strip() not in "[]"), "")
    return str(first[: len(first) - len(first.lstrip())])


def _document_end(texts: Sequence[str], row: int, indent: str) -> int:
    """One past the last line of the document that begins at ``row``."""
    if not texts[row].startswith(indent + "{"):
        return row + 1
    closing = indent + "}"
    if texts[row].rstrip().rstrip(",").endswith("}") and _load(texts[row].rstrip().rstrip(",")) is not None:
        return row + 1
    for end in range(row + 1, min(row + 100_000, len(texts))):
        if texts[end].startswith(closing):
            return end + 1
        if texts[end].startswith(indent + "{"):
            return end
    return len(texts)
