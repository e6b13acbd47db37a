"""Formats whose lines are records with names: a list of dictionaries to the columns of EVENTS.

Which key carries the time, the level, the message and the source goes by the usual names, decided once for each
signature (the tuple of a record's keys), since logs repeat those too.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
import polars as pl

from offbeat.read import levels, lines, times
from offbeat.read.layout import Context, Want
from offbeat.read.names import REQUEST, Record, find_path, getter, holds, names_in, roles_of
from offbeat.schema import TIME

_TRACES: Final = frozenset({"trace_id", "traceId", "span_id", "spanId", "trace.id", "span.id", "request_id"})

_METHOD: Final = re.compile(r"[A-Z][A-Z_-]{1,20}")
_REQUEST_LINE: Final = re.compile(r"[A-Z][A-Z_-]{1,20} \S")
_STATUS: Final = re.compile(r"[1-5][0-9]{2}")
MAX_FIELDS: Final = 512
MAX_DEPTH: Final = 8
#: Stands for what is nested more deeply.
_DEEPER: Final = "..."
# The two hash suffixes of a pod of a Deployment, the one of a DaemonSet, the ordinal of a StatefulSet stay apart.
POD_HASHES: Final = r"-[a-z0-9]{6,10}-[a-z0-9]{5}$"


def to_frame(records: Sequence[Record | None], want: Want, context: Context) -> pl.DataFrame:
    """Columns from records.

    Args:
        records: one a line; None where the line holds none.
        want: columns to fill in.
        context: what is known about the file.

    Returns:
        As :meth:`TextLayout.parse`.
    """
    values: dict[str, list[Any]] = {role: [None] * len(records) for role in _roles_wanted(want, context)}
    for rows, members in _by_signature(records):
        for role, column in values.items():
            names = names_in(members[0], role)
            known = (context.keys or {}).get(role)
            if role == "time" and context.time_key is not None:
                known, names = context.time_key, [*names, context.time_key]
            found = _pick(members, sorted(names, key=lambda name: name != known) if known in names else names, role)
            if len(rows) == len(column):
                values[role] = found
            else:
                for row, value in zip(rows, found, strict=True):
                    column[row] = value
    if "message" in values:
        _tell_requests(records, values)
    return _columns(records, values, want, context)


def _tell_requests(records: Sequence[Record | None], values: dict[str, list[Any]]) -> None:
    """Say of web requests without a message what other access logs say: method, path and status, and the level."""
    for row, said in enumerate(values["message"]):
        record = records[row]
        if record is None or (said is not None and said != ""):
            continue
        request = request_of(record)
        if request is None:
            continue
        text, status = request
        values["message"][row] = text
        if "level" in values and values["level"][row] is None:
            values["level"][row] = {"4": "warn", "5": "error"}.get(status[:1], "info")


def request_of(record: Record) -> tuple[str, str] | None:
    """Method, path and status of a web request, as access logs give them, and the status; None where it is none."""
    status = _first(record, REQUEST["status"])
    if status is None or not _STATUS.fullmatch(status):
        return None
    line = _first(record, REQUEST["line"])
    if line is not None and _REQUEST_LINE.match(line):
        return f"{line.partition(' HTTP/')[0]} {status}", status
    method, path = _first(record, REQUEST["method"]), _first(record, REQUEST["path"])
    if method is None or path is None or not _METHOD.fullmatch(method):
        return None
    return f"{method} {path} {status}", status


def _first(record: Record, names: Iterable[str]) -> str | None:
    """The first text or whole number that stands under one of the names."""
    for name in names:
        path = find_path(record, name)
        value = None if path is None else getter(path)(record)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _roles_wanted(want: Want, context: Context) -> list[str]:
    roles = [role for role in ("level", "source") if role in want]
    if "timestamp" in want:
        roles.append("time")
    if "message" in want or "level" in want or (context.inner is not None and "source" in want):
        roles.append("message")
    return roles


def _by_signature(records: Sequence[Record | None]) -> Iterable[tuple[Sequence[int], Sequence[Record]]]:
    """Records that have the same keys, with their positions."""
    signatures = [None if record is None else tuple(record) for record in records]
    kinds = set(signatures)
    if len(kinds) == 1 and None not in kinds:
        yield range(len(records)), records  # type: ignore[misc]  # none of them is None
        return
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, signature in enumerate(signatures):
        if signature is not None:
            groups.setdefault(signature, []).append(row)
    for rows in groups.values():
        yield rows, [records[row] for row in rows]  # type: ignore[misc]  # none of them is None


def _pick(members: Sequence[Record], names: Sequence[str], role: str) -> list[Any]:
    """The first value that is there, name by name; which one depends on nothing but the record and its keys."""
    found: list[Any] = [None] * len(members)
    gaps: Sequence[int] = range(len(members))
    for name in names:
        values = _named(members, name) if len(gaps) == len(members) else _named([members[row] for row in gaps], name)
        kinds = set(map(type, values))
        if not kinds <= {str} or "" in values:
            values = [value if value != "" and holds(value, role) else None for value in values]
        if name == levels.WINDOWS_KEY and role == "level":
            values = [f"windows:{value}" if type(value) is int else value for value in values]
        elif name in levels.KEYS and role == "level":  # a numeric scale of its own
            values = [None if value is None else f"{levels.KEYS[name]}{value}" for value in values]
        if len(gaps) == len(members):
            found = values
        else:
            for row, value in zip(gaps, values, strict=True):
                found[row] = value
        if kinds == {str} and None not in values:
            break
        gaps = [row for row in gaps if found[row] is None]
        if not gaps:
            break
    return found


def _named(members: Sequence[Record], name: str) -> list[Any]:
    """What each record has under a name; None where nothing."""
    if name in members[0]:  # all have the same keys
        return list(map(operator.itemgetter(name), members))
    paths = (find_path(record, name) for record in members)
    return [None if path is None else getter(path)(record) for path, record in zip(paths, members, strict=True)]


def _columns(
    records: Sequence[Record | None], values: dict[str, list[Any]], want: Want, context: Context
) -> pl.DataFrame:
    roles: dict[str, pl.Series] = {}
    if "message" in values:
        roles["message"] = _messages(records, values["message"], "message" in want)
    if "timestamp" in want:
        roles["timestamp"] = to_times(values["time"], context)
    if "level" in want:
        roles["level"] = levels.from_any(to_texts(values["level"]))
    if "source" in want:
        roles["source"] = to_texts(values["source"])
    for name in want.fields:
        roles[f"fields.{name}"] = field_column(records, name)
    if "fields" in want:
        texts = [None if record is None else orjson.dumps(flatten(record)).decode() for record in records]
        roles["fields"] = pl.Series(texts, dtype=pl.String)
    placed = pl.Series([record is not None for record in records], dtype=pl.Boolean)
    return finish(placed, roles, want, context)


def finish(placed: pl.Series, columns: dict[str, pl.Series], want: Want, context: Context) -> pl.DataFrame:
    """The last steps that do not depend on how the record was read: inner header, guessed level, name of the pod.

    Args:
        placed: whether each line is a record.
        columns: the wanted columns as the record has them; ``message`` also where only the level is wanted.
        want: columns to return.
        context: what is known about the file.
    """
    message = columns.get("message")
    if message is not None and message.str.contains("\x1b", literal=True).any():
        message = columns["message"] = message.str.replace_all(lines.COLOUR, "")
    inner = None
    if message is not None and context.inner is not None:
        open_ = {"level", "message"} | ({"source"} if "source" in want and columns["source"].has_nulls() else set())
        inner = context.inner.parse(message, Want(frozenset(open_ & want.columns)), context)
    if "level" in want and message is not None:
        level = columns["level"]
        if inner is not None:
            level = _fill(level, inner["level"], level == 0)
        unknown = level == 0
        if unknown.all():
            level = levels.from_words(message)
        elif unknown.any():
            rows = unknown.arg_true()
            level = level.scatter(rows, levels.from_words(message.gather(rows)))
        columns["level"] = level
    if "source" in want:
        source = _without_hashes(columns["source"])
        columns["source"] = source.fill_null(inner["source"]) if inner is not None and "source" in inner else source
    if "message" in want and message is not None and inner is not None:
        columns["message"] = _fill(message, inner["message"], inner["placed"])
    return pl.DataFrame([placed.alias("placed"), *(columns[name].alias(name) for name in want.schema())])


def _without_hashes(sources: pl.Series) -> pl.Series:
    """Pods by the name of their deployment."""
    return lines.by_value(sources, lambda distinct: distinct.str.replace(POD_HASHES, ""))


def _fill(base: pl.Series, other: pl.Series, where: pl.Series) -> pl.Series:
    return pl.select(pl.when(where).then(other).otherwise(base)).to_series()


def _messages(records: Sequence[Record | None], found: list[Any], wanted: bool) -> pl.Series:
    if wanted:
        for row, record in enumerate(records):
            if record is not None and (found[row] is None or found[row] == ""):
                found[row] = synthesise(record)
    return to_texts(found).str.strip_chars_end("\r\n")


def to_texts(values: list[Any]) -> pl.Series:
    """Values as text: strings as they are, anything else as JSON."""
    if not all(type(value) is str or value is None for value in values):
        values = [value if type(value) is str or value is None else text_of(value) for value in values]
    return pl.Series(values, dtype=pl.String)


def text_of(value: Any) -> str:
    """One value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return bytes(value).decode("utf-8", "replace")  # how journald writes a message that is not clean text
    return _as_json(value)


def _as_json(value: Any) -> str:
    """A value as JSON; what is nested more deeply than can be written, though it can be read, becomes dots."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return _DEEPER


def to_times(values: list[Any], context: Context) -> pl.Series:
    """Times given as text in any shape, or as numbers since 1970."""
    kinds = set(map(type, values))
    times_ = pl.Series([None], dtype=TIME).new_from_index(0, len(values))
    # Each kind by itself: a whole number of nanoseconds loses digits as a fraction.
    for kind, dtype in ((str, pl.String), (int, pl.Int64), (float, pl.Float64)):
        if kind not in kinds:
            continue
        of_kind = pl.Series([value if type(value) is kind else None for value in values], dtype=dtype, strict=False)
        read = times.parse_any(of_kind, context.clock, context.stamp) if kind is str else times.from_numbers(of_kind)
        times_ = times_.fill_null(read)
    return times_


def field_column(records: Sequence[Record | None], name: str) -> pl.Series:
    """One named field of every record as text."""
    found: list[Any] = [None] * len(records)
    for row, record in enumerate(records):
        path = None if record is None else find_path(record, name)
        if record is not None and path is not None:
            found[row] = getter(path)(record)
    return to_texts(found)


def flatten(record: Record) -> dict[str, Any]:
    """Nested keys joined by dots; at most 512 fields and eight levels, what is deeper stays JSON text."""
    flat: dict[str, Any] = {}
    stack: list[tuple[str, Any, int]] = [(key, value, 1) for key, value in reversed(list(record.items()))]
    while stack and len(flat) < MAX_FIELDS:
        name, value, depth = stack.pop()
        if isinstance(value, dict) and depth < MAX_DEPTH:
            stack.extend((f"{name}.{key}", inner, depth + 1) for key, inner in reversed(list(value.items())))
        elif isinstance(value, dict | list):
            flat[name] = _as_json(value)[:4096] if depth < MAX_DEPTH else _DEEPER
        else:
            flat[name] = value
    return flat


_SPACE: Final = re.compile(r"\s")


def synthesise(record: Record) -> str:
    """``key=value`` text of a record that carries no message: all but its time, level and source."""
    roles = roles_of(record)
    used = {".".join(path) for role in ("time", "level", "source") for path in roles[role][:1]}
    used |= {".".join(path) for path in roles["time"]}
    parts = []
    for key, value in flatten(record).items():
        if key in used or value is None or value == "" or key in _TRACES or key.startswith("header."):
            continue
        text = value if isinstance(value, str) else text_of(value)
        parts.append(f'{key}="{text}"' if _SPACE.search(text) else f"{key}={text}")
    return " ".join(parts)
