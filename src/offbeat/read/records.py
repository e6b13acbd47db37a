"""Formats whose lines are records with names: a list of dictionaries to the columns of EVENTS.

Which key carries the time, the level, the message and the source goes by the usual names, decided once for each
signature (the tuple of a record's keys), since logs repeat those too.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
import polars as pl

from offbeat.read import levels, times
from offbeat.read.layout import Context, Want
from offbeat.schema import TIME

Record = Mapping[str, Any]
Path = tuple[str, ...]

#: Usual names, the best first; dots lead into nested records, and a key that itself holds the dots is found too.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": (
        *("@timestamp", "timestamp", "time", "ts", "t.$date", "datetime", "date_time", "eventTime", "event_time"),
        *("__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP", "timeUnixNano", "time_unix_nano", "Timestamp", "Time"),
        *("asctime", "log_time", "logtime", "time_local", "time_iso8601", "@t", "created", "created_at", "createdAt"),
        *("event.created", "observedTimestamp", "observed_timestamp", "_time", "TimeCreated", "SystemTime", "UtcTime"),
        *("TimeGenerated", "when", "start_time", "startTime", "StartTime", "date", "Date", "_write_ts", "epoch", "t"),
        *("instant.epochSecond", "timeMillis"),
    ),
    "level": (
        *("level", "severity", "severity_text", "severityText", "SeverityText", "log.level", "loglevel", "log_level"),
        *("levelname", "lvl", "Level", "Severity", "LogLevel", "@l", "PRIORITY", "priority", "severityNumber"),
        *("severity_number", "SeverityNumber", "log.severity", "syslog.severity", "level_name", "s", "levelno"),
    ),
    "message": (
        *(
            "message",
            "msg",
            "log",
            "MESSAGE",
            "Message",
            "@m",
            "@mt",
            "short_message",
            "body",
            "Body",
            "body.stringValue",
        ),
        *("text", "textPayload", "jsonPayload.message", "log.message", "event.original", "content", "Content", "line"),
        *(
            "full_message",
            "description",
            "Description",
            "renderedMessage",
            "RenderedMessage",
            "log_message",
            "data.message",
        ),
    ),
    "source": (
        *(
            "service.name",
            "service",
            "serviceName",
            "service_name",
            "SourceName",
            "Provider_Name",
            "kubernetes.pod_name",
        ),
        *(
            "kubernetes.pod.name",
            "pod",
            "pod_name",
            "podName",
            "app",
            "application",
            "appname",
            "app_name",
            "resource.name",
        ),
        *(
            "SYSLOG_IDENTIFIER",
            "_SYSTEMD_UNIT",
            "container_name",
            "kubernetes.container_name",
            "container",
            "component",
        ),
        *("logger", "logger_name", "loggerName", "log.logger", "name", "c", "program", "process", "module", "unit"),
        *(
            "_COMM",
            "event_type",
            "_path",
            "channel",
            "facility",
            "host.name",
            "hostname",
            "host",
            "_HOSTNAME",
            "source",
        ),
        *("node", "Computer"),
    ),
}
_TRACES: Final = frozenset({"trace_id", "traceId", "span_id", "spanId", "trace.id", "span.id", "request_id"})

MAX_FIELDS: Final = 512
MAX_DEPTH: Final = 8
# The two hash suffixes of a pod of a Deployment, the one of a DaemonSet, the ordinal of a StatefulSet stay apart.
_POD: Final = r"-[a-z0-9]{6,10}-[a-z0-9]{5}$"


def find_path(record: Record, name: str) -> Path | None:
    """Where ``name`` is in the record: a key, or keys leading into nested records."""
    if name in record:
        return (name,)
    head, dot, rest = name.partition(".")
    while dot:
        inner = record.get(head)
        if isinstance(inner, dict) and (path := find_path(inner, rest)) is not None:
            return (head, *path)
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def getter(path: Path) -> Callable[[Record], Any]:
    """A function taking a record to the value at ``path``, None where it is absent."""
    if len(path) == 1:
        key = path[0]
        return lambda record: record.get(key)

    def get(record: Any) -> Any:
        for key in path:
            if not isinstance(record, dict):
                return None
            record = record.get(key)
        return record

    return get


def roles_of(record: Record) -> dict[str, list[Path]]:
    """The places in this record where each role may be found, the likeliest first."""
    roles: dict[str, list[Path]] = {}
    for role, names in NAMES.items():
        paths = []
        for name in names:
            if "." not in name and name not in record:
                continue
            path = find_path(record, name)
            if path is None or isinstance(value := getter(path)(record), dict):
                continue
            if isinstance(value, list) and role != "message":
                continue
            paths.append(path)
        roles[role] = paths
    if ("s",) in roles["level"] and not {"c", "ctx"} <= record.keys():  # only MongoDB means the severity
        roles["level"].remove(("s",))
    if ("c",) in roles["source"] and "ctx" not in record:
        roles["source"].remove(("c",))
    return roles


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
        roles = roles_of(members[0])
        for role, column in values.items():
            paths = roles[role]
            if not paths:
                continue
            found = _pick(members, paths, role)
            if len(rows) == len(column):
                values[role] = found
            else:
                for row, value in zip(rows, found, strict=True):
                    column[row] = value
    return _columns(records, values, want, context)


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
        yield range(len(records)), records  # type: ignore[misc]
        return
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, signature in enumerate(signatures):
        if signature is not None:
            groups.setdefault(signature, []).append(row)
    for rows in groups.values():
        yield rows, [records[row] for row in rows]  # type: ignore[misc]


def _pick(members: Sequence[Record], paths: Sequence[Path], role: str) -> list[Any]:
    """The first value that is there, path by path."""
    if role == "level" and any(path[-1] in levels.KEYS for path in paths):
        return [_level_text(record, paths) for record in members]
    if len(paths[0]) == 1:
        found = list(map(operator.itemgetter(paths[0][0]), members))
    else:
        found = list(map(getter(paths[0]), members))
    for path in paths[1:]:
        gaps = [row for row, value in enumerate(found) if value is None or value == ""]
        if not gaps:
            break
        get = getter(path)
        for row in gaps:
            value = get(members[row])
            if value is not None:
                found[row] = value
    if dict in set(map(type, found)):  # a record nests what others of its keys hold as text
        for row, value in enumerate(found):
            if isinstance(value, dict):
                own = roles_of(members[row])[role]
                found[row] = getter(own[0])(members[row]) if own else None
    return found


def _level_text(record: Record, paths: Sequence[Path]) -> str | None:
    """The level by a name, where the key says which of the numeric scales it is on."""
    for path in paths:
        value = getter(path)(record)
        if value is None or value == "":
            continue
        scale = levels.KEYS.get(path[-1])
        return f"{scale}{value}" if scale is not None else text_of(value)
    return None


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
    inner = None
    if message is not None and context.inner is not None:
        inner = context.inner.parse(message, Want(frozenset({"level", "message", "source"} & want.columns)), context)
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
        columns["source"] = source if inner is None else source.fill_null(inner["source"])
    if "message" in want and message is not None and inner is not None:
        columns["message"] = _fill(message, inner["message"], inner["placed"])
    return pl.DataFrame([placed.alias("placed"), *(columns[name].alias(name) for name in want.schema())])


def _without_hashes(sources: pl.Series) -> pl.Series:
    """Pods by the name of their deployment."""
    distinct = sources.drop_nulls().unique()
    bare = distinct.str.replace(_POD, "")
    if (bare == distinct).all():
        return sources
    return sources.replace_strict(distinct, bare, default=None, return_dtype=pl.String)


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
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def to_times(values: list[Any], context: Context) -> pl.Series:
    """Times given as text in any shape, or as numbers since 1970."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str}:
        return times.parse_any(pl.Series(values, dtype=pl.String), context.clock, context.stamp)
    if kinds <= {int, float}:
        return times.from_numbers(pl.Series(values, dtype=pl.Float64 if float in kinds else pl.Int64, strict=False))
    texts = pl.Series([value if isinstance(value, str) else None for value in values], dtype=pl.String)
    numbers = [float(value) if type(value) in (int, float) else None for value in values]
    read = times.parse_any(texts, context.clock, context.stamp)
    return read.fill_null(times.from_numbers(pl.Series(numbers, dtype=pl.Float64))).cast(TIME)


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
            flat[name] = orjson.dumps(value).decode()[:4096] if depth < MAX_DEPTH else "..."
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
        if key in used or value is None or key in _TRACES:
            continue
        text = value if isinstance(value, str) else text_of(value)
        parts.append(f'{key}="{text}"' if _SPACE.search(text) else f"{key}={text}")
    return " ".join(parts)
