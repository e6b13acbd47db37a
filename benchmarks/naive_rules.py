"""A rule evaluator as one would write it first: rule by rule, event by event. What `rules.py` compares with.

Also what `tests/rules` checks the columns' evaluator with: it shares nothing with it but the compiled rules.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from offbeat.rules.expr import All, Expr, Match, Not, Some

Event = Mapping[str, Any]


def fits(expr: Expr, event: Event) -> bool:
    """Return whether an event, a map of fields with `message`, fits an expression."""
    match expr:
        case All(args):
            return all(fits(arg, event) for arg in args)
        case Some(args):
            return any(fits(arg, event) for arg in args)
        case Not(arg):
            return not fits(arg, event)
        case Match():
            return _match(expr, event)
    raise TypeError(expr)


def _match(leaf: Match, event: Event) -> bool:
    if leaf.field is None:
        whole = " ".join(str(value) for value in event.values() if value is not None)
        values = [value if isinstance(value, tuple) else (0, value, 0) for value in leaf.values]
        if leaf.op == "regex":
            return any(re.search(str(v), str(x)) for v in leaf.values for x in event.values() if x is not None)
        return any(_glob(value, whole, leaf.cased) for value in values)
    value = event.get(leaf.field)
    if leaf.op in ("null", "exists"):
        return (value is None) == (leaf.op == "null" or not leaf.values[0])
    if value is None:
        return False
    return leaf.op == "any" or any(_fits(leaf, one, str(value), event) for one in leaf.values)


def _fits(leaf: Match, wanted: Any, value: str, event: Event) -> bool:
    if leaf.op in ("lt", "lte", "gt", "gte"):
        try:
            number = float(value)
        except ValueError:
            return False
        return {"lt": number < wanted, "lte": number <= wanted, "gt": number > wanted, "gte": number >= wanted}[leaf.op]
    if leaf.op == "regex":
        return re.search(wanted, value) is not None
    if leaf.op == "cidr":
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(wanted)
        except ValueError:
            return False
    if leaf.op == "same":
        return value.lower() == str(event.get(wanted)).lower()
    if leaf.op == "glob":
        return _glob(wanted, value, leaf.cased)
    if isinstance(wanted, int | float):
        return value == str(wanted)
    text = wanted if leaf.cased else wanted.lower()
    value = value if leaf.cased else value.lower()
    return {
        "equals": value == text,
        "contains": text in value,
        "startswith": value.startswith(text),
        "endswith": value.endswith(text),
    }[leaf.op]


def _glob(parts: Any, value: str, cased: bool) -> bool:
    if len(parts) == 3 and isinstance(parts[1], str) and parts[0] == parts[2] == 0:
        return parts[1] in value if cased else parts[1].lower() in value.lower()
    return _compiled(parts, cased).fullmatch(value) is not None


@cache
def _compiled(parts: Any, cased: bool) -> re.Pattern[str]:
    pattern = "".join((".*", ".")[p] if isinstance(p, int) else re.escape(p) for p in parts)
    return re.compile(pattern, re.DOTALL | (0 if cased else re.IGNORECASE))
