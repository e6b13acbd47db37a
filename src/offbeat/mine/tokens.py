"""Shapes to pieces: the finer look at a distinct shape, with values that span several words taken as one.

Every piece has two readings: ``keys`` says what is compared (``0`` for any value, so that ``3 bytes`` and
``3 bytes (2 KB)`` are one thing) and ``shown`` says what a template prints. Delimiters are pieces too, so joining the
pieces gives the text back.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

VALUE: Final = "0"  # a key standing for a value, as the mask wrote it
WILD: Final = "\x00"  # a key standing for any one word, as the tree found it

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_SIZE = r"(?:[KMGTPkmgt]i?[Bb]?|B|[Bb]ytes?)"
_TIME = r"(?:ms|msecs?|millis(?:econds?)?|secs?|seconds?|us|usecs?|microseconds?|ns|mins?|minutes?|hours?|hrs?|days?)"
# Names of hosts without digits. Java's packages are not hosts, and short dotted names end like countries do (`tip.id`).
_NOT_CODE = r"(?<![\w@.-])(?!(?:java|javax|org|com|net|sun|io)\.)"
_TOP = r"(?:com|org|net|edu|gov|mil|local|internal|lan|(?:(?:ac|co|com|edu|gov|net|org)\.[a-z]{2}))"
_STOP = r"\s,;()\[\]{}\"'<>|"
_SCAN: Final = re.compile(
    rf"(?P<time>{_DAY},? {_MONTH} +0 +0(?: [A-Z]{{3,4}}(?= 0))?(?: 0)?\b)"
    rf"|(?P<size><?\b0 ?{_SIZE}\b(?: \(0 ?{_SIZE}\))?)"
    rf"|(?P<dur><?\b0 ?{_TIME}\b)"
    rf"|(?P<url>\b[a-z][a-z+.-]*://[^{_STOP}]+)"
    rf"|(?P<path>(?:/|[A-Za-z]:\\|\\\\)[^{_STOP}]+)"
    rf"|(?P<host>[\w-]+(?:\.[\w-]+)+:0\b|{_NOT_CODE}[\w-]+(?:\.[\w-]+)*\.{_TOP}(?![\w.]))"
    r"|(?P<name>(?<=for )[^\s<>]+(?= from 0)|(?<=for user )[^\s<>]+)"
    r"|(?P<word>[^\s=,:;()\[\]{}\"'<>|]+)"
    r"|(?P<empty>(?<!\S)\(\)(?!\S))"
    r"|(?P<space>\s+)"
    r"|(?P<delim>.)",
    re.DOTALL,
)
_ALL_MASKED: Final = re.compile(r"[-+]?0(?:[/+.,@~*xX&_-]0)*%?")
_DIGIT: Final = re.compile(r"\d")
_MASKED: Final = re.compile(r"(?<![^\W_])0")
_STATUS: Final = re.compile(r"[1-5]\d\d")
_BOOLEAN: Final = frozenset({"true", "false", "null", "none", "nil"})


class Pieces(NamedTuple):
    """A shape cut into pieces: equal-length tuples of what is compared and what is shown."""

    keys: tuple[str, ...]
    shown: tuple[str, ...]


def cut(shape: str, tokens: int = 128) -> tuple[Pieces, bool]:
    """Cut a shape into pieces.

    Args:
        shape: as ``mask.shapes`` gives it.
        tokens: words looked at; the rest becomes one value.

    Returns:
        The pieces, and whether the limit was met.
    """
    keys: list[str] = []
    shown: list[str] = []
    words = 0
    for match in _SCAN.finditer(shape.strip()):
        kind, text = match.lastgroup, match.group()
        if kind == "space":
            keys.append(" ")
            shown.append(" ")
            continue
        if kind == "empty":  # an empty value between brackets, as in `connection from 10.0.0.1 ()`
            keys += ("(", VALUE, ")")
            shown += ("(", "", ")")
            continue
        if kind == "delim":
            keys.append(text)
            shown.append(text)
            continue
        words += 1
        if words > tokens:
            keys.append(VALUE)
            shown.append("<*>")
            return Pieces(tuple(keys), tuple(shown)), True
        key, show = _word(kind or "word", text, keys)
        keys.append(key)
        shown.append(show)
    return Pieces(tuple(keys), tuple(shown)), False


def _word(kind: str, text: str, before: list[str]) -> tuple[str, str]:
    """Return what a word compares as and what it prints as."""
    if kind in ("time", "url", "path", "host", "name"):
        return VALUE, f"<{kind}>"
    if kind in ("size", "dur"):
        return VALUE, text.replace("0", "<*>")
    if _ALL_MASKED.fullmatch(text):
        return VALUE, "<*>"
    if _STATUS.fullmatch(text):
        return text, text
    if text.lower() in _BOOLEAN and _follows_sign(before):
        return VALUE, "<*>"
    return _DIGIT.sub(VALUE, text), _MASKED.sub("<*>", text)


def _follows_sign(before: list[str]) -> bool:
    """Whether the word stands after ``=`` or ``:``, with or without a space."""
    last = before[-1] if before else ""
    if last == " " and len(before) > 1:
        last = before[-2]
    return last in ("=", ":")


def is_word(key: str) -> bool:
    """Whether a key is a word rather than a delimiter or space."""
    return len(key) > 1 or key.isalnum() or key in (WILD, "_")


def skeleton(keys: tuple[str, ...]) -> str:
    """Return the delimiters with words blanked out; only shapes of one skeleton can share a template."""
    return "".join("w" if is_word(key) else key for key in keys)


def render(shown: tuple[str, ...] | list[str]) -> str:
    """Join pieces to a template's text."""
    return "".join(shown)
