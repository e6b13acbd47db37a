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
        return tuple(name for name in usual if name in known)


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
