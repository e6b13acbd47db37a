"""Expressions on frames: three-way masks that stay on distinct values, or constant, for as long as they can."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.rules.columns import Bits, Column, Frame, Rows, escaped, fold, folded
from offbeat.rules.expr import COMPARISONS, MANY, PARTS, REFERENCES, All, Expr, Glob, Match, Not, Some, Value
from offbeat.rules.kinds import as_written, in_network, where
from offbeat.rules.patterns import required


@dataclass(frozen=True)
class Mask:
    """Which rows fit: all or none of them, by the distinct value of one column, or row by row.

    Attributes:
        constant: set where all rows are alike.
        column: whose distinct values ``bits`` is about; None where it is about rows.
        bits: shape (d + 1,) with a column, else (n,).
    """

    constant: bool | None = None
    column: Column | None = None
    bits: Bits | None = None

    @classmethod
    def of(cls, column: Column | None, bits: Bits) -> Mask:
        """Return a mask, constant where it can be."""
        if not bits.any():
            return NONE
        return ALL if bits.all() else cls(None, column, bits)

    def rows(self, n: int) -> Bits:
        """Return it row by row, shape (n,)."""
        if self.constant is not None:
            return np.full(n, self.constant, dtype=np.bool_)
        assert self.bits is not None  # noqa: S101 - there is one where it is not constant
        return self.bits if self.column is None else self.bits[self.column.codes]

    def inverted(self) -> Mask:
        """Return the mask of the other rows."""
        if self.constant is not None:
            return NONE if self.constant else ALL
        assert self.bits is not None  # noqa: S101 - as above
        return Mask(None, self.column, ~self.bits)


ALL: Final = Mask(True)
NONE: Final = Mask(False)


def evaluate(expr: Expr, frame: Frame) -> Mask:
    """Return which events fit an expression without references.

    An absent field fits nothing, so its negation fits; there is no third truth value.
    """
    match expr:
        case All(args):
            return _joined(args, frame, stop=False)
        case Some(args):
            return _joined(args, frame, stop=True)
        case Not(arg):
            return evaluate(arg, frame).inverted()
        case Match():
            return _match(expr, frame)
    raise TypeError(f"{expr} refers to something else")


def _joined(args: Sequence[Expr], frame: Frame, *, stop: bool) -> Mask:
    """Join masks by *or* where ``stop`` is true, else by *and*; the first constant that decides ends it."""
    join = np.logical_or if stop else np.logical_and
    found: Mask | None = None
    for arg in args if stop else sorted(args, key=_is_slow):
        mask = evaluate(arg, frame) if stop or found is None else _within(found, arg, frame)
        if mask.constant is stop:
            return mask
        if mask.constant is not None:
            continue
        if found is None:
            found = mask
        elif found.column is mask.column:
            assert found.bits is not None and mask.bits is not None  # noqa: S101, PT018 - neither is constant
            found = Mask.of(found.column, join(found.bits, mask.bits))
        else:
            n = len(frame)
            found = Mask.of(None, join(found.rows(n), mask.rows(n)))
        if found.constant is stop:
            return found
    return (NONE if stop else ALL) if found is None else found


def _is_slow(expr: Expr) -> bool:
    """Whether all values of a column would have to be matched, so that it is better to know first where to look."""
    return isinstance(expr, Match) and expr.op == "regex" and not all(required(str(v)) for v in expr.values)


def _within(found: Mask, expr: Expr, frame: Frame) -> Mask:
    """Return which events fit an expression, at least among those found before; expressions are matched with no more.

    Joined by *and* with ``found`` it is the same as what ``evaluate`` returns.
    """
    if not _is_slow(expr) or found.column is None or found.bits is None:
        return evaluate(expr, frame)
    assert isinstance(expr, Match)  # noqa: S101 - as it is slow
    column = frame.column(expr.field) if expr.field is not None else None
    if column is not found.column:
        return evaluate(expr, frame)
    places = found.column.places(found.bits)
    fits = [_fits(str(pattern), places, column) for pattern in expr.values]
    return Mask.of(column, column.bits(fits))


def _match(leaf: Match, frame: Frame) -> Mask:
    if leaf.op == "before":
        return _before(leaf, frame)
    if leaf.field is None:
        return _keyword(leaf, frame)
    if leaf.op == "exists":
        return _exists(leaf, frame)
    if leaf.op in REFERENCES:
        return _same(leaf, frame)
    column = frame.column(leaf.field)
    if column is None:
        return ALL if leaf.op == "null" else NONE
    if leaf.op in PARTS:
        return _time_part(leaf, column)
    if leaf.op == "null":
        bits = np.zeros(len(column.distinct) + 1, dtype=np.bool_)
        bits[-1] = column.series.null_count() > 0
        return Mask.of(column, bits) if bits.any() else NONE
    bits = column.bits(_places(leaf, column))
    if bits[:-1].all() and column.series.null_count() == 0:
        return ALL
    return Mask.of(column, bits)


def _places(leaf: Match, column: Column) -> NDArray[np.int64] | list[NDArray[np.int64]]:
    """Return where among the texts of a column those are that fit."""
    match leaf.op:
        case "any":
            return np.arange(len(column.texts))
        case "equals" | "contains" | "startswith" | "endswith" | "glob":
            return [_textual(leaf.op, value, leaf.cased, column) for value in leaf.values]
        case "regex":
            return [_matched(str(pattern), column) for pattern in leaf.values]
        case "cidr":
            return [in_network(str(network), column.texts) for network in leaf.values]
        case "lt" | "lte" | "gt" | "gte":
            compare = _COMPARE[leaf.op]
            return [np.flatnonzero(compare(column.numbers, float(str(value)))) for value in leaf.values]
    raise TypeError(leaf.op)


_COMPARE: Final[dict[str, Callable[[Any, float], Any]]] = {
    "lt": np.less,
    "lte": np.less_equal,
    "gt": np.greater,
    "gte": np.greater_equal,
}
assert set(_COMPARE) == set(COMPARISONS)  # noqa: S101 - one for each


def _matched(pattern: str, column: Column) -> NDArray[np.int64]:
    """Match an expression, where it needs a literal only with the texts that hold one."""
    needed = required(pattern)
    if not needed:
        return where(column.texts.str.contains(pattern))
    return _fits(pattern, np.unique(np.concatenate([column.holding(folded(literal)) for literal in needed])), column)


def _fits(pattern: str, places: NDArray[np.int64], column: Column) -> NDArray[np.int64]:
    return _verified(places, column, True, lambda texts: texts.str.contains(pattern))


def _textual(op: str, value: Value, cased: bool, column: Column) -> NDArray[np.int64]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return np.flatnonzero(column.numbers == value)
    if isinstance(value, tuple):
        pattern = glob_regex(value, cased)
        needed = longest(value)
        places = column.holding(folded(needed)) if needed else np.arange(len(column.texts))
        return _verified(places, column, cased, lambda texts: texts.str.contains(pattern))
    text = str(value)
    if op == "equals":
        places = column.equal_to(folded(text))
        return _verified(places, column, True, lambda texts: texts == text) if cased else places
    places = column.holding(folded(text)) if text else np.arange(len(column.texts))
    wanted = text if cased else folded(text)
    if op == "startswith":
        return _verified(places, column, cased, lambda texts: texts.str.starts_with(wanted))
    if op == "endswith":
        return _verified(places, column, cased, lambda texts: texts.str.ends_with(wanted))
    if cased:
        return _verified(places, column, True, lambda texts: texts.str.contains(wanted, literal=True))
    return places


def _verified(
    places: NDArray[np.int64], column: Column, cased: bool, fits: Callable[[pl.Series], pl.Series]
) -> NDArray[np.int64]:
    """Return those of the candidates that fit; without ``cased`` the test is on lower case."""
    if len(places) == 0:
        return places
    texts = (column.texts if cased else column.folded).gather(places)
    return np.asarray(places[fits(texts).to_numpy()], dtype=np.int64)


def longest(glob: Glob) -> str:
    """Return the longest literal of a glob, which every text that fits holds; empty where there is none."""
    return max((part for part in glob if isinstance(part, str)), key=len, default="")


@lru_cache(maxsize=8192)
def glob_regex(glob: Glob, cased: bool) -> str:
    """Return the expression of a whole text; wildcards also stand for line breaks."""
    parts = [
        (".*" if part == MANY else ".") if isinstance(part, int) else quoted(part if cased else folded(part))
        for part in glob
    ]
    # Without an anchor is the same as a wildcard there, and faster.
    start, end = glob[0] == MANY, glob[-1] == MANY
    text = "".join(parts[start : len(parts) - end])
    return f"(?s){'' if start else '^'}{text}{'' if end else '$'}"


def quoted(text: str) -> str:
    """Return a text as an expression that matches it; Python's own also escapes what Rust's engine refuses."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", text)


def _keyword(leaf: Match, frame: Frame) -> Mask:
    """Search whole events: every column, then for globs the whole text of the few events that hold their literals."""
    columns = frame.searched
    n = len(frame)
    if leaf.op == "any":
        return ALL if n else NONE
    if leaf.op == "regex":
        return _any_column([_searched(leaf, name, c, frame) for name, c in columns.items()], n)
    found = NONE
    for value in leaf.values:
        glob: Glob = value if isinstance(value, tuple) else (MANY, str(value), MANY)
        mask = ALL
        for literal in glob:
            if isinstance(literal, str) and mask.constant is not False:
                held = _any_column([_holding(literal, leaf.cased, name, c) for name, c in columns.items()], n)
                mask = _and(mask, held, n)
        if mask.constant is not False and isinstance(value, tuple):
            mask = _whole_fits(glob, leaf.cased, mask, frame)
        found = _or(found, mask, n)
        if found.constant:
            return found
    return found


def _searched(leaf: Match, name: str, column: Column, frame: Frame) -> Mask:
    """Search one column by expressions; of records each value, as it is without JSON around it."""
    if name != "fields":
        return Mask.of(column, column.bits(_places(leaf, column)))
    texts, codes, rows = frame.values
    fits = np.zeros(len(texts), dtype=np.bool_)
    for pattern in leaf.values:
        fits[where(texts.str.contains(str(pattern)))] = True
    bits = np.zeros(len(column), dtype=np.bool_)
    bits[rows[fits[codes]]] = True
    return Mask.of(None, bits)


def _holding(literal: str, cased: bool, name: str, column: Column) -> Mask:
    text = escaped(literal) if name == "fields" else literal
    key = escaped(folded(literal)) if name == "fields" else folded(literal)
    places = column.holding(key)
    if cased:
        places = _verified(places, column, True, lambda texts: texts.str.contains(text, literal=True))
    return Mask.of(column, column.bits(places))


def _whole_fits(glob: Glob, cased: bool, mask: Mask, frame: Frame) -> Mask:
    rows: Rows = np.flatnonzero(mask.rows(len(frame)))
    texts = frame.whole(rows)
    fits = (texts if cased else fold(texts)).str.contains(glob_regex(glob, cased)).to_numpy()
    bits = np.zeros(len(frame), dtype=np.bool_)
    bits[rows[fits]] = True
    return Mask.of(None, bits)


def _any_column(masks: Sequence[Mask], n: int) -> Mask:
    found = NONE
    for mask in masks:
        found = _or(found, mask, n)
    return found


def _or(a: Mask, b: Mask, n: int) -> Mask:
    if a.constant is not None or b.constant is not None:
        return b if a.constant is False else a if b.constant is False else ALL
    return Mask.of(None, a.rows(n) | b.rows(n))


def _and(a: Mask, b: Mask, n: int) -> Mask:
    return _or(a.inverted(), b.inverted(), n).inverted()


def _exists(leaf: Match, frame: Frame) -> Mask:
    """A field exists where the record has its name, be its value null or empty."""
    assert leaf.field is not None  # noqa: S101 - the compiler asks for one
    column = frame.column(leaf.field)
    n = len(frame)
    bits = np.zeros(n, dtype=np.bool_)
    if column is not None:
        bits |= column.series.is_not_null().to_numpy()
    if "fields" in frame.events.columns:
        bits |= _named_in(frame.events["fields"], leaf.field)
    return Mask.of(None, bits if leaf.values[0] else ~bits)


def _named_in(records: pl.Series, name: str) -> Bits:
    """Return which JSON objects have a key of that name; a value holding the same text does not count."""
    import orjson

    bits = records.str.contains(f'"{escaped(name)}":', literal=True).fill_null(False).to_numpy().copy()
    for row in np.flatnonzero(bits):
        bits[row] = name in orjson.loads(records[int(row)])
    return bits


def _same(leaf: Match, frame: Frame) -> Mask:
    assert leaf.field is not None  # noqa: S101 - the compiler asks for one
    mine = frame.column(leaf.field)
    found = np.zeros(len(frame), dtype=np.bool_)
    for name in leaf.values:
        other = frame.column(str(name))
        if mine is None or other is None:
            continue
        pair = pl.DataFrame({"a": fold(mine.series.cast(pl.String)), "b": fold(other.series.cast(pl.String))})
        a, b = pl.col("a"), pl.col("b")
        fits = {
            "same": a == b,
            "same_start": a.str.starts_with(b),
            "same_end": a.str.ends_with(b),
            "same_part": a.str.contains(b, literal=True),
        }[leaf.op]
        found |= pair.select(fits.fill_null(False)).to_series().to_numpy()
    return Mask.of(None, found)


def _time_part(leaf: Match, column: Column) -> Mask:
    times = as_written(column.distinct).dt
    part = {
        "minute": times.minute,
        "hour": times.hour,
        "day": times.day,
        "week": times.week,
        "month": times.month,
        "year": times.year,
    }[leaf.op]()
    fits = part.is_in([int(str(value)) for value in leaf.values]).fill_null(False).to_numpy()
    return Mask.of(column, np.append(fits, False))


def _before(leaf: Match, frame: Frame) -> Mask:
    """An event without a time counts as before: what is suppressed for a while stays suppressed."""
    from datetime import datetime

    if "timestamp" not in frame.events.columns:
        return ALL
    limit = datetime.fromisoformat(str(leaf.values[0]))
    return Mask.of(None, (frame.events["timestamp"] < limit).fill_null(True).to_numpy())
