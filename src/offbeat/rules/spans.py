"""When a correlation's condition holds: vectorised over the hits of all groups.

Conditions that more hits can only bring nearer (at least so many, all rules seen) are looked at with every hit, over
the span that ends there. All others (at most, exactly, averages, negations) need to know the whole span: they are
looked at for spans that follow one another, counted from 1970, once each is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.rules.expr import All, Expr, Not, Ref, Some
from offbeat.rules.rule import TEMPORAL, Correlation

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]

_UPWARD: Final = ("gt", "gte")
COMPARE: Final[Mapping[str, Callable[[Any, float], Any]]] = {
    "gt": np.greater,
    "gte": np.greater_equal,
    "lt": np.less,
    "lte": np.less_equal,
    "eq": np.equal,
    "neq": np.not_equal,
}


def slides(c: Correlation) -> bool:
    """Return whether the condition is looked at with every hit."""
    if c.condition is not None:
        return not _negates(c.condition)
    return all(op in _UPWARD for op, _ in c.bounds) and c.kind in ("event_count", "value_count", "value_sum", *TEMPORAL)


def _negates(expr: Expr) -> bool:
    if isinstance(expr, Not):
        return True
    return any(_negates(arg) for arg in getattr(expr, "args", ()))


def least(c: Correlation) -> int:
    """Return the smallest count that satisfies bounds that only say at least."""
    return int(max((np.floor(n) + 1 if op == "gt" else np.ceil(n) for op, n in c.bounds), default=1))


def holds(c: Correlation, value: Any) -> Any:
    """Return whether a value, or each of an array, lies within the bounds."""
    fits: Any = np.ones(np.shape(value), dtype=np.bool_)
    for op, number in c.bounds:
        fits = fits & COMPARE[op](value, number)
    return fits


def truth(expr: Expr, seen: Callable[[str], Any]) -> Any:
    """Evaluate a condition over rules; ``seen`` says which of them came, as arrays or single values."""
    match expr:
        case All(args):
            return np.logical_and.reduce([truth(arg, seen) for arg in args])
        case Some(args):
            return np.logical_or.reduce([truth(arg, seen) for arg in args])
        case Not(arg):
            return np.logical_not(truth(arg, seen))
        case Ref(name):
            return seen(name)
    raise TypeError(f"{expr} is no rule")


def satisfied(c: Correlation, group: Ints, time: Ints, rule: Ints, value: Sequence[Any]) -> tuple[Bits, Ints]:
    """Say with which hits a sliding condition holds.

    Args:
        c: the correlation.
        group: code of each hit's group, ascending; shape (n,).
        time: in microseconds, ascending within a group.
        rule: which of the correlation's rules it is a hit of.
        value: its value; only for the kinds that have one.

    Returns:
        For each hit whether the condition holds over the span ending with it, and the hit that the span which
        satisfies it begins with; both of shape (n,).
    """
    span = c.seconds * 1_000_000
    if c.kind == "event_count":
        return _counted(group, time, max(1, least(c)), span)
    if c.kind == "value_count":
        return _by_group(group, lambda s: _distinct(time[s], value[s], least(c), span))
    if c.kind == "value_sum":
        return _by_group(group, lambda s: _summed(c, time[s], np.asarray(value[s], dtype=np.float64), span))
    return _by_group(group, lambda s: _temporal(c, time[s], rule[s], span))


def _counted(group: Ints, time: Ints, n: int, span: int) -> tuple[Bits, Ints]:
    """At least n hits: the one n - 1 before is of the same group, and not too long ago."""
    at = np.arange(len(time))
    first = np.maximum(at - (n - 1), 0)
    fits = (at >= n - 1) & (group[first] == group) & (time - time[first] <= span)
    return fits, first


def _by_group(group: Ints, one: Callable[[slice], tuple[Bits, Ints]]) -> tuple[Bits, Ints]:
    edges = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(group)]
    fits, first = np.zeros(len(group), dtype=np.bool_), np.zeros(len(group), dtype=np.int64)
    for a, b in pairwise(edges):
        if b > a:
            some, start = one(slice(a, b))
            fits[a:b], first[a:b] = some, start + a
    return fits, first


def _distinct(time: Ints, value: Sequence[Any], n: int, span: int) -> tuple[Bits, Ints]:
    fits, first = np.zeros(len(time), dtype=np.bool_), np.zeros(len(time), dtype=np.int64)
    if len(set(value)) < n:
        return fits, first
    inside: Counter[Any] = Counter()
    start = 0
    for at, one in enumerate(value):
        inside[one] += 1
        while time[at] - time[start] > span:
            inside[value[start]] -= 1
            if not inside[value[start]]:
                del inside[value[start]]
            start += 1
        fits[at], first[at] = len(inside) >= n, start
    return fits, first


def _summed(c: Correlation, time: Ints, value: Floats, span: int) -> tuple[Bits, Ints]:
    total = np.concatenate([[0.0], np.cumsum(value)])
    start = np.searchsorted(time, time - span, side="left")
    return np.asarray(holds(c, np.round(total[1:] - total[start], 6)), dtype=np.bool_), start.astype(np.int64)


def _temporal(c: Correlation, time: Ints, rule: Ints, span: int) -> tuple[Bits, Ints]:
    at = np.arange(len(time))
    last = np.stack([np.maximum.accumulate(np.where(rule == r, at, -1)) for r in range(len(c.rules))])
    recent = (last >= 0) & (time - time[np.maximum(last, 0)] <= span)
    first = np.where(recent, last, len(time)).min(axis=0)
    if c.kind == "temporal_ordered":
        return _ordered(c, time, rule, span)
    if c.condition is not None:
        index = {name: i for i, name in enumerate(c.rules)}
        return np.asarray(truth(c.condition, lambda name: recent[index[name]]), dtype=np.bool_), first
    return np.asarray(holds(c, recent.sum(axis=0)), dtype=np.bool_), first


def _ordered(c: Correlation, time: Ints, rule: Ints, span: int) -> tuple[Bits, Ints]:
    """Rules one after the other: of all chains of some length the one that began last is the shortest in time."""
    n, k = len(time), len(c.rules)
    wanted = min(least(c), k) if c.condition is None else k
    chains = np.full((wanted + 1, k), -1, dtype=np.int64)  # by length and last rule: the hit that the chain began with
    fits, first = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int64)
    for at in range(n):
        r = int(rule[at])
        for length in range(wanted, 0, -1):
            begin = at if length == 1 else int(chains[length - 1, :r].max(initial=-1))
            chains[length, r] = max(chains[length, r], begin)
        begin = int(chains[wanted, r])
        fits[at] = begin >= 0 and time[at] - time[begin] <= span
        first[at] = max(begin, 0)
    return fits, first


def windows(c: Correlation, hits: pl.DataFrame) -> pl.DataFrame:
    """Judge spans that follow one another.

    Args:
        c: the correlation.
        hits: ``group``, ``window``, ``time``, ``rule``, ``value``, in order of time.

    Returns:
        One row a group and window that holds any: ``group``, ``window``, ``events``, ``value``, ``fits``.
    """
    value = pl.col("value")
    number = value.cast(pl.Float64, strict=False)
    kinds = {
        "event_count": pl.len().cast(pl.Float64),
        "value_count": value.drop_nulls().n_unique().cast(pl.Float64),
        "value_sum": number.sum(),
        "value_avg": number.mean(),
        "value_median": number.median(),
        "value_percentile": number.quantile((c.percentile or 0) / 100, "linear"),
    }
    if c.kind in TEMPORAL:
        order = hits.group_by("group", "window", maintain_order=True).agg(pl.len().alias("events"), "rule")
        came = [_came(c, rules) for rules in order["rule"].to_list()]
        fits = [bool(fit) for fit, _ in came]
        return order.drop("rule").with_columns(
            value=pl.Series([number for _, number in came], dtype=pl.Float64), fits=pl.Series(fits, dtype=pl.Boolean)
        )
    out = hits.group_by("group", "window", maintain_order=True).agg(
        pl.len().alias("events"), kinds[c.kind].alias("value")
    )
    fits_ = np.asarray(holds(c, out["value"].fill_null(np.nan).to_numpy()), dtype=np.bool_)
    known = out["value"].is_not_null().to_numpy()
    return out.with_columns(fits=pl.Series(fits_ & known, dtype=pl.Boolean))


def _came(c: Correlation, rules: Sequence[int]) -> tuple[bool, float]:
    """Return whether the rules that came in a window satisfy the condition, and how many there were of them."""
    kinds = set(rules)
    number = float(len(kinds))
    if c.kind == "temporal_ordered":
        number = float(_longest(rules))
    if c.condition is None:
        return bool(holds(c, number)), number
    index = {name: i for i, name in enumerate(c.rules)}
    return bool(truth(c.condition, lambda name: index[name] in kinds)), number


def _longest(rules: Sequence[int]) -> int:
    """Return the length of the longest chain of different rules in their order."""
    tails: list[int] = []
    for rule in rules:
        at = next((i for i, tail in enumerate(tails) if tail >= rule), len(tails))
        if at == len(tails):
            tails.append(rule)
        else:
            tails[at] = rule
    return len(tails)


def empty_fits(c: Correlation) -> bool:
    """Return whether a span without any hit satisfies the condition: silence."""
    if c.kind not in ("event_count", "value_count") or slides(c) or not c.bounds:
        return False
    return bool(holds(c, 0.0))
