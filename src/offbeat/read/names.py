"""Which key of a record carries the time, the level, the message and the source: by their usual names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

Record = Mapping[str, Any]
Path = tuple[str, ...]

#: What the header before a record says, where it stood in a line of another format (see ``nested``).
HEADER_TIME: Final = "header.time"
HEADER_LEVEL: Final = "header.level"
HEADER_SOURCE: Final = "header.source"

#: Usual names, the best first; dots lead into nested records, and a key that itself holds the dots is found too.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": (
        *("@timestamp", "timestamp", "time", "ts", "t.$date", "datetime", "date_time", "eventTime", "event_time"),
        HEADER_TIME,
        *("__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP", "timeUnixNano", "time_unix_nano", "Timestamp", "Time"),
        *("asctime", "log_time", "logtime", "time_local", "time_iso8601", "@t", "created", "created_at", "createdAt"),
        *(
            "event.created",
            "Date and Time",
            "eventTimestamp",
            "event_timestamp",
            "observedTimestamp",
            "observed_timestamp",
            "_time",
            "TimeCreated",
            "SystemTime",
            "UtcTime",
        ),
        *("TimeGenerated", "when", "start_time", "startTime", "StartTime", "date", "Date", "_write_ts", "epoch", "t"),
        *("instant.epochSecond", "timeMillis", "msec", "published"),
    ),
    "level": (
        *("level", "severity", "severity_text", "severityText", "SeverityText", "log.level", "loglevel", "log_level"),
        *("levelname", "lvl", "Level", "Severity", "LogLevel", "@l", "PRIORITY", "priority", "severityNumber"),
        *(
            "severity_number",
            "SeverityNumber",
            "log.severity",
            "syslog.severity",
            "pri",
            "level_name",
            "s",
            "levelno",
            "LevelDisplayName",
            HEADER_LEVEL,
        ),
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
        *("@message", "_raw", "full_log", "displayMessage", "rule.description"),
    ),
    "source": (
        *(
            "service.name",
            "service",
            "serviceName",
            "service_name",
            "eventSource",
            "SourceName",
            "Provider_Name",
            "ProviderName",
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
        HEADER_SOURCE,
        *(
            "SYSLOG_IDENTIFIER",
            "_SYSTEMD_UNIT",
            "container_name",
            "kubernetes.container_name",
            "container",
            "component",
        ),
        *(
            "logger",
            "logger_name",
            "loggerName",
            "log.logger",
            "SourceContext",
            "name",
            "c",
            "program",
            "process",
            "module",
            "unit",
        ),
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
            "Source",
        ),
        *("node", "Computer"),
    ),
}


#: Usual names of the parts of a web request, for records that say nothing else.
REQUEST: Final[Mapping[str, tuple[str, ...]]] = {
    "line": ("request", "http_request", "request_line"),
    "method": (
        *("method", "request_method", "http_method", "httpMethod", "requestMethod", "RequestMethod", "verb"),
        *("http.request.method", "http.method", "request.method", "httpRequest.requestMethod", "req.method"),
    ),
    "path": (
        *(
            "path",
            "uri",
            "request_uri",
            "request_path",
            "url",
            "requestUri",
            "requestPath",
            "RequestPath",
            "requestURI",
        ),
        *("url.path", "http.target", "http.url", "request.uri", "request.path", "httpRequest.requestUrl", "req.url"),
    ),
    "status": (
        *("status", "status_code", "statusCode", "response_code", "responseCode", "http_status", "DownstreamStatus"),
        *("http.response.status_code", "http.status_code", "response.status", "httpRequest.status", "res.statusCode"),
    ),
}


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
    for role in NAMES:
        paths = (find_path(record, name) for name in names_in(record, role))
        roles[role] = [path for path in paths if path is not None and holds(getter(path)(record), role)]
    return roles


def names_in(keys: Collection[str], role: str) -> list[str]:
    """The names that a role may have in a record with these keys at the top, the likeliest first."""
    names = [name for name in NAMES[role] if name in keys or ("." in name and _leads_in(name, keys))]
    if role == "level" and "s" in names and not ("c" in keys and "ctx" in keys):  # only MongoDB means the severity
        names.remove("s")
    if role == "source" and "c" in names and "ctx" not in keys:
        names.remove("c")
    return names


def _leads_in(name: str, keys: Collection[str]) -> bool:
    """Whether a key is the part of ``name`` before one of its dots."""
    head, dot, rest = name.partition(".")
    while dot:
        if head in keys:
            return True
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return False


def holds(value: Any, role: str) -> bool:
    """Whether a value can be what a role is; a message may be a list, as of bytes."""
    return not isinstance(value, dict) and (role == "message" or not isinstance(value, list))
