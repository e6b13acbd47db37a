"""Literals as Sigma rules and correlations: words that a person reads, and that other tools can evaluate, if possible.

https://github.com/SigmaHQ/sigma-specification, version 2.1. What other tools lack are the fields ``offbeat.…``.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from offbeat.errors import OptionError
from offbeat.explain.words import duration, shortened, times
from offbeat.proposal.literals import Term

#: How a template is written: its words with wildcards, the words alone, or by the template that offbeat finds.
Style = Literal["glob", "parts", "template"]
STYLES: Final[tuple[Style, ...]] = ("glob", "parts", "template")
#: A variable part of a template, and what ends one that was cut.
_GAP: Final = re.compile(r"<[\w*.:-]*>|\s?…$")
#: Fewer letters than this say too little.
_LEAST: Final = 4
#: Spans that people write, in seconds.
_SPANS: Final = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000)
#: What never comes is known when the log is over: a span, counted from 1970, that ends in 2069.
EVER: Final = 36_500 * 86_400
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SEVERITY: Final = {"low": "low", "medium": "medium", "high": "high", "critical": "critical"}
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")


def span(seconds: float) -> int:
    """Return the shortest usual span, in seconds, that is at least so long."""
    return next((s for s in _SPANS if s >= seconds), EVER)


def written(seconds: int) -> str:
    """Return seconds as Sigma writes spans: ``5m``."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


def escaped(text: str) -> str:
    """Return a text as a Sigma value that means it literally."""
    return re.sub(r"([\\*?])", r"\\\1", text)


def selection(text: str, style: Style) -> dict[str, Any] | None:
    """Return the selection of a template's events; None where the style cannot say it."""
    if style == "template":
        return {"offbeat.template": escaped(text)}
    pieces = [escaped(piece) for piece in _GAP.split(text)]
    if sum(len(word) for piece in pieces for word in _WORD.findall(piece)) < _LEAST:
        return None
    if style == "glob":
        return {"message": re.sub(r"\*{2,}", "*", "*".join(pieces))}
    parts = [piece.strip() for piece in pieces if _WORD.search(piece)]
    return {"message|contains|all": list(dict.fromkeys(parts))}


@dataclass
class Writer:
    """Writes the documents of one proposal.

    Attributes:
        texts: of the templates by code.
        unit: the word for a unit.
        by: the field that says which unit an event belongs to.
        seconds: the longest unit's length.
        value: the field that holds the number of an event.
        style: how templates are written.
    """

    texts: Sequence[str]
    unit: str
    by: str = "offbeat.session"
    seconds: float = 0.0
    value: str = "offbeat.value"
    style: Style = "glob"
    _base: dict[str, dict[str, Any]] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def documents(self, terms: Sequence[Term]) -> list[dict[str, Any]] | None:
        """Return the documents of a conjunction, the one that finds last; None where the style cannot say it."""
        self._base, self._names = {}, set()
        try:
            if len(terms) == 1 and terms[0].what in ("holds", "value", "gap"):
                return [self._head(terms) | self._detection(self._event(terms[0]))]
            return self._together(terms)
        except _Unsaid:
            return None

    def said(self, terms: Sequence[Term]) -> str:
        """Return a conjunction in words."""
        return " and ".join(self._said(term) for term in terms)

    def _said(self, term: Term) -> str:
        about = f"“{shortened(self.texts[term.template], 60)}”" if term.template >= 0 else ""
        match term.what:
            case "holds":
                return about
            case "lacks":
                return f"no {about}"
            case "at_least":
                return f"{about} {times(term.bound)} or more"
            case "at_most":
                return f"{about} only {times(term.bound)}" if term.bound > 1 else f"{about} no more than once"
            case "before":
                return f"{about} before “{shortened(self.texts[term.other], 60)}”"
            case "value":
                return f"{about} with {_number(term.bound):,} or {'less' if term.below else 'more'}"
            case "gap":
                return f"{about} after a pause of {duration(term.bound)} or more"
            case "longer":
                return f"{term.bound:,.0f} events or more in a {self.unit}"
        return f"no more than {term.bound:,.0f} events in a {self.unit}"

    def _head(self, terms: Sequence[Term]) -> dict[str, Any]:
        return {"title": shortened(self.said(terms), 200)}

    def _detection(self, chosen: dict[str, Any]) -> dict[str, Any]:
        return {"logsource": {"category": "any"}, "detection": {"events": chosen, "condition": "events"}}

    def _event(self, term: Term) -> dict[str, Any]:
        """Return the selection of single events that a literal is about."""
        any_event: dict[str, Any] = {self.by: "*"}
        chosen = selection(self.texts[term.template], self.style) if term.template >= 0 else any_event
        if chosen is None:
            raise _Unsaid
        if term.what in ("value", "gap"):
            name = self.value if term.what == "value" else "offbeat.gap"
            chosen[f"{name}|{'lte' if term.below else 'gte'}"] = _number(term.bound)
        return chosen

    def _rule(self, term: Term) -> str:
        """Return the name of the rule on single events that a literal needs, adding it where it is new."""
        chosen = self._event(term)
        for name, document in self._base.items():
            if document.get("detection", {}).get("events") == chosen:
                return name
        text = self.texts[term.template] if term.template >= 0 else "any event"
        name = self._named(" ".join(_GAP.split(text)))
        self._base[name] = {
            "title": shortened(text, 100) or name,
            "name": name,
            "level": "informational",
        } | self._detection(chosen)
        return name

    def _named(self, text: str) -> str:
        base = "_".join(_WORD.findall(text)[:4]).lower() or "events"
        base = f"{base}_events" if base in ("and", "or", "not", "of", "all", "any", "them") else base
        name = next(n for n in (base, *(f"{base}_{i}" for i in range(2, 1000))) if n not in self._names)
        self._names.add(name)
        return name

    def _part(self, term: Term) -> str:
        """Return the condition of one literal over rules."""
        if term.what in ("holds", "value", "gap"):
            return self._rule(term)
        if term.what == "lacks":
            return f"not {self._rule(term)}"
        inner = self._correlation(term)
        name = self._named(f"{term.what} {self._base[inner['rules'][0]]['title']}".replace("<", " "))
        self._base[name] = {"title": self._said(term), "name": name, "level": "informational", "correlation": inner}
        return name

    def _correlation(self, term: Term) -> dict[str, Any]:
        """Return what says one literal about several events."""
        if term.what == "before":
            rules = [self._rule(Term("holds", code)) for code in (term.template, term.other)]
            return {"type": "temporal_ordered", "rules": rules, "group-by": [self.by], "timespan": self._span()}
        ever = term.what in ("at_most", "shorter")
        return {
            "type": "event_count",
            "rules": [self._rule(Term("holds", term.template))],
            "group-by": [self.by],
            "timespan": written(EVER) if ever else self._span(),
            "condition": {"lte" if ever else "gte": int(term.bound)},
        }

    def _span(self) -> str:
        return written(span(self.seconds))

    def _together(self, terms: Sequence[Term]) -> list[dict[str, Any]]:
        head = self._head(terms)
        if len(terms) == 1 and terms[0].what != "lacks":
            whole = self._correlation(terms[0])
        else:
            parts = sorted((self._part(term) for term in terms), key=lambda part: part.startswith("not "))
            if parts[0].startswith("not "):
                parts.insert(0, self._rule(Term("holds")))
            negated = any(term.what in ("lacks", "at_most", "shorter") for term in terms)
            whole = {
                "type": "temporal",
                "rules": [part.removeprefix("not ") for part in parts],
                "group-by": [self.by],
                "timespan": written(EVER) if negated else self._span(),
                "condition": " and ".join(parts),
            }
        return [*self._base.values(), head | {"correlation": whole}]


class _Unsaid(Exception):  # noqa: N818 - it is no error, another style says it
    """A template cannot be written in this style."""


def _number(x: float) -> int | float:
    return int(x) if x == int(x) else x


def counted(
    title: str, events: dict[str, Any], group_by: Sequence[str], seconds: int, condition: dict[str, int]
) -> list[dict[str, Any]]:
    """Return documents that count events within a span.

    Args:
        title: of the rule.
        events: their selection.
        group_by: fields whose values they share.
        seconds: the span.
        condition: comparison and number, ``{"gte": 10}``.
    """
    base: dict[str, Any] = {"title": f"{title}: the events", "name": "events", "level": "informational"}
    base |= {"logsource": {"category": "any"}, "detection": {"events": events, "condition": "events"}}
    correlation: dict[str, Any] = {"type": "event_count", "rules": ["events"]}
    correlation |= {"group-by": list(group_by)} if group_by else {}
    correlation |= {"timespan": written(seconds), "condition": condition}
    return [base, {"title": shortened(title, 200), "correlation": correlation}]


def finished(documents: Sequence[dict[str, Any]], finding: dict[str, Any], description: str) -> str:
    """Return the documents as YAML: the last one with an id, a status, a description and a level.

    Raises:
        OptionError: PyYAML, which comes with the extra ``rules``, is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise OptionError("needs PyYAML", where="--as-rule", hint="pip install 'offbeat[rules]'") from None
    *inner, last = documents
    meta = {
        "title": last["title"],
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"offbeat:{finding['id']}")),
        "status": "experimental",
        "description": description,
        "author": "offbeat",
        "level": _SEVERITY.get(finding["severity"], "medium"),
    }
    made = [*inner, meta | last]
    text: str = yaml.safe_dump_all(made, sort_keys=False, allow_unicode=True, width=110)
    return text
