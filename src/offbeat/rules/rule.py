"""Rules, correlations and filters as plain values: what is compiled, cached and shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from offbeat.errors import UserError
from offbeat.rules.expr import Expr, from_json, to_json

#: Sigma's levels, least first.
LEVELS: Final = ("informational", "low", "medium", "high", "critical")

#: Correlations whose condition can hold as soon as an event comes, and those that need the whole span.
TEMPORAL: Final = ("temporal", "temporal_ordered")
VALUED: Final = ("value_count", "value_sum", "value_avg", "value_percentile", "value_median")
TYPES: Final = ("event_count", *VALUED, *TEMPORAL)


class RuleError(UserError):
    """A rule cannot be used; ``where`` is its file and line, ``field`` the part of it that is to blame.

    Args:
        what: what is wrong.
        where: ``path:line``.
        hint: what is supported.
        field: the key in the rule, such as ``detection.selection.CommandLine|re``.
        title: of the rule.
    """

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, field: str = "", title: str = ""
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.field = field
        self.title = title

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        name = f"{self.field}: " if self.field else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{name}{self.what}{hint}"


@dataclass(frozen=True)
class LogSource:
    """The log that a rule is about; what is None may be anything.

    https://github.com/SigmaHQ/sigma-specification, rules specification, LogSource.
    """

    category: str | None = None
    product: str | None = None
    service: str | None = None

    def __str__(self) -> str:
        parts = (("product", self.product), ("category", self.category), ("service", self.service))
        return ", ".join(f"{name} {value}" for name, value in parts if value) or "any log"

    def covers(self, other: LogSource) -> bool:
        """Return whether this names a part of what ``other`` names, or the same: what a filter's must do."""
        mine, theirs = (self.category, self.product, self.service), (other.category, other.product, other.service)
        return all(a is None or a == b for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True)
class Rule:
    """A detection on single events.

    Attributes:
        title, id, name, level, status, tags, falsepositives: as the rule says.
        logsource: the log that it is about.
        selections: by name, what the rule calls search identifiers.
        condition: over the selections, by reference.
        where: ``path:line``.
        shown: fields that the author wants to be shown.
        notes: what is odd about the rule but does not keep it from being used.
    """

    title: str
    selections: Mapping[str, Expr]
    condition: Expr
    logsource: LogSource = LogSource()
    id: str | None = None
    name: str | None = None
    level: str = "medium"
    status: str | None = None
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class Correlation:
    """A rule about several events.

    Attributes:
        kind: one of TYPES.
        rules: ids or names of the rules, or further correlations, that it counts.
        group_by: fields whose values must agree.
        seconds: the length of the span.
        bounds: pairs of gt, gte, lt, lte, eq or neq and a number; all must hold.
        fields: whose values are counted or computed with.
        percentile: for value_percentile, 0..100.
        condition: over ``rules`` by reference, instead of ``bounds``; None otherwise.
        aliases: by alias, the field's name by rule.
        generate: whether its rules also stand alone.
    """

    title: str
    kind: str
    rules: tuple[str, ...]
    seconds: int
    group_by: tuple[str, ...] = ()
    bounds: tuple[tuple[str, float], ...] = ()
    fields: tuple[str, ...] = ()
    percentile: float | None = None
    condition: Expr | None = None
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    generate: bool = False
    id: str | None = None
    name: str | None = None
    level: str = "medium"
    status: str | None = None
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class Filter:
    """What is joined by *and* to the conditions of other rules; with an expiry it is a suppression.

    Attributes:
        rules: ids, names or titles of the rules; None is every rule of the log source.
        expires: ISO time from which on it no longer applies; None is never.
    """

    title: str
    selections: Mapping[str, Expr]
    condition: Expr
    logsource: LogSource
    rules: tuple[str, ...] | None = None
    expires: str | None = None
    id: str | None = None
    name: str | None = None
    notes: tuple[str, ...] = ()
    where: str = ""


Document = Rule | Correlation | Filter

_PLAIN: Final = ("title", "id", "name", "level", "status", "tags", "falsepositives", "shown", "notes", "where")


def _plain(document: Document) -> dict[str, Any]:
    values = {name: getattr(document, name) for name in _PLAIN if hasattr(document, name)}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items() if v not in (None, ())}


def to_dict(document: Document) -> dict[str, Any]:
    """Return a rule as values that JSON has."""
    out = _plain(document)
    if isinstance(document, Correlation):
        c = document
        out |= {"type": "correlation", "kind": c.kind, "rules": list(c.rules), "seconds": c.seconds}
        out |= {"group_by": list(c.group_by), "bounds": [list(b) for b in c.bounds], "fields": list(c.fields)}
        out |= {"aliases": {k: dict(v) for k, v in c.aliases.items()}, "generate": c.generate}
        out |= {"percentile": c.percentile, "condition": to_json(c.condition) if c.condition else None}
        return out
    out["logsource"] = [document.logsource.category, document.logsource.product, document.logsource.service]
    out["selections"] = {name: to_json(expr) for name, expr in document.selections.items()}
    out["condition"] = to_json(document.condition)
    if isinstance(document, Filter):
        out |= {"type": "filter", "rules": None if document.rules is None else list(document.rules)}
        out["expires"] = document.expires
    else:
        out["type"] = "rule"
    return out


def from_dict(values: Mapping[str, Any]) -> Document:
    """Return the rule that ``to_dict`` wrote; raises KeyError, TypeError or ValueError for anything else."""
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in _PLAIN}
    if values["type"] == "correlation":
        return Correlation(
            **plain,
            kind=values["kind"],
            rules=tuple(values["rules"]),
            seconds=values["seconds"],
            group_by=tuple(values["group_by"]),
            bounds=tuple((op, number) for op, number in values["bounds"]),
            fields=tuple(values["fields"]),
            percentile=values["percentile"],
            condition=from_json(values["condition"]) if values["condition"] else None,
            aliases=values["aliases"],
            generate=values["generate"],
        )
    made: dict[str, Any] = {
        "logsource": LogSource(*values["logsource"]),
        "selections": {name: from_json(expr) for name, expr in values["selections"].items()},
        "condition": from_json(values["condition"]),
    }
    if values["type"] == "filter":
        rules = values["rules"]
        return Filter(**plain, **made, rules=None if rules is None else tuple(rules), expires=values["expires"])
    if values["type"] != "rule":
        raise ValueError(values["type"])
    return Rule(**plain, **made)


def with_where(document: Document, where: str) -> Document:
    """Return the rule as of another place: a cached one may lie elsewhere now."""
    return replace(document, where=where)


def keys(document: Document) -> list[str]:
    """Return what the rule can be referred to by: its id, its name, its title."""
    return [key for key in (document.id, document.name, document.title) if key]
