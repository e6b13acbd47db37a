"""Shapes to pieces: the finer look at a distinct shape, with values that span several words taken as one.

Every piece has two readings: ``keys`` says what is compared (``0`` for any value, so that ``3 bytes`` and
``3 bytes (2 KB)`` are one thing) and ``shown`` says what a template prints. Delimiters are pieces too, so joining the
pieces gives the text back.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from offbeat.mine.mask import MASKED, METHODS

VALUE: Final = "0"  # a key standing for a value, as the mask wrote it; within a word, a masked part of it
DIGIT: Final = "9"  # in a key, the digit that ends a word of letters, whichever it is
WILD: Final = "\x00"  # a key standing for any one word, as the tree found it
ANY: Final = "<*>"

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_SYMBOL = r"(?:[KMGTP]i?[Bb]?|kB|k|B)"
_SIZE = rf"(?:{_SYMBOL}|[Bb]ytes?)"
_RATE = r"(?:/s(?:ec)?\b)?"
_TIME = r"(?:ms|msecs?|millis(?:econds?)?|secs?|seconds?|us|usecs?|microseconds?|ns|mins?|minutes?|hours?|hrs?|days?)"
_SOURCE = r"(?:c|cc|cpp|cs|cxx|go|h|hpp|java|js|kt|php|pl|py|rb|rs|scala|sh|ts)"
# What sshd and its like say just before an account's name; and words that follow "for user" without being a name.
_NAMED_BEFORE = r"(?:(?<=password for )|(?<=publickey for )|(?<=none for )|(?<=exceeded for )|(?<=invalid user ))"
_NO_NAME = r"(?:authentication|input|request|action|data|id|name|account|agent|session)"
_STOP = r"\s,;()\[\]{}\"'<>|"
# Names of hosts without digits. Java's packages are not hosts, and short dotted names end as countries do.
_NOT_CODE = r"(?<![\w@.-])(?!(?:java|javax|org|com|net|sun|io)\.)"
_TOP = r"(?:com|org|net|edu|gov|mil|local|internal|lan|(?:ac|co|com|edu|gov|net|org)\.[a-z]{2})"
_ELEMENT = r"[^\s=:,;()\[\]{}\"'<>|]+"

# Alternatives in order of trial; spaces, signs that begin nothing longer, and `plain`, nearly every word, are early for
# speed.
_SCAN: Final = re.compile(
    r"(?P<space>\s+)|(?P<sign>[=,;)\]}>|])"
    rf"|(?P<quoted>(?<![\w\"'])(?:\"(?!{METHODS} )[^\"]{{1,120}}\"|'(?!{METHODS} )[^']{{1,120}}')(?![\w\"']))"
    rf"|(?P<object>(?<==)(?:[\w.$]+(?:\{{[^{{}}\s]*\}}|\([^()\s]*\))|\[[^\[\]]*\]))"
    rf"|(?<!for )(?<!user )(?<![\[({{])(?P<plain>(?!{_DAY} )[A-Za-z_]+(?=[ ,=;)\]}}]|$))"
    rf"|(?P<time>{_DAY},? {_MONTH} +0 +0(?: [A-Z]{{3,4}}(?= 0))?(?: 0)?\b)"
    rf"|(?P<size>\b0 ?{_SYMBOL}\b{_RATE}|\b0 ?{_SIZE} \(0 ?{_SIZE}\))"
    rf"|(?P<bytes>\b0 ?{_SIZE}\b)"
    rf"|(?P<dur><?\b0 ?{_TIME}\b)"
    rf"|(?P<url>\b[a-z][a-z+.-]*://[^{_STOP}]*[^{_STOP}:.])"
    rf"|(?P<address>/0\b(?![^{_STOP}:.])|(?<!\S)::(?:ffff:)?0\b(?![^{_STOP}:.]))"
    rf"|(?P<path>(?<!\w)(?:/|[A-Za-z]:\\|\\\\)[^{_STOP}]*[^{_STOP}:.](?: HTTP/0)?|(?<==)/(?!\S)|(?<=[A-Z] )/ HTTP/0)"
    rf"|(?P<host>[\w-]+(?:\.[\w-]+)*\.(?!{_SOURCE}:)[\w-]+:0\b|{_NOT_CODE}[\w-]+(?:\.[\w-]+)*\.{_TOP}(?![\w.]))"
    rf"|(?P<user>{_NAMED_BEFORE}[^{_STOP}]+(?= from (?:::(?:ffff:)?)?0)|(?<=for user )(?!{_NO_NAME}\b)[^{_STOP}]+)"
    rf"|(?P<list>(?<=[\[({{]){_ELEMENT}(?:, ?{_ELEMENT})+(?=[\])}}]))"
    rf"|(?P<compound>(?<==){_ELEMENT}(?::{_ELEMENT})+)"
    r"|(?P<gap>(?<=[0*] )\*{2,}(?= [0*)])|(?<=[(:=] )\*{2,}(?= [0*]))"
    r"|(?P<dots>\.{2,})"
    r"|(?P<word>(?:[^\s=,:;()\[\]{}\"'<>|.]|\.(?!\.))+)"
    r"|(?P<empty>(?<!\S)\(\)(?!\S))"
    r"|(?P<delim>.)",
    re.DOTALL,
)
_NAMED: Final = frozenset({"time", "size", "url", "path", "host", "user"})
_VALUES: Final = _NAMED | {"bytes", "dur", "address", "list", "object", "gap"}
_ALL_MASKED: Final = re.compile(r"(?:[-+]?|\\)0(?:(?:[^\w\s]{1,3}|x)0)*[%+]?")
_ADDRESS: Final = re.compile(r"[a-f]{8}|[A-F]{8}")  # 32 bits in which no digit is below ten, as ``ffffffff``
_ENDING: Final = re.compile(r"(?<=[A-Za-z_])\d")
STATUS: Final = re.compile(r"[1-5]\d\d")
_ABSENT: Final = frozenset({"true", "false", "null", "none", "nil", "n/a", "*", "-", "?"})
_SIGNS: Final = frozenset('=:("')

#: So many shapes are cut as soon as they are met, while others read, in place of when all was read.
EARLY: Final = 1024

#: Values in a row that a template still prints one by one when all its lines have as many.
_ROW: Final = 6


class Pieces(NamedTuple):
    """A shape cut into pieces: equal-length tuples of what is compared and what is shown."""

    keys: tuple[str, ...]
    shown: tuple[str, ...]


@lru_cache(maxsize=2 * EARLY)
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
    for match in _SCAN.finditer(shape.strip().replace(WILD, "\ufffd")):
        kind, text = match.lastgroup or "word", match.group()
        if kind == "space":
            key = show = " "
        elif kind == "plain" and words < tokens and text.lower() not in _ABSENT and not _ADDRESS.fullmatch(text):
            words += 1
            key = show = text
        elif kind in ("sign", "delim", "dots"):
            key, show = text, text
        elif kind == "empty":  # an empty value between brackets, as in `connection from 10.0.0.1 ()`
            keys += ("(", VALUE)
            shown += ("(", "")
            key, show = ")", ")"
        elif kind == "quoted":
            inner, _ = cut(text[1:-1], tokens)
            keys += (text[0], VALUE if set(inner.keys) <= {VALUE} else "".join(inner.keys))
            shown += (text[0], "".join(inner.shown))
            key, show = text[-1], text[-1]
        else:
            words += 1
            if words > tokens:
                return _rows([*keys, VALUE], [*shown, ANY]), True
            absent = text.lower() in _ABSENT and _follows_sign(keys)
            key, show = (VALUE, ANY) if absent else _word(kind, text)
        keys.append(key)
        shown.append(show)
    return _rows(keys, shown), False


@lru_cache(maxsize=1 << 16)
def _word(kind: str, text: str) -> tuple[str, str]:
    """Return what a word compares as and what it prints as."""
    if kind in _NAMED:
        return VALUE, f"<{kind}>"
    if kind in _VALUES:
        return VALUE, ANY if kind == "address" else MASKED.sub(ANY, text)
    if _ALL_MASKED.fullmatch(text) or _ADDRESS.fullmatch(text):
        return VALUE, ANY
    if STATUS.fullmatch(text):
        return text, text
    return _ENDING.sub(DIGIT, text), MASKED.sub(ANY, text)


def _follows_sign(before: list[str]) -> bool:
    """Whether the word stands after ``=``, ``:`` or an opening, with or without a space."""
    last = before[-1] if before else ""
    if last == " " and len(before) > 1:
        last = before[-2]
    return last in _SIGNS


def _rows(keys: list[str], shown: list[str]) -> Pieces:
    """Take values in a row, parted by spaces or commas, as one value: lists differ in length from line to line."""
    out_keys: list[str] = []
    out_shown: list[str] = []
    i, n = 0, len(keys)
    while i < n:
        start = i
        if keys[i] == VALUE:
            while (step := _next_value(keys, i)) > i:
                i = step
        i += 1
        out_keys.append(keys[start])
        if i == start + 1:
            out_shown.append(shown[start])
        else:
            many = sum(key == VALUE for key in keys[start:i]) > _ROW
            out_shown.append(ANY if many else "".join(shown[start:i]))
    return Pieces(tuple(out_keys), tuple(out_shown))


def _next_value(keys: list[str], i: int) -> int:
    """Return where the value next to the one at ``i`` stands, or ``i`` where none does."""
    for gap in ((" ",), (",",), (",", " ")):
        end = i + len(gap) + 1
        if end < len(keys) and keys[end] == VALUE and tuple(keys[i + 1 : end]) == gap:
            return end
    return i


@lru_cache(maxsize=1 << 16)
def is_word(key: str) -> bool:
    """Whether a key is a word rather than a delimiter or space."""
    return key.isalnum() or (len(key) > 1 and key[:2] != "..") or key in (WILD, "_")


def skeleton(keys: tuple[str, ...]) -> str:
    """Return the delimiters with words blanked out; only shapes of one skeleton can share a template."""
    return "".join(["w" if is_word(key) else key for key in keys])
