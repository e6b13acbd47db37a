"""User's regular expressions, for Rust's engine: linear time whatever the text, so without look-around."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import polars as pl

#: What PCRE has and a linear-time engine cannot.
_REFUSED: Final = (
    (re.compile(r"\(\?<?[=!]"), "look-around"),
    (re.compile(r"\\[1-9]|\(\?P=|\\[gk][{<']"), "a back-reference"),
    (re.compile(r"\(\?>"), "an atomic group"),
    (re.compile(r"[*+?}]\+"), "a possessive quantifier"),
    (re.compile(r"\(\?(?:R|[0-9]|&|\()"), "recursion or a condition"),
)
_COUNT: Final = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_PROPERTY: Final = re.compile(r"\\[pPxu]\{[^}]*\}")


def linear(pattern: str) -> str:
    """Return a PCRE in the syntax of Rust's engine.

    Raises:
        ValueError: it uses what cannot run in linear time, or is none; the message says what.
    """
    bare = re.sub(r"\\\\", "", pattern)
    for what, name in _REFUSED:
        if what.search(_without_classes(bare)):
            raise ValueError(f"{name} cannot run in linear time")
    made = _translated(pattern)
    if problem := _problem(made):
        raise ValueError(problem)
    return made


@lru_cache(maxsize=4096)
def _problem(pattern: str) -> str | None:
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return said[0] if said else lines[0]
    return None


def _without_classes(pattern: str) -> str:
    """Leave out character classes, in which quantifiers are plain characters."""
    return re.sub(r"(?<!\\)\[\^?\]?(?:\\.|[^\]\\])*\]", "[]", pattern)


def _translated(pattern: str) -> str:
    """Rewrite what the two syntaxes write differently: word edges, braces and brackets that stand for themselves."""
    out, at, in_class = [], 0, False
    while at < len(pattern):
        piece = pattern[at]
        if piece == "\\":
            whole = _PROPERTY.match(pattern, at)
            piece = whole[0] if whole else pattern[at : at + 2]
            at += len(piece)
            out.append({r"\<": "<", r"\>": ">", r"\Z": r"\z", r"\h": r"[ \t]", r"\e": r"\x1b"}.get(piece, piece))
            continue
        at += 1
        if in_class:
            in_class = piece != "]"
            out.append(rf"\{piece}" if piece in "[&~" else piece)
        elif piece == "[":
            in_class = True
            end = at + (pattern[at : at + 1] == "^")
            first = pattern[end : end + 1] == "]"  # directly behind the opening bracket it stands for itself
            out.append("[" + pattern[at:end] + (r"\]" if first else ""))
            at = end + first
        elif piece == "{":
            count = _COUNT.match(pattern, at - 1)
            out.append(count[0] if count else r"\{")
            at = count.end() if count else at
        else:
            out.append(r"\}" if piece == "}" else piece)
    return "".join(out)
