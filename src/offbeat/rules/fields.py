"""From the names that rules use to the columns that the readers give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import polars as pl

#: By a rule's field in lower case: other names of the same, the likeliest first. The W3C names are those of web and
#: proxy rules, the others follow Sysmon; https://github.com/SigmaHQ/sigma-specification, taxonomy appendix.
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "cs-method": ("method", "request_method", "http_method", "http.request.method", "http.http_method", "verb"),
    "c-uri": ("path", "uri", "url", "request_uri", "http.url", "url.original", "cs-uri", "cs-uri-stem", "request"),
    "cs-uri": ("c-uri", "path", "uri", "url", "request_uri", "http.url", "url.original"),
    "cs-uri-query": ("c-uri-query", "path", "uri", "url", "request_uri", "http.url", "url.original", "c-uri"),
    "c-uri-query": ("cs-uri-query", "path", "uri", "url", "request_uri", "http.url", "url.original", "c-uri"),
    "cs-uri-stem": ("c-uri-stem", "path", "uri", "url", "request_uri", "http.url", "url.path", "c-uri"),
    "c-uri-stem": ("cs-uri-stem", "path", "uri", "url", "request_uri", "http.url", "url.path", "c-uri"),
    "sc-status": ("status", "status_code", "http.response.status_code", "http.status", "response"),
    "cs-user-agent": ("agent", "user_agent", "http_user_agent", "useragent", "user_agent.original", "c-useragent"),
    "c-useragent": ("agent", "user_agent", "http_user_agent", "useragent", "user_agent.original", "cs-user-agent"),
    "cs-referer": ("referer", "referrer", "http_referer", "http.http_refer", "cs-referrer"),
    "cs-referrer": ("referer", "referrer", "http_referer", "http.http_refer", "cs-referer"),
    "cs-username": ("user", "remote_user", "username"),
    "cs-host": ("vhost", "http_host", "http.hostname", "url.domain", "r-dns"),
    "r-dns": ("vhost", "http_host", "http.hostname", "url.domain", "cs-host"),
    "cs-version": ("protocol", "http.protocol", "http_version"),
    "cs-cookie": ("cookie", "http_cookie"),
    "sc-bytes": ("bytes", "body_bytes_sent", "http.length", "size"),
    "c-ip": ("client", "remote_addr", "client_ip", "clientip", "client.ip", "source.ip", "src_ip", "remote_ip"),
    "src_ip": ("client", "remote_addr", "source.ip", "src", "srcip", "src_addr", "id.orig_h", "c-ip", "SourceIp",
               "IpAddress", "client_ip", "clientip", "remote_ip", "ip"),
    "dst_ip": ("dest_ip", "destination.ip", "dst", "dstip", "id.resp_h", "DestinationIp", "s-ip"),
    "src_port": ("source.port", "srcport", "id.orig_p", "SourcePort", "spt"),
    "dst_port": ("dest_port", "destination.port", "dstport", "id.resp_p", "DestinationPort", "dpt"),
    "sourceip": ("SourceAddress", "src_ip", "source.ip", "IpAddress"),
    "destinationip": ("DestAddress", "dest_ip", "dst_ip", "destination.ip"),
    "destinationport": ("DestPort", "dest_port", "dst_port", "destination.port"),
    "destinationhostname": ("destination.domain", "dest_host"),
    "image": ("NewProcessName", "exe", "_EXE", "process.executable"),
    "parentimage": ("ParentProcessName", "process.parent.executable"),
    "commandline": ("ProcessCommandLine", "_CMDLINE", "cmdline", "process.command_line", "proctitle"),
    "parentcommandline": ("process.parent.command_line",),
    "currentdirectory": ("cwd", "process.working_directory"),
    "details": ("NewValue",),
    "targetobject": ("ObjectName",),
    "eventid": ("winlog.event_id", "event.code", "event_id", "Id"),
    "channel": ("winlog.channel", "LogName"),
    "provider_name": ("winlog.provider_name", "ProviderName", "SourceName", "System.Provider.Name"),
    "processid": ("NewProcessId",),
    "data": ("Data.#text",),
    "logonid": ("SubjectLogonId",),
    "username": ("user", "user.name", "account"),
    "user": ("username", "user.name", "SubjectUserName", "TargetUserName", "account"),
    "targetusername": ("user", "username", "user.name", "account"),
    "computername": ("Computer", "host", "hostname", "host.name"),
    "query": ("dns.rrname", "QueryName", "dns.question.name"),
    "queryname": ("query", "dns.rrname", "dns.question.name"),
    "record_type": ("qtype_name", "dns.rrtype"),
}  # fmt: skip

#: Records around the fields of a Windows event, by whatever sends it.
_AROUND: Final = frozenset({"event_data", "eventdata", "user_data", "userdata", "system"})

#: Fields of the event itself, and the column that holds them.
OWN: Final[Mapping[str, str]] = {
    "message": "message", "msg": "message", "timestamp": "timestamp", "@timestamp": "timestamp", "source": "source",
    "program": "source", "severity_number": "level", "offbeat.source": "source", "offbeat.timestamp": "timestamp",
    "offbeat.level": "level", "offbeat.message": "message",
}  # fmt: skip

_ADDRESS: Final = r"((?:[0-9]{1,3}\.){3}[0-9]{1,3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]{0,15})"
_NAME: Final = r"([^\s;:,()'\"<>\[\]=]+)"

#: What system logs say only in words: by field in lower case, expressions whose first group is the value.
SAID: Final[Mapping[str, tuple[str, ...]]] = {
    "src_ip": (
        rf"(?:from|rhost=|client[ =:]+|addr=|\bIP[ =:]+)\s*\[?{_ADDRESS}(?:[\s,;:)\]]|$)",
        rf"(?:^|[\s\[(=]){_ADDRESS}(?:[\s,;:)\]]|$)",
        r"\brhost=([A-Za-z0-9][A-Za-z0-9.-]*)",
    ),
    "user": (
        r"(?s)(?:Account For Which Logon Failed|New Logon):.*?\bAccount Name:\s+(\S+)",
        rf"(?:[Ii]nvalid user|[Ii]llegal user|(?:password|publickey|keyboard-interactive/pam|none) for user"
        rf"|(?:password|publickey|keyboard-interactive/pam|none) for) (?:(?:invalid|illegal) user )?{_NAME} from",
        rf"^(?:[Ii]nvalid|[Ii]llegal) user {_NAME}",
        rf"\bfor (?:invalid |illegal )?user {_NAME}",
        rf"^\s*{_NAME} : (?:.*; )?(?:TTY=|PWD=|USER=|[0-9]+ incorrect|user NOT|command not)",
        rf"\b(?:new user: name|new account: account|user|USER|acct|name)=\"?{_NAME}",
        rf"\b(?:[Uu]ser|account) '?{_NAME}",
    ),
    "unit": (
        r"([A-Za-z0-9@_.:\\-]+\.service)\b",
        r"\b(?:container|pod|deployment|program|process)[ =:]+\"?([A-Za-z0-9][A-Za-z0-9_./-]*)",
    ),
    "c-uri": (r"^[A-Z]{3,8} (https?://[^ ]+|[^ /]+:[0-9]+)(?: |$)",),
    "commandline": (r"(?:^| ; )COMMAND=(.+)$",),
    "image": (r"(?:^| ; )COMMAND=([^ ]+)",),
}
_SAID_AS: Final = {
    "c-ip": "src_ip", "sourceip": "src_ip", "ipaddress": "src_ip", "username": "user", "targetusername": "user",
    "cs-username": "user",
}  # fmt: skip
#: What another field holds a part of: by field in lower case, that field and the expression for the part.
PARTS_OF: Final[Mapping[str, tuple[str, str]]] = {
    "c-uri-extension": ("c-uri", r"\.([A-Za-z0-9]{1,10})(?:[?#]|$)"),
    "imphash": ("Hashes", r"(?i)\bIMPHASH=([0-9A-F]+)"),
    "md5": ("Hashes", r"(?i)\bMD5=([0-9A-F]+)"),
    "sha1": ("Hashes", r"(?i)\bSHA1=([0-9A-F]+)"),
    "sha256": ("Hashes", r"(?i)\bSHA256=([0-9A-F]+)"),
}


@lru_cache(maxsize=4096)
def candidates(field: str) -> tuple[str, ...]:
    """Return the names under which a record may hold a rule's field, the likeliest first."""
    return tuple(dict.fromkeys((field, *ALIASES.get(field.lower(), ()))))


def wanted(fields: Sequence[str]) -> list[str]:
    """Return all names to ask of the readers, sorted; fields of the event itself are none of them."""
    names = {name for field in fields if not field.startswith("offbeat.") for name in candidates(field)}
    for field in fields:
        if field.lower() in PARTS_OF:
            names |= set(candidates(PARTS_OF[field.lower()][0]))
    return sorted(names)


def unpacked(events: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Add ``fields.NAME`` columns from the column ``fields``, a JSON object an event, for names that are no column yet.

    Where no key has a name as it is, one that differs in case or in spaces is taken: rules write names without spaces.
    """
    import orjson

    missing = [name for name in names if f"fields.{name}" not in events.columns]
    if "fields" not in events.columns or not missing:
        return events
    lower = {name.lower(): name for name in reversed(missing)}
    exact = set(missing)
    columns: dict[str, list[Any]] = {}
    # Records of a log have few sets of keys; which of them are wanted is found out once for each.
    kinds: dict[tuple[str, ...], list[tuple[str, list[Any]]]] = {}
    for row, text in enumerate(events["fields"].to_list()):
        if text is None:
            continue
        record = orjson.loads(text)
        kind = tuple(record)
        if kind not in kinds:
            chosen = {}
            for key in kind:
                name = key if key in exact else lower.get(_leaf(key).replace(" ", "").lower())
                if name is not None and (key == name or name not in chosen):
                    chosen[name] = key
            kinds[kind] = [(key, columns.setdefault(n, [None] * events.height)) for n, key in chosen.items()]
        for key, column in kinds[kind]:
            value = record[key]
            if value is not None:
                column[row] = value if isinstance(value, str) else orjson.dumps(value).decode()
    return events.with_columns(pl.Series(f"fields.{name}", v, dtype=pl.String) for name, v in columns.items())


def _leaf(key: str) -> str:
    """Return the name of a Windows event's field without the records around it, as in ``winlog.event_data.Image``."""
    outer, _, name = key.rpartition(".")
    return name if outer.rpartition(".")[2].lower() in _AROUND else key


def locate(events: pl.DataFrame, field: str) -> list[str]:
    """Return the columns that hold a rule's field, the likeliest first; empty where none has a value.

    What the record names comes first, then the event's own columns.
    """
    if field.startswith("offbeat.") and field in events.columns:
        return [field]
    names = [f"fields.{name}" for name in candidates(field)]
    names += [OWN[field.lower()]] if field.lower() in OWN else []
    return [name for name in names if name in events.columns and events[name].null_count() < events.height]


def place(events: pl.DataFrame, field: str) -> str | None:
    """Return the one column that holds a rule's field; None where it is made of several, or of words."""
    names = locate(events, field)
    if not names or events[names[0]].null_count() == 0:
        return names[0] if names else None
    alone = len(names) == 1 and not _in_words(field) and field.lower() not in PARTS_OF
    return names[0] if alone else None


def resolve(events: pl.DataFrame, field: str) -> pl.Series | None:
    """Return the values of a rule's field, None where no event can have it.

    Each event for itself: what no column holds may still be said in words by its message. So it does not matter which
    events stand in a frame together.
    """
    names = locate(events, field)
    found = [events[name] for name in names]
    if found and found[0].null_count() == 0:
        return found[0]
    if field.lower() in PARTS_OF:
        whole, part = PARTS_OF[field.lower()]
        series = resolve(events, whole)
        found += [] if series is None else [series.cast(pl.String).str.extract(part, 1)]
    words = _in_words(field)
    if words and "message" in events.columns:
        found.append(extracted(events["message"], words))
    if len(found) < 2:
        return found[0] if found else None
    return pl.select(pl.coalesce([series.cast(pl.String) for series in found])).to_series()


def _in_words(field: str) -> tuple[str, ...]:
    """Return the expressions for what system logs say only in words; none for most fields."""
    lower = field.lower()
    return SAID.get(_SAID_AS.get(lower, lower), ())


def extracted(messages: pl.Series, patterns: Sequence[str]) -> pl.Series:
    """Return what the first expression that fits captures, null where none does; each distinct message once."""
    distinct = messages.drop_nulls().unique()
    values = pl.select(pl.coalesce([distinct.str.extract(pattern, 1) for pattern in patterns])).to_series()
    if values.null_count() == len(values):
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(messages))
    return messages.replace_strict(distinct, values, default=None, return_dtype=pl.String)
