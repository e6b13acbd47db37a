"""Text from logs made safe to show; apart from the report, as every message on stderr needs it and no more."""

from __future__ import annotations

import unicodedata
from typing import Final

_LONGEST: Final = 180
_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def printable(text: str, longest: int = _LONGEST) -> str:
    """Return text that cannot steer a terminal: controls and bidirectional marks become visible escapes."""
    out = []
    for char in text[:longest]:
        if char == "\t":
            out.append(" ")
        elif char in _BIDI or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp"):
            out.append(f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")
        else:
            out.append(char)
    return "".join(out) + ("…" if len(text) > longest else "")


def visible(text: str) -> str:
    """Return text of any length in which every control and bidirectional mark is a visible escape."""
    return text if text.isprintable() else printable(text, len(text))
