"""The values of one Sigma detection item, after pySigma applied its modifiers, as comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from sigma import types as kinds
from sigma.conditions import ConditionAND
from sigma.modifiers import (
    SigmaContainsModifier,
    SigmaEndswithModifier,
    SigmaStartswithModifier,
    reverse_modifier_mapping,
)
from sigma.rule import SigmaDetectionItem

from offbeat.rules.expr import MANY, ONE, Expr, Match, Not, Some, Value, every, some
from offbeat.rules.patterns import linear
from offbeat.rules.rule import RuleError

Placeholders = Mapping[str, Sequence[str]]
#: Makes the error for a key of the rule.
Refuse = Callable[..., RuleError]

LINEAR: Final = "expressions run in linear time, so without look-around, back-references and possessive quantifiers"
_COMPARED: Final = {
    kinds.CompareOperators.LT: "lt",
    kinds.CompareOperators.LTE: "lte",
    kinds.CompareOperators.GT: "gt",
    kinds.CompareOperators.GTE: "gte",
}


class Values:
    """Turns one item into an expression.

    Args:
        item: parsed by pySigma.
        placeholders: values for ``%name%`` under the modifier ``expand``.
        refuse: makes the error for what is wrong with a key of the selection.
    """

    def __init__(self, item: SigmaDetectionItem, placeholders: Placeholders, refuse: Refuse) -> None:
        self.item = item
        self.field = item.field
        self.placeholders = placeholders
        self._refuse = refuse

    def refuse(self, what: str, hint: str | None = None) -> RuleError:
        """Return the error for the item's key."""
        names = [reverse_modifier_mapping[modifier.__name__] for modifier in self.item.modifiers]
        return self._refuse(what, "|".join([self.field or "", *names]), hint=hint)

    def expr(self) -> Expr:
        """Return the item's comparisons, linked as it says."""
        values = [self._value(value) for value in self.item.value] or [Match(self.field, "null")]
        made = every(*values) if self.item.value_linking is ConditionAND else some(*_merged(values))
        return Not(made) if self.item.negated else made

    def _value(self, value: kinds.SigmaType) -> Expr:
        match value:
            case kinds.SigmaExpansion():
                return some(*_merged([self._value(inner) for inner in value.values]))
            case kinds.SigmaRegularExpression():
                return self._regex(value)
            case kinds.SigmaString():
                return some(*_merged([_text(self.field, text) for text in self._filled(value)]))
        if self.field is None:
            return self._keyword(value)
        return self._typed(self.field, value)

    def _keyword(self, value: kinds.SigmaType) -> Expr:
        if isinstance(value, kinds.SigmaNumber) and not isinstance(value, kinds.SigmaTimestampPart):
            return Match(None, "contains", (str(value.number),))
        if isinstance(value, kinds.SigmaBool):
            return Match(None, "contains", (str(value.boolean).lower(),))
        raise self.refuse("needs a field", "keywords are texts and regular expressions")

    def _typed(self, field: str, value: kinds.SigmaType) -> Expr:
        match value:
            case kinds.SigmaTimestampPart():
                return Match(field, value.timestamp_part.name.lower(), (value.number,))  # type: ignore[arg-type]  # pySigma's parts are ours
            case kinds.SigmaNumber():
                return Match(field, "equals", (value.number,))
            case kinds.SigmaBool():
                return Match(field, "equals", (str(value.boolean).lower(),))
            case kinds.SigmaNull():
                return Match(field, "null")
            case kinds.SigmaExists():
                return Match(field, "exists", (value.exists,))
            case kinds.SigmaCIDRExpression():
                return Match(field, "cidr", (str(value.network),))
            case kinds.SigmaCompareExpression():
                return Match(field, _COMPARED[value.op], (value.number.number,))  # type: ignore[arg-type]  # of our operations
            case kinds.SigmaFieldReference():
                ops = {(False, False): "same", (True, False): "same_start", (False, True): "same_end"}
                op = ops.get((value.starts_with, value.ends_with), "same_part")
                return Match(field, op, (value.field,))  # type: ignore[arg-type]  # one of those above
        raise self.refuse(f"{type(value).__name__} is not supported")

    def _regex(self, value: kinds.SigmaRegularExpression) -> Expr:
        given = [value]
        if value.contains_placeholder():
            given = list(value.replace_placeholders(self._placeholder))
        made = []
        for one in given:
            flags = "".join(sorted(one.sigma_to_re_flag[flag] for flag in one.flags))
            try:
                pattern = linear(str(one.regexp))
            except ValueError as error:
                raise self.refuse(f"{one.regexp} is refused: {error}", LINEAR) from None
            if SigmaStartswithModifier in self.item.modifiers:
                pattern = f"^(?:{pattern})"
            if SigmaEndswithModifier in self.item.modifiers and SigmaContainsModifier not in self.item.modifiers:
                pattern = f"(?:{pattern})$"
            made.append(f"(?{flags}){pattern}" if flags else pattern)
        return Match(self.field, "regex", tuple(made))

    def _filled(self, value: kinds.SigmaString) -> list[kinds.SigmaString]:
        if not value.contains_placeholder():
            return [value]
        made = value.replace_placeholders(self._placeholder)
        if isinstance(value, kinds.SigmaCasedString):
            return [kinds.SigmaCasedString.from_sigma_string(text) for text in made]
        return list(made)

    def _placeholder(self, placeholder: kinds.Placeholder) -> Iterator[Any]:
        if placeholder.name not in self.placeholders:
            hint = f"give its values: --expand {placeholder.name}=a,b"
            raise self.refuse(f"%{placeholder.name}% stands for values that are not known", hint)
        for text in self.placeholders[placeholder.name]:
            yield kinds.SigmaString(text)


def _merged(values: Sequence[Expr]) -> list[Expr]:
    """Join comparisons of one field that differ in their values only."""
    groups: dict[Any, list[Value]] = {}
    out: list[Any] = []
    for value in values:
        parts = value.args if isinstance(value, Some) else (value,)
        for part in parts:
            if isinstance(part, Match) and part.op not in ("exists", "null", "any"):
                key = (part.field, part.op, part.cased)
                if key not in groups:
                    out.append(key)
                groups.setdefault(key, []).extend(part.values)
            else:
                out.append(part)
    return [Match(k[0], k[1], tuple(groups[k]), k[2]) if isinstance(k, tuple) else k for k in out]


def _text(field: str | None, text: kinds.SigmaString) -> Match:
    """Return the comparison with a text that may hold wildcards; keywords are searched for anywhere."""
    cased = isinstance(text, kinds.SigmaCasedString)
    parts: list[str | int] = []
    for part in text.s:
        if isinstance(part, str):
            if parts and isinstance(parts[-1], str):
                parts[-1] += part
            else:
                parts.append(part)
        elif not (part is kinds.SpecialChars.WILDCARD_MULTI and parts and parts[-1] == MANY):
            parts.append(MANY if part is kinds.SpecialChars.WILDCARD_MULTI else ONE)
    if field is None:
        if not parts or parts[0] != MANY:
            parts.insert(0, MANY)
        if parts[-1] != MANY:
            parts.append(MANY)
    match parts:
        case []:
            return Match(field, "equals", ("",), cased)
        case [0]:
            return Match(field, "any")
        case [str(only)]:
            return Match(field, "equals", (only,), cased)
        case [0, str(only), 0]:
            return Match(field, "contains", (only,), cased)
        case [str(only), 0]:
            return Match(field, "startswith", (only,), cased)
        case [0, str(only)]:
            return Match(field, "endswith", (only,), cased)
    return Match(field, "glob", (tuple(parts),), cased)
