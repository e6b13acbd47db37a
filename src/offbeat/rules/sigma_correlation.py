"""Sigma correlations, parsed by pySigma, as plain values.

https://github.com/SigmaHQ/sigma-specification, correlation rules, version 2.1.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from sigma import exceptions as problems
from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaCorrelationRule,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)

from offbeat.rules.expr import All, Expr, Not, Ref, every, some
from offbeat.rules.places import Places
from offbeat.rules.rule import TEMPORAL, TYPES, VALUED, Correlation, RuleError

OPERATORS: Final = ("gt", "gte", "lt", "lte", "eq", "neq")
_SPAN: Final = "a number and one of s, m, h, d, w, M or y, as in 90m"


def compile_correlation(value: dict[str, Any], places: Places) -> Correlation:
    """Compile one parsed document.

    Raises:
        RuleError: it cannot be used.
    """
    from offbeat.rules.sigma import meta_of

    given = value["correlation"]
    if not isinstance(given, dict):
        raise _refuse(places, "is no map", hint="type, rules, timespan and condition")
    bounds = _bounds(given, places)
    parsed = SigmaCorrelationRule.from_dict(_one_bound(value), collect_errors=True)
    notes = _checked(parsed, places)
    kind = parsed.type.name.lower()
    condition = parsed.condition
    extended = _tree(condition.parsed) if isinstance(condition, SigmaExtendedCorrelationCondition) else None
    rules = tuple(ref.reference for ref in parsed.rules or ())
    if extended is not None:
        assert isinstance(condition, SigmaExtendedCorrelationCondition)  # noqa: S101 - what extended was made of
        rules = rules or tuple(condition.get_referenced_rules())
    if extended is not None and kind == "temporal_ordered" and not _conjunction(extended):
        hint = "rules joined by and; for more, chain correlations"
        raise _refuse(places, "an order is that of rules which all come", "condition", hint=hint)
    if not rules:
        raise _refuse(places, "names no rules", "rules", hint="ids or names of rules")
    fields = _fields(given, kind, places)
    percentile = _percentile(given, kind, places)
    if kind not in TEMPORAL and not bounds:
        raise _refuse(places, "there is no condition", "condition", hint="one or more of " + ", ".join(OPERATORS))
    return Correlation(
        **meta_of(value, places),
        kind=kind,
        rules=rules,
        seconds=parsed.timespan.seconds,
        group_by=tuple(parsed.group_by or ()),
        bounds=bounds or ((("gte", float(len(rules))),) if extended is None else ()),
        fields=fields,
        percentile=percentile,
        condition=extended,
        aliases={a.alias: {ref.reference: name for ref, name in a.mapping.items()} for a in parsed.aliases},
        generate=parsed.generate,
        notes=tuple(notes),
    )


def _refuse(places: Places, what: str, *keys: str, hint: str | None = None) -> RuleError:
    path = ("correlation", *keys)
    return RuleError(what, where=places.where(*path), hint=hint, field=".".join(path))


def _bounds(given: Mapping[str, Any], places: Places) -> tuple[tuple[str, float], ...]:
    """Return the comparisons of a condition; several make a range, of which pySigma reads only one."""
    condition = given.get("condition")
    if not isinstance(condition, dict):
        return ()
    found = []
    for name, number in condition.items():
        if name in ("field", "percentile"):
            continue
        if name not in OPERATORS:
            hint = "there are " + ", ".join(OPERATORS)
            raise _refuse(places, f"{name!r} is no comparison", "condition", str(name), hint=hint)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _refuse(places, f"{number!r} is no number", "condition", name)
        found.append((str(name), float(number)))
    return tuple(found)


def _one_bound(value: dict[str, Any]) -> dict[str, Any]:
    """Return the document with one comparison, the most that pySigma takes."""
    condition = value["correlation"].get("condition")
    if not isinstance(condition, dict):
        return value
    made = copy.deepcopy(value)
    extra = [name for name in condition if name in OPERATORS][1:]
    made["correlation"]["condition"] = {k: v for k, v in condition.items() if k not in extra}
    return made


def _checked(parsed: SigmaCorrelationRule, places: Places) -> list[str]:
    """Raise what is wrong with the correlation itself; return what is merely odd."""
    notes = []
    for error in parsed.errors:
        match error:
            case problems.SigmaCorrelationTypeError():
                raise _refuse(places, str(error), "type", hint="there are " + ", ".join(TYPES))
            case problems.SigmaTimespanError():
                raise _refuse(places, str(error), "timespan", hint=_SPAN)
            case problems.SigmaCorrelationConditionError():
                raise _refuse(places, str(error), "condition")
            case problems.SigmaCorrelationRuleError():
                where = next((key for key in ("timespan", "group-by", "aliases", "rules") if key in str(error)), "")
                raise _refuse(places, str(error), *([where] if where else []))
            case problems.SigmaTitleError():
                raise RuleError(str(error), where=places.where("title"), field="title")
        notes.append(str(error))
    return notes


def _fields(given: Mapping[str, Any], kind: str, places: Places) -> tuple[str, ...]:
    condition = given.get("condition")
    field = condition.get("field") if isinstance(condition, dict) else None
    named = tuple(field) if isinstance(field, list) else (field,) if field is not None else ()
    if kind in VALUED and (not named or not all(isinstance(name, str) for name in named)):
        raise _refuse(places, f"{kind} needs a field", "condition", "field", hint="the field whose values count")
    if kind != "value_count" and len(named) > 1:
        raise _refuse(places, f"{kind} takes one field", "condition", "field")
    return named if kind in VALUED else ()


def _percentile(given: Mapping[str, Any], kind: str, places: Places) -> float | None:
    if kind != "value_percentile":
        return None
    number = given["condition"].get("percentile")
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 100:
        raise _refuse(places, f"{number!r} is no percentile", "condition", "percentile", hint="a number from 0 to 100")
    return float(number)


def _conjunction(expr: Expr) -> bool:
    return isinstance(expr, Ref) or (isinstance(expr, All) and all(isinstance(arg, Ref) for arg in expr.args))


def _tree(node: Any) -> Expr:
    match node:
        case SigmaRuleReference():
            return Ref(node.reference)
        case CorrelationConditionNOT():
            return Not(_tree(node.args[0]))
        case CorrelationConditionAND():
            return every(*(_tree(arg) for arg in node.args))
        case CorrelationConditionOR():
            return some(*(_tree(arg) for arg in node.args))
    raise TypeError(type(node).__name__)
