"""User's regular expressions, for Rust's engine: linear time whatever the text, so without look-around."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

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


#: A literal of fewer characters is in too many texts to be worth looking for first.
_SHORTEST: Final = 3
_MOST: Final = 64


@lru_cache(maxsize=4096)
def required(pattern: str) -> tuple[str, ...]:
    """Return literals in lower case, of which any text that an expression matches holds one; empty where none is known.

    Looking for literals is far cheaper than matching, so only texts that hold one need to be matched.
    """
    try:
        from re import _parser  # type: ignore[attr-defined]  # the only parser there is; without it nothing is skipped

        found = _literals(_parser.parse(pattern))
    except (ImportError, re.error, RecursionError, OverflowError, AttributeError, ValueError, TypeError):
        return ()
    if not found or len(found) > _MOST or min(map(len, found)) < _SHORTEST:
        return ()
    return tuple(sorted(found))


def _literals(sequence: Any) -> set[str] | None:
    """Return the best set of alternatives that some part of a sequence needs; None where no part needs any."""
    best: set[str] | None = None
    run = ""
    for name, value in [*sequence, ("END", None)]:
        if str(name) == "LITERAL":
            run += chr(value).lower()
            continue
        best = _better(best, {run} if run else None)
        run = ""
        match str(name):
            case "BRANCH":
                parts = [_literals(part) for part in value[1]]
                known = [part for part in parts if part is not None]
                inner = set[str]().union(*known) if len(known) == len(parts) else None
            case "SUBPATTERN":
                inner = _literals(value[-1])
            case "MAX_REPEAT" | "MIN_REPEAT":
                inner = _literals(value[2]) if value[0] > 0 else None
            case _:
                inner = None
        best = _better(best, inner)
    return best


def _better(a: set[str] | None, b: set[str] | None) -> set[str] | None:
    if a is None or b is None:
        return b if a is None else a
    return max((a, b), key=lambda texts: (min(map(len, texts), default=0), -len(texts)))
