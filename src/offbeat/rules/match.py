"""Rules on single events: one frame in, the rows that fit out. Stateless, so frames may be cut anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.rules.columns import Frame, folded
from offbeat.rules.evaluate import Mask, evaluate, longest
from offbeat.rules.expr import TEXTUAL, Expr, Match, every, fields, leaves, replaced, searches
from offbeat.rules.fields import unpacked, wanted
from offbeat.rules.logsources import FORMAT, gate
from offbeat.rules.patterns import required
from offbeat.rules.rule import Filter, Rule

#: What rules may read of what the models know; such rules are evaluated on scored events.
SCORED: Final = (
    *("offbeat.score", "offbeat.p_value", "offbeat.session"),
    *("offbeat.template", "offbeat.template_id", "offbeat.new_template"),
    *("offbeat.value", "offbeat.gap", "offbeat.address"),
)
#: By field, the literals to look for and the whole values to compare with, in lower case.
Needed = tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]]
#: Columns of EVENTS that rules read.
COLUMNS: Final = ("file", "line", "timestamp", "level", "source", "message")


class Matcher:
    """Evaluates many rules at once.

    Args:
        rules: what to look for.
        filters: joined to the conditions of the rules that they name.
        formats: the format of each file, as the readers call it; events of formats not known may be of any log.
        gated: whether a rule is for the events of its log source only.
        more: further fields whose values are wanted of the rows that fit, for correlations.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        filters: Sequence[Filter] = (),
        formats: Sequence[str | None] = (),
        *,
        gated: bool = True,
        more: Iterable[str] = (),
    ) -> None:
        self.rules = tuple(rules)
        self.formats = tuple(formats)
        self.gated = gated
        self.exprs = [expression(rule, filters) for rule in self.rules]
        self.gates = [gate(rule.logsource) for rule in self.rules]
        whole = [every(g, e) if gated else e for g, e in zip(self.gates, self.exprs, strict=True)]
        self._whole = whole
        self.fields = sorted({name for expr in (*whole, *self.gates) for name in fields(expr)} | set(more))
        self.more = tuple(more)
        self._literals, self._exact = _needed((*whole, *self.gates))
        self._narrowed: dict[tuple[bool, ...], Needed] = {}

    @property
    def names(self) -> list[str]:
        """Names of fields to ask of the readers."""
        return wanted([name for name in self.fields if name != FORMAT])

    @property
    def searches(self) -> bool:
        """Whether a rule searches whole events, so that all fields are wanted."""
        return any(searches(expr) for expr in self._whole)

    @property
    def scored(self) -> bool:
        """Whether a rule reads what only the models know."""
        return any(name in SCORED for name in self.fields)

    def frame(self, events: pl.DataFrame) -> Frame:
        """Return events with the columns that the rules ask for."""
        if self.formats and "file" in events.columns and FORMAT not in events.columns:
            kinds = pl.Series(self.formats, dtype=pl.String)
            events = events.with_columns(kinds.gather(events["file"]).alias(FORMAT))
        return Frame(unpacked(events, self.names), self._literals, self._exact)

    def rows(self, events: pl.DataFrame) -> list[NDArray[np.int64]]:
        """Return, by rule, the rows of ``events`` that fit, ascending."""
        frame = self.frame(events)
        # Rules for other logs are most of a pack, and what they look for is not worth looking for here.
        here = tuple(not self.gated or evaluate(g, frame).constant is not False for g in self.gates)
        if not all(here):
            frame.look_for(*self._needed_by(here))
        nowhere = np.zeros(0, dtype=np.int64)
        return [
            np.flatnonzero(evaluate(expr, frame).rows(len(frame))) if one else nowhere
            for expr, one in zip(self._whole, here, strict=True)
        ]

    def _needed_by(self, here: tuple[bool, ...]) -> Needed:
        """Return what some of the rules look for; ``_needed``."""
        if here not in self._narrowed:
            some = [(g, e) for g, e, one in zip(self.gates, self._whole, here, strict=True) if one]
            self._narrowed[here] = _needed([expr for pair in some for expr in pair])
        return self._narrowed[here]

    def mask(self, frame: Frame, expr: Expr) -> Mask:
        """Evaluate one expression, for explaining."""
        return evaluate(expr, frame)


def expression(rule: Rule, filters: Sequence[Filter] = ()) -> Expr:
    """Return the rule's condition with its selections in place, joined by *and* with the filters that name it."""
    made = replaced(rule.condition, rule.selections.__getitem__)
    for one in filters:
        if applies(one, rule):
            inner = replaced(one.condition, one.selections.__getitem__)
            if one.expires is not None:
                from offbeat.rules.expr import Not, some

                # From then on the filter holds whatever the event, and so leaves nothing out.
                inner = some(inner, Not(Match(None, "before", (one.expires,))))
            made = every(made, inner)
    return made


def applies(one: Filter, rule: Rule) -> bool:
    """Return whether a filter is for a rule: its log source covers the rule's, and it names it, or any."""
    if not one.logsource.covers(rule.logsource):
        return False
    return one.rules is None or any(key in one.rules for key in (rule.id, rule.name, rule.title) if key)


def _needed(exprs: Iterable[Expr]) -> Needed:
    """Return, by field, the literals to look for and the whole values to compare with, in lower case."""
    literals: dict[str, dict[str, None]] = {}
    exact: dict[str, dict[str, None]] = {}
    for expr in exprs:
        for leaf in leaves(expr):
            if leaf.op not in TEXTUAL:
                texts = [folded(x) for v in leaf.values for x in required(str(v))] if leaf.op == "regex" else []
                literals.setdefault(leaf.field or "", {}).update(dict.fromkeys(texts))
                continue
            for value in leaf.values:
                if isinstance(value, tuple):
                    parts = [p for p in value if isinstance(p, str)] if leaf.field is None else [longest(value)]
                    literals.setdefault(leaf.field or "", {}).update(dict.fromkeys(folded(p) for p in parts if p))
                elif leaf.op == "equals":
                    exact.setdefault(leaf.field or "", {})[folded(str(value))] = None
                elif value != "":
                    literals.setdefault(leaf.field or "", {})[folded(str(value))] = None
    return {k: list(v) for k, v in literals.items()}, {k: list(v) for k, v in exact.items()}
