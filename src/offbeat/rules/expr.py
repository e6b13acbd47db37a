"""What a rule asks of an event, as a small tree of plain dataclasses that goes to JSON and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Op = Literal[
    "equals",
    "contains",
    "startswith",
    "endswith",
    "glob",
    "regex",
    "any",
    "null",
    "exists",
    "cidr",
    "lt",
    "lte",
    "gt",
    "gte",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "same",
    "same_start",
    "same_end",
    "same_part",
    "before",
]

#: The two wildcards, as parts of a glob beside its literal texts.
MANY: Final = 0
ONE: Final = 1

#: Operations on text; ``cased`` says whether upper and lower case differ. A regular expression says that by itself.
TEXTUAL: Final = frozenset({"equals", "contains", "startswith", "endswith", "glob"})
#: Operations that compare with another field of the same event.
REFERENCES: Final = frozenset({"same", "same_start", "same_end", "same_part"})
#: Parts of a time.
PARTS: Final = ("minute", "hour", "day", "week", "month", "year")
#: Comparisons of numbers.
COMPARISONS: Final = ("lt", "lte", "gt", "gte")

Glob = tuple[str | int, ...]
Value = str | int | float | bool | Glob


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds."""

    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold; an absent field holds nothing, so its negation holds."""

    arg: Expr


@dataclass(frozen=True, slots=True)
class Ref:
    """A selection of the rule, or in a correlation's condition one of its rules, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Match:
    """One field against values, of which one has to fit.

    Attributes:
        field: name as the rule writes it; None searches the whole event.
        op: how values are compared; ``any`` holds where the field has a value, ``before`` where the event's own time
            lies before an ISO time.
        values: texts, numbers, or globs as tuples of literals and the wildcards MANY and ONE; names of fields for the
            operations in REFERENCES.
        cased: whether case counts.
    """

    field: str | None
    op: Op
    values: tuple[Value, ...] = ()
    cased: bool = False


Expr = All | Some | Not | Ref | Match

TRUE: Final = All(())


def every(*args: Expr) -> Expr:
    """Return the conjunction, without a level where there is one part."""
    return args[0] if len(args) == 1 else All(args)


def some(*args: Expr) -> Expr:
    """Return the disjunction, without a level where there is one part."""
    return args[0] if len(args) == 1 else Some(args)


def to_json(expr: Expr) -> dict[str, Any]:
    """Return the tree as values that JSON has."""
    match expr:
        case All(args):
            return {"all": [to_json(arg) for arg in args]}
        case Some(args):
            return {"some": [to_json(arg) for arg in args]}
        case Not(arg):
            return {"not": to_json(arg)}
        case Ref(name):
            return {"ref": name}
    out: dict[str, Any] = {"op": expr.op}
    if expr.field is not None:
        out["field"] = expr.field
    if expr.values:
        out["values"] = [list(value) if isinstance(value, tuple) else value for value in expr.values]
    if expr.cased:
        out["cased"] = True
    return out


def from_json(value: Mapping[str, Any]) -> Expr:
    """Return the tree that ``to_json`` wrote; raises KeyError or TypeError for anything else."""
    if "all" in value:
        return All(tuple(from_json(arg) for arg in value["all"]))
    if "some" in value:
        return Some(tuple(from_json(arg) for arg in value["some"]))
    if "not" in value:
        return Not(from_json(value["not"]))
    if "ref" in value:
        return Ref(value["ref"])
    values = tuple(tuple(one) if isinstance(one, list) else one for one in value.get("values", ()))
    return Match(value.get("field"), value["op"], values, value.get("cased", False))


def leaves(expr: Expr) -> Iterator[Match]:
    """Yield every comparison of the tree, in order."""
    match expr:
        case All(args) | Some(args):
            for arg in args:
                yield from leaves(arg)
        case Not(arg):
            yield from leaves(arg)
        case Match():
            yield expr


def refs(expr: Expr) -> Iterator[str]:
    """Yield every name that the tree refers to, in order."""
    match expr:
        case All(args) | Some(args):
            for arg in args:
                yield from refs(arg)
        case Not(arg):
            yield from refs(arg)
        case Ref(name):
            yield name


def replaced(expr: Expr, name: Callable[[str], Expr]) -> Expr:
    """Return the tree with each reference replaced by what ``name`` gives for it."""
    match expr:
        case All(args):
            return All(tuple(replaced(arg, name) for arg in args))
        case Some(args):
            return Some(tuple(replaced(arg, name) for arg in args))
        case Not(arg):
            return Not(replaced(arg, name))
        case Ref(what):
            return name(what)
    return expr


def fields(expr: Expr) -> set[str]:
    """Return the names of all fields that the tree reads; the whole event is not among them."""
    found = set()
    for leaf in leaves(expr):
        if leaf.field is not None:
            found.add(leaf.field)
        if leaf.op in REFERENCES:
            found.update(str(value) for value in leaf.values)
    return found


def searches(expr: Expr) -> bool:
    """Return whether the tree searches whole events for keywords."""
    return any(leaf.field is None and leaf.op != "before" for leaf in leaves(expr))


_SAID: Final[Mapping[str, str]] = {
    "equals": "is",
    "contains": "contains",
    "startswith": "starts with",
    "endswith": "ends with",
    "glob": "is like",
    "regex": "matches",
    "any": "has a value",
    "null": "is absent",
    "cidr": "is in",
    "lt": "<",
    "lte": "≤",
    "gt": ">",
    "gte": "≥",
    "same": "equals the field",
    "same_start": "starts with the field",
    "same_end": "ends with the field",
    "same_part": "contains the field",
    "before": "is before",
}
#: Values named in words before the rest is counted.
_NAMED: Final = 3


def words(leaf: Match) -> str:
    """Return the comparison in words: ``Image ends with 'cmd.exe'``."""
    name = "the event" if leaf.field is None else leaf.field
    if leaf.op == "before":
        name = "its time"
    if leaf.op == "exists":
        return f"{name} {'is there' if leaf.values[0] else 'is not there'}"
    said = f"’s {leaf.op} is" if leaf.op in PARTS else f" {_SAID[leaf.op]}"
    shown = [_shown(value) for value in leaf.values[:_NAMED]]
    more = f" or {len(leaf.values) - _NAMED:,} more" if len(leaf.values) > _NAMED else ""
    cased = " in this case" if leaf.cased and leaf.op in TEXTUAL else ""
    return f"{name}{said} {' or '.join(shown)}{more}{cased}".rstrip()


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return repr("".join({MANY: "*", ONE: "?"}.get(part, str(part)) if isinstance(part, int) else part
                            for part in value))  # fmt: skip
    return repr(value) if isinstance(value, str) else str(value)
