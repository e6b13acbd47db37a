"""Formats of named values that are not JSON: logfmt, CSV with a header, W3C and Zeek tables, journald's export."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import polars as pl

from offbeat.read.layout import HEADER, JOINED, Context, Records, Want, everywhere
from offbeat.read.names import NAMES, Record
from offbeat.read.records import to_frame
from offbeat.read.stamps import ZONES

_PAIR: Final = re.compile(r'([A-Za-z_@][\w.@/-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)')
_PAIRS: Final = r'^(?:<[0-9]{1,3}>)?(?:[A-Za-z_@][\w.@/-]*=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)\s*){2,}$'
_KNOWN: Final = re.compile(r"(?:^|[\s>])(?:time|ts|t|timestamp|@timestamp|level|lvl|severity|msg|message)=")

_BARRED: Final = r"^(?:[A-Za-z_@][\w.@/-]*=[^|\t]*[|\t]){2,}(?:[A-Za-z_@][\w.@/-]*=[^|\t]*)?$"
_BARRED_PAIR: Final = re.compile(r"([A-Za-z_@][\w.@/-]*)=([^|\t]*)")
_TIMED: Final = r"(?:^|[|\t])(?:time|ts|timestamp|datetime|date|rt|eventtime)="

_CLOCK: Final = re.compile(r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}")
_OFFSET: Final = re.compile(r"[+-][0-9]{2}:?[0-9]{2}")
_STATUS: Final = {"4": "warn", "5": "error"}
_EMPTY: Final = frozenset({"", "-", "(empty)"})
#: What a last column without a name is called.
_LAST: Final = "message"
#: Lines of a table's row at most; a quote that nobody closes within so many is a stray one.
_MOST_LINES: Final = 1000
#: Lines that may stand before a table's header.
_PREAMBLE: Final = 50


class Logfmt(Records):
    """``key=value`` pairs, values with spaces in quotes (brandur.org/logfmt)."""

    name = "logfmt"
    example = 'time=2023-01-29T16:42:09Z level=info msg="order 17 accepted" service=orders'
    rank = 7

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line is nothing but pairs, a usual name among them."""
        return lines.str.contains(_PAIRS) & lines.str.contains(_KNOWN.pattern)

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """As :meth:`TextLayout.parse`."""
        fits = self.fits(lines).to_list()
        records: list[Record | None] = [
            self._record(line) if fit else None for line, fit in zip(lines.to_list(), fits, strict=True)
        ]
        return to_frame(_dated(records), want, context)

    @staticmethod
    def _record(line: str) -> dict[str, str]:
        return {key: _unquote(value) for key, value in _PAIR.findall(line)}


def _unquote(value: str) -> str:
    if value[:1] != '"':
        return value
    inner = value[1:-1]
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), inner) if "\\" in inner else inner


class Pairs(Logfmt):
    """``key=value`` pairs between bars or tabs, as firewalls and proxies export them."""

    name = "pairs"
    example = "time=1675010529|hostname=fw1|product=VPN-1 & FireWall-1|action=Drop|src=192.0.2.7|dst=198.51.100.4"

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line is nothing but pairs, the time among them."""
        return lines.str.contains(_BARRED) & lines.str.contains(_TIMED)

    @staticmethod
    def _record(line: str) -> dict[str, str]:
        record = dict(_BARRED_PAIR.findall(line))
        if record.get("service", "").isdigit():  # a port writes no log
            record["service_port"] = record.pop("service")
        return record


class Table(Records):
    """Comma, semicolon or tab separated values under a header line; W3C extended and Zeek tables (``#Fields``)."""

    name = "csv"
    example = "2023-01-29T16:42:09Z,INFO,orders,order 17 accepted"
    rank = 6
    sequential = True

    def fresh(self, lines: pl.Series, context: Context) -> pl.Series:
        """Where a row begins, before any whose quotes are not closed yet."""
        separator, *names = context.columns or (",",)
        ends, waiting = _several_lines(lines.to_list(), separator, len(names))
        inside = [line for row, end in ends.items() for line in range(row + 1, end + 1)]
        return everywhere(lines).scatter([*inside, *range(waiting, len(lines))], False)

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line has as many values as the header that stands first names."""
        columns = header_of(lines.head(50).to_list())
        if not columns:
            return pl.repeat(False, len(lines), dtype=pl.Boolean, eager=True)
        frame = self.parse(lines, Want(frozenset()), Context(columns=columns))
        return frame["placed"] | (frame["mark"] > 0)

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """As :meth:`TextLayout.parse`."""
        separator, *names = context.columns or (",",)
        bare = [name.strip() for name in names]
        texts = lines.to_list()
        records: list[Record | None] = [None] * len(texts)
        marks = [0] * len(texts)
        for row, span, values in _rows(texts, separator, len(names)):
            if texts[row].startswith("#") or values == names or [*values, _LAST] == names:
                marks[row] = HEADER
                if row < _PREAMBLE and not any(records[:row]):
                    marks[:row] = [HEADER if text.strip() else 0 for text in texts[:row]]
            elif len(values) == len(names):
                records[row] = {n: v for n, v in zip(bare, map(str.strip, values), strict=True) if v not in _EMPTY}
            else:
                continue
            marks[row + 1 : row + span] = [JOINED] * (span - 1)
        frame = to_frame(_requests(_dated(records), names), want, context)
        return frame.with_columns(pl.Series("mark", marks, dtype=pl.UInt8))


def _rows(texts: Sequence[str], separator: str, width: int) -> Iterator[tuple[int, int, list[str]]]:
    """Rows of a table: their first line, how many lines they have, and their values."""
    ends, _ = _several_lines(texts, separator, width)
    row = 0
    while row < len(texts):
        end = ends.get(row, row)
        quoted = separator != " " and '"' in texts[row]
        values = _quoted(texts[row : end + 1], separator) if quoted else []
        yield row, end - row + 1, values or texts[row].split(separator)
        row = end + 1


def _several_lines(texts: Sequence[str], separator: str, width: int) -> tuple[dict[int, int], int]:
    """Which lines are a row together: from an odd number of quotes to the next, where the values are as many as wanted.

    So a stray quote costs its line, and not what follows.

    Returns:
        The last line of each such row by its first; and the first line of a row that may end behind the last line, or
        how many lines there are.
    """
    odd = [row for row, text in enumerate(texts) if '"' in text and text.count('"') % 2] if separator != " " else []
    ends: dict[int, int] = {}
    at = 0
    while at + 1 < len(odd):
        first, last = odd[at : at + 2]
        together = last - first < _MOST_LINES and len(_quoted(texts[first : last + 1], separator)) == width
        if together:
            ends[first] = last
        at += 2 if together else 1
    waiting = at < len(odd) and len(texts) - odd[at] < _MOST_LINES
    return ends, odd[at] if waiting else len(texts)


def _quoted(texts: Sequence[str], separator: str) -> list[str]:
    """Values of one row, as the csv module reads them; none where it reads several rows, or cannot."""
    try:
        first, *more = csv.reader([text + "\n" for text in texts], delimiter=separator)
    except csv.Error:
        return []
    return [] if more else first


def _dated(records: Sequence[Record | None]) -> Sequence[Record | None]:
    """Put together date and time where they stand apart, as in W3C's tables and on firewalls, and the zone if any."""
    if not any(record is not None and _apart(record) for record in records):
        return records
    return [
        record
        if record is None or not _apart(record)
        else {"timestamp": f"{_named(record, 'date')} {_named(record, 'time')}{_zone(record)}", **record}
        for record in records
    ]


def _apart(record: Record) -> bool:
    return _named(record, "date") is not None and _CLOCK.match(str(_named(record, "time"))) is not None


def _named(record: Record, name: str) -> Any:
    """What the record has under a name, in small letters or with a large one first."""
    return record.get(name, record.get(name.capitalize()))


def _zone(record: Record) -> str:
    zone = str(record.get("tz", record.get("timezone", "")))
    return zone if _OFFSET.fullmatch(zone) else f" {zone}" if zone in ZONES else ""


def _requests(records: Sequence[Record | None], names: Sequence[str]) -> Sequence[Record | None]:
    """Say of web requests in W3C's tables what other access logs say: method, path and status."""
    if not {"cs-method", "cs-uri-stem", "sc-status"} <= set(names):
        return records
    return [
        record
        if record is None or "cs-method" not in record
        else {
            "message": f"{record['cs-method']} {record.get('cs-uri-stem', '-')} {record.get('sc-status', '-')}",
            "level": _STATUS.get(str(record.get("sc-status"))[:1], "info"),
            **record,
        }
        for record in records
    ]


def header_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Separator and column names where the first lines are a header; empty where they are not."""
    for at, text in enumerate(texts):
        if text.lower().startswith("#fields"):
            columns = text[len("#fields") :].lstrip(": \t")
            data = next((row for row in texts[at + 1 :] if not row.startswith("#")), text)
            named = re.split(r"[\t ]|,(?! )", columns)  # CloudFront parts names and values otherwise
            separator = "\t" if "\t" in data else "," if "," in columns else " "
            return (separator, *named) if columns else ()
        if not text.startswith("#"):
            break
    texts = [text for text in texts if text and not text.startswith("#")]
    return _names(texts[:2]) or _names(_behind_preamble(texts))


def _names(texts: Sequence[str]) -> tuple[str, ...]:
    """Separator and column names where the first of two lines is a header; empty where it is none."""
    first, *more = texts or [""]
    separator = max(",;\t|", key=first.count)
    try:
        names = next(csv.reader([first], delimiter=separator), [])
        row = next(csv.reader(more, delimiter=separator), [])
    except csv.Error:
        return ()
    usual = {name.lower() for role in NAMES.values() for name in role} | {"lineid", "eventid"}
    clean = all(re.fullmatch(r"[A-Za-z_@][\w .@/()-]{0,60}", name.strip()) for name in names)
    if len(names) < 2 or not clean or not any(name.strip().lower() in usual for name in names):
        return ()
    # Windows' Event Viewer gives the text of the event no name.
    return (separator, *names, _LAST) if len(row) == len(names) + 1 and _LAST not in names else (separator, *names)


def _behind_preamble(texts: Sequence[str]) -> Sequence[str]:
    """The first two lines of a table, before which a few lines may say what it is."""
    for at, text in enumerate(texts[1:_PREAMBLE], 1):
        separator = max(",;\t|", key=text.count)
        count = text.count(separator)
        if count > 2 and {row.count(separator) for row in texts[at + 1 : at + 3]} == {count}:
            return texts[at : at + 2]
    return []


class JournalExport(Records):
    """journald's export: ``NAME=value`` lines, a blank line between entries (systemd.io/JOURNAL_EXPORT_FORMATS)."""

    name = "journal-export"
    example = "__REALTIME_TIMESTAMP=1615280779886606"
    rank = 8

    def fresh(self, lines: pl.Series, context: Context) -> pl.Series:
        """Behind a blank line, and where a cursor stands."""
        return lines.str.starts_with("__CURSOR=") | (lines == "").shift(1, fill_value=False)

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line is a journal's variable, in a file that has cursors or times of the journal."""
        known = lines.str.contains(r"^__(?:CURSOR|REALTIME_TIMESTAMP)=").any()
        return lines.str.contains(r"^[A-Z0-9_]+=") if known else pl.repeat(False, len(lines), eager=True)

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """As :meth:`TextLayout.parse`; an entry stands in the row of its first line."""
        texts = lines.to_list()
        records: list[Record | None] = [None] * len(texts)
        marks = [0] * len(texts)
        entry: dict[str, Any] = {}
        last = ""
        for row, text in enumerate(texts):
            if not text or (text.startswith("__CURSOR=") and entry):
                entry, last = {}, ""
            if not text:
                continue
            name, equals, value = text.partition("=")
            is_name = bool(name) and name.replace("_", "").isalnum() and name == name.upper()
            if not entry and not (equals and is_name):
                continue
            if entry:
                marks[row] = JOINED
            else:
                records[row] = entry
            if equals and is_name:
                entry[name], last = value, name
            elif is_name:  # a binary value follows, its length in eight bytes first
                entry[name], last = "", name
            else:
                more = text.lstrip("".join(map(chr, range(32)))) if not entry[last] else "\n" + text
                entry[last] += more
        return to_frame(records, want, context).with_columns(pl.Series("mark", marks, dtype=pl.UInt8))
