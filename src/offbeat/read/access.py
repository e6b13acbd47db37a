"""Access logs of Apache, NGINX and their kin: common and combined log format, with or without virtual host.

The message is method, path and status, which is what tells requests apart; the client, the user and the browser are
fields. Request lines that are no HTTP (scanners send TLS or shell code) are kept as they are, with their status.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from offbeat.read import levels
from offbeat.read.layout import TextLayout, Want

_QUOTED: Final = r'(?:[^"\\]|\\.)*'
_HEAD: Final = r'"?(?P<client>[0-9A-Za-z_:.%-]+) (?P<ident>[^ ]+) '
_SIZE: Final = r"(?P<status>[0-9]{3}) (?P<bytes>[0-9]+|-)"
_STRICT: Final = _HEAD + rf'(?P<user>[^ ]+) \[(?P<time>{{clf}})\] "(?P<request>[^"\\]*)" {_SIZE}'
# Stray quotes around the whole line, users with spaces and unescaped quotes inside the request do occur: the request
# ends at the last quote that status and size follow.
_LENIENT: Final = (
    r'"?(?:(?P<vhost>[\w.*-]+(?::[0-9]{1,5})?) )?(?P<client>[0-9A-Za-z_:.%-]+(?:, ?[0-9A-Fa-f:.]+)*) '
    r"(?P<ident>[^ ]+) (?P<user>[^\[\n]*?) "
    rf'\[(?P<time>{{clf}})\] "(?P<request>{_QUOTED}|.*?)" (?P<status>[0-9]{{3}}|-) (?P<bytes>[0-9]+|-)'
)
_TAIL: Final = r'(?: "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"?)?'
_LENIENT_TAIL: Final = rf'(?: "(?P<referer>{_QUOTED}|.*?)" "(?P<agent>{_QUOTED})"?)?'
_REQUEST: Final = r"^(?P<method>[A-Z][A-Z_-]{1,20}) (?P<path>.*?)(?: (?P<protocol>HTTP/[0-9.]+))? *$"
_PARTS: Final = ("method", "path", "protocol")


def _derive(groups: pl.DataFrame, want: Want) -> pl.DataFrame:
    """Split the request, write the message, take the level from the status, and drop dashes."""
    dashed = [name for name in ("ident", "user", "bytes", "referer", "status") if name in groups]
    groups = groups.with_columns(pl.when(pl.col(name) != "-").then(pl.col(name)).alias(name) for name in dashed)
    if "request" in groups and (set(_PARTS) & set(want.fields) or "fields" in want):
        parts = groups["request"].str.extract_groups(_REQUEST).struct.unnest()
        groups = groups.with_columns(parts)
    if "message" in want or "level" in want:
        request = pl.col("request")
        for protocol in (" HTTP/1.1", " HTTP/1.0", " HTTP/2.0", " HTTP/2", " HTTP/3"):
            request = request.str.strip_suffix(protocol)
        message = request + " " + pl.col("status").fill_null("-")
        groups = groups.with_columns(pl.when(pl.col("head").is_not_null()).then(message).alias("message"))
    if "level" in want:
        status = pl.col("status").cast(pl.Int32, strict=False)
        level = pl.when(status >= 500).then(levels.ERROR).when(status >= 400).then(levels.WARN).otherwise(levels.INFO)
        groups = groups.with_columns(level.cast(pl.UInt8).alias("level"))
    if "source" in want:
        vhost = pl.col("vhost") if "vhost" in groups.columns else pl.lit(None, pl.String)
        groups = groups.with_columns(vhost.alias("source"))
    return groups


def _joined(groups: pl.DataFrame, want: Want) -> pl.DataFrame:
    """Put method and path together, as other access logs have them."""
    if {"method", "path"} <= set(groups.columns):
        groups = groups.with_columns(request=pl.concat_str("method", pl.lit(" "), "path"))
    return _derive(groups, want)


class _Access(TextLayout):
    """A text layout whose fields include the parts of the request line, in the usual order."""

    @property
    def field_names(self) -> tuple[str, ...]:
        known = {*self.groups, *self.derived}
        usual = ("client", "user", *_PARTS, "status", "bytes", "took", "referer", "agent", "vhost")
        more = ("host", "pid", "frontend", "backend", "server", "target", "target_status", "timers", "flags")
        return tuple(name for name in (*usual, *more) if name in known)


_NEEDS: Final = {
    "message": ("request", "status"),
    "level": ("request", "status"),
    "source": ("vhost",),
    **dict.fromkeys(_PARTS, ("request",)),
}


def _layout(name: str, pattern: str, tail: str, rank: int, example: str) -> _Access:
    numbers = frozenset({"status", "bytes"})
    return _Access(
        name, pattern, example, numbers=numbers, rank=rank, derive=_derive, needs=_NEEDS, derived=_PARTS, tail=tail
    )


_EXAMPLE: Final = (
    '83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /images/kibana.png HTTP/1.1" 200 203023 "-" "Mozilla/5.0"'
)

LAYOUTS: Final = (
    _layout("access", _STRICT, _TAIL, 8, _EXAMPLE),
    _layout("access-odd", _LENIENT, _LENIENT_TAIL, 7, "shop.example.com:80 " + _EXAMPLE),
)


def _balanced(groups: pl.DataFrame, want: Want) -> pl.DataFrame:
    """Say what access logs say, and keep who wrote it."""
    source = groups["source"] if "source" in groups.columns else None
    groups = _derive(groups, want)
    return groups if source is None else groups.with_columns(source.alias("source"))


_BALANCED: Final = {**_NEEDS, "source": ("source",)}
#: HAProxy's HTTP log (docs.haproxy.org, "8.2.3. HTTP log format"), as syslog hands it on.
HAPROXY: Final = _Access(
    "haproxy",
    r"(?:<[0-9]{1,3}>)?(?P<time>{syslog}|{iso}) (?P<host>[^ ]+) (?P<source>[\w.-]+)\[(?P<pid>[0-9]+)\]: "
    r"(?P<client>[0-9a-fA-F.:]+):[0-9]+ \[[^\]]*\] (?P<frontend>[^ ]+) (?P<backend>[^ /]+)/(?P<server>[^ ]+) "
    r"(?P<timers>[0-9/+-]+) (?P<status>[0-9]{3}|-1) (?P<bytes>[0-9+]+) [^ ]+ [^ ]+ (?P<flags>[^ ]{4}) "
    r'[0-9/+]+ [0-9/]+ (?:\{[^}]*\} ){0,2}"(?P<request>[^"]*)"',
    "Jan 29 16:42:09 lb1 haproxy[4712]: 192.0.2.7:51234 [29/Jan/2023:16:42:09.486] web~ api/api1 0/0/1/12/13 503 12 - "
    '- ---- 1/1/0/0/0 0/0 "GET /orders HTTP/1.1"',
    numbers=frozenset({"pid", "status", "bytes"}),
    rank=8,
    derive=_balanced,
    needs=_BALANCED,
    derived=_PARTS,
)
#: Load balancers of AWS, classic ones without the first word (docs.aws.amazon.com, "Access log entries").
ALB: Final = _Access(
    "alb",
    r"(?:(?:https?|h2|grpcs?|wss?) )?(?P<time>{iso}) (?P<source>[^ ]+) (?P<client>[0-9a-fA-F.:]+):[0-9]+ "
    r"(?P<target>[^ ]+) (?P<timers>[0-9.-]+ [0-9.-]+ [0-9.-]+) (?P<status>[0-9]{3}|-) (?P<target_status>[0-9]+|-) "
    r'[0-9]+ (?P<bytes>[0-9]+) "(?P<request>[^"]*)" "(?P<agent>[^"]*)"',
    "https 2023-01-29T16:42:09.486123Z app/shop/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 0.0 0.1 0.0 502 - 34 366 "
    '"GET https://shop.example.com:443/orders HTTP/1.1" "curl/8.0"',
    numbers=frozenset({"status", "bytes"}),
    rank=8,
    derive=_balanced,
    needs=_BALANCED,
    derived=_PARTS,
)
#: What Go's web framework Gin writes by itself.
GIN: Final = _Access(
    "gin",
    r"\[GIN\] (?P<time>{iso-dash}) \| *(?P<status>[0-9]{3}) \| *(?P<took>[^ |]+) *\| *(?P<client>[^ |]+) *\| "
    r'*(?P<method>[A-Z]+) +"(?P<path>[^"]*)"',
    '[GIN] 2023/01/29 - 16:42:09 | 502 |    1.234567ms |       192.0.2.7 | GET      "/orders/17"',
    numbers=frozenset({"status"}),
    rank=8,
    derive=_joined,
    needs={**dict.fromkeys(("message", "level"), ("method", "path", "status")), "source": ()},
)
