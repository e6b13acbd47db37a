"""Personal data replaced by a keyed hash before anything else sees the text.

The same value gives the same hash under the same key, so that what belongs together stays together; without the key the
value cannot be found by trying (BLAKE2s, RFC 7693, keyed).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Final

import polars as pl

_NAMED: Final = (
    r"(?P<key>(?i:passw(?:or)?d|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|authorization|session_?key)"
    r"[\"']?\s*(?:=|:)\s*[\"']?(?i:bearer |basic )?)(?P<secret>[^\s\"',;&}]+)"
)
_MAIL: Final = r"(?P<mail>(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,})"
_BEARER: Final = r"(?P<bearer>\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\b(?:ghp|gho|sk|pk|xox[abp])[_-][A-Za-z0-9_-]{16,})"
# Issuers' numbers begin with 3 to 6; times in milliseconds and the like, which begin with 1, are no cards.
_CARD: Final = r"(?P<card>\b[3-6][0-9]{3}[ -]?(?:[0-9]{4}[ -]?){2}[0-9]{1,7}\b|\b3[0-9]{3}[ -][0-9]{6}[ -][0-9]{5}\b)"
_IPV4: Final = r"(?P<ip>\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b)"
_HEX: Final = "[0-9a-fA-F]{1,4}"
_IPV6: Final = (
    rf"(?P<ip6>(?<![\w:.])(?:(?:{_HEX}:){{7}}{_HEX}|(?:{_HEX}:){{1,6}}:(?:{_HEX}(?::{_HEX}){{0,5}})?"
    rf"|::{_HEX}(?::{_HEX}){{0,6}})(?![\w:]))"
)
_ALL: Final = re.compile("|".join((_NAMED, _MAIL, _BEARER, _CARD, _IPV4, _IPV6)))
# A cheap question in Rust finds the lines worth the slow expression.
_MAYBE: Final = (
    r"(?i)@|passw|passwd|pwd|secret|token|key|authorization|eyJ|gh[po]_|[sp]k[_-]|xox|[0-9]\.[0-9]{1,3}\.[0-9]"
    r"|[3-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}|3[0-9]{3}[ -][0-9]{6}|:[0-9a-f]{0,4}:"
)
_SIZE: Final = 5  # bytes of hash: 40 bits, ten hexadecimal digits


def masker(key: bytes) -> Callable[[pl.Series], pl.Series]:
    """A function that masks lines (String, shape (n,)) under ``key``."""
    secret = key if len(key) <= hashlib.blake2s.MAX_KEY_SIZE else hashlib.blake2s(key).digest()

    def digest(kind: str, value: str) -> str:
        return f"{kind}_{hashlib.blake2s(value.encode(), key=secret, digest_size=_SIZE).hexdigest()}"

    def replace(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        value = match[kind]
        if kind == "secret":
            return match["key"] + digest("secret", value)
        if kind == "card" and not _is_card(value):
            return value
        if kind == "ip6" and not any(c.isdigit() for c in value):  # more likely a::b of some programming language
            return value
        if kind == "ip" and any(int(part) > 255 for part in value.split(".")):
            return value
        return digest({"ip6": "ip", "bearer": "token"}.get(kind, kind), value)

    def mask(lines: pl.Series) -> pl.Series:
        rows = lines.str.contains(_MAYBE).fill_null(False).arg_true()
        if rows.is_empty():
            return lines
        masked = [_ALL.sub(replace, text) for text in lines.gather(rows).to_list()]
        return lines.scatter(rows, pl.Series(masked, dtype=pl.String))

    return mask


def _is_card(text: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1, annex B), so that other long numbers stay as they are."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [d if i % 2 == 0 else (2 * d if d < 5 else 2 * d - 9) for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0
