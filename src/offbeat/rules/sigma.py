"""Sigma rules, parsed by pySigma, as our own trees. The only module that imports it.

https://github.com/SigmaHQ/sigma-specification, version 2.1. pySigma (LGPL-2.1) is imported, none of it is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from offbeat.errors import OptionError
from offbeat.rules.expr import Expr, Not, Ref, every, refs, some
from offbeat.rules.patterns import linear
from offbeat.rules.places import Places
from offbeat.rules.rule import LEVELS, Document, Filter, LogSource, Rule, RuleError

try:
    import re2  # type: ignore[import-untyped]  # comes with pySigma
    import yaml
    from sigma import exceptions as problems
    from sigma import policy
    from sigma.conditions import (
        ConditionAND,
        ConditionIdentifier,
        ConditionNOT,
        ConditionOR,
        ConditionSelector,
        SigmaCondition,
    )
    from sigma.modifiers import modifier_mapping
    from sigma.policy.regex_engine import RE2RegexEngine
    from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections, SigmaRule
    from sigma.rule.base import SigmaYAMLLoader, check_alias_expansion
except ImportError as missing:
    raise OptionError(
        f"reading Sigma rules needs {missing.name}", where="rules", hint="pip install 'offbeat[rules]'"
    ) from None

from offbeat.rules.sigma_values import LINEAR, Placeholders, Values

MODIFIERS: Final = tuple(sorted({*modifier_mapping, "utf16le"}))
#: What modifiers take that do not take text.
_TAKES: Final = {
    "lt lte gt gte minute hour day week month year": "a number, without quotes",
    "exists": "true or false",
    "i m s ignorecase multiline dotall": "an expression, with re before them",
}
_LOGSOURCE: Final = "category, product or service"


def compile_text(text: str, path: str, placeholders: Placeholders | None = None) -> list[Document | RuleError]:
    """Compile all documents of a rule file.

    Args:
        text: YAML of one or several documents.
        path: shown in errors.
        placeholders: values for ``%name%`` under the modifier ``expand``.

    Returns:
        One item a document: what it compiles to, or why it cannot be used.
    """
    loader = SigmaYAMLLoader(text)
    out: list[Document | RuleError] = []
    try:
        with _own_expressions():
            while loader.check_node():
                node = loader.get_node()
                value = loader.construct_document(node)
                if value is not None:
                    out.append(_compile(value, Places(node, path), placeholders or {}))
    except RecursionError:
        hint = "fewer brackets or “not” within one another"
        out.append(RuleError("is nested more deeply than can be followed", where=f"{path}:1", hint=hint))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        said = getattr(error, "problem", None) or str(error).split("\n")[0]
        out.append(RuleError(f"is no YAML: {said}", where=f"{path}:{line}", hint="see https://yaml.org"))
    finally:
        loader.dispose()
    return out


class _Linear(RE2RegexEngine):
    """Says what expressions can be used: those that Rust's engine evaluates here, which are not quite RE2's.

    What RE2 does not know it would write to stderr, past Python.
    """

    def compile(self, pattern: str, flags: int = 0) -> Any:
        """Return what finds the selections of a condition; of a value, which pySigma only asks about, maybe None.

        Raises:
            ValueError: the expression cannot be used.
        """
        linear(pattern)
        quiet = re2.Options()
        quiet.log_errors = False
        try:
            return re2.compile(pattern, quiet)
        except re2.error:
            return None

    @property
    def error(self) -> type[Exception]:
        """What ``compile`` raises."""
        return ValueError


@contextmanager
def _own_expressions() -> Iterator[None]:
    """Have pySigma ask ``_Linear`` for as long; whoever else uses it in this process keeps what they had."""
    before = policy.default_policy
    policy.default_policy = replace(before, regex_engine=_Linear())
    try:
        yield
    finally:
        policy.default_policy = before


def _compile(value: Any, places: Places, placeholders: Placeholders) -> Document | RuleError:
    title = ""
    try:
        if not isinstance(value, dict):
            raise RuleError("is no rule but a " + type(value).__name__, where=places.where(), hint="a map with a title")
        title = str(value.get("title") or "")
        if "action" in value:
            hint = "write rules out, and correlations as documents of their own"
            raise RuleError("collections by action are of Sigma 1", where=places.where("action"), hint=hint)
        check_alias_expansion(value)
        if "correlation" in value:
            from offbeat.rules.sigma_correlation import compile_correlation

            return compile_correlation(value, places)
        return _Compiler(value, places, placeholders).document()
    except RuleError as error:
        error.title = error.title or title
        return error
    except (problems.SigmaError, TypeError, ValueError, AttributeError, KeyError) as error:
        what = str(error) if isinstance(error, problems.SigmaError) else f"cannot be understood: {error}"
        return RuleError(what, where=places.where(), title=title)


class _Compiler:
    """Turns one parsed document into a rule or a filter."""

    def __init__(self, value: dict[str, Any], places: Places, placeholders: Placeholders) -> None:
        self.value = value
        self.places = places
        self.placeholders = placeholders
        self.notes: list[str] = []
        self.section = "filter" if "filter" in value else "detection"

    def refuse(self, what: str, *keys: str | int, hint: str | None = None) -> RuleError:
        return RuleError(what, where=self.places.where(*keys), hint=hint, field=".".join(map(str, keys)))

    def document(self) -> Document:
        detection = self.value.get(self.section)
        if not isinstance(detection, dict):
            what = "there is no detection" if detection is None else "is no map"
            raise self.refuse(what, self.section, hint="selections and a condition")
        self._common()
        meta = meta_of(self.value, self.places)
        logsource = self._logsource()
        names = [name for name in detection if name != "condition" and (self.section, name) != ("filter", "rules")]
        detections = SigmaDetections(
            {str(name): self._detection(str(name), detection[name]) for name in names}
            or self._nothing("no selection", self.section),
            [""],
        )
        selections = {name: self._linked(d, name) for name, d in detections.detections.items()}
        condition = self._condition(detection.get("condition"), detections)
        if self.section == "filter":
            keep = {name: meta[name] for name in ("title", "id", "name", "where")}
            rules = self._targets(detection.get("rules"))
            return Filter(
                **keep,
                selections=selections,
                condition=condition,
                logsource=logsource,
                rules=rules,
                expires=self._expires(),
                notes=tuple(self.notes),
            )
        return Rule(**meta, selections=selections, condition=condition, logsource=logsource, notes=tuple(self.notes))

    def _nothing(self, what: str, *keys: str) -> Any:
        raise self.refuse(f"there is {what}", *keys)

    def _common(self) -> None:
        """Let pySigma look at what all documents have; what is odd there does not keep a rule from being used."""
        _, errors = SigmaRule.from_dict_common_params(self.value, collect_errors=True)
        for error in errors:
            if isinstance(error, problems.SigmaTitleError):
                raise self.refuse(str(error), "title")
            self.notes.append(str(error))

    def _logsource(self) -> LogSource:
        given = self.value.get("logsource")
        if not isinstance(given, dict):
            what = "there is no log source" if given is None else "is no map"
            raise self.refuse(what, "logsource", hint=f"name {_LOGSOURCE}")
        parts = {name: given.get(name) for name in ("category", "product", "service")}
        for name, part in parts.items():
            if part is not None and not isinstance(part, str):
                raise self.refuse("is no text", "logsource", name)
        if not any(parts.values()):
            raise self.refuse("names no log", "logsource", hint=f"name {_LOGSOURCE}")
        return LogSource(**{name: part.lower() if part else None for name, part in parts.items()})

    def _targets(self, rules: Any) -> tuple[str, ...] | None:
        if isinstance(rules, str) and rules.lower() == "any":
            return None
        named = [rules] if isinstance(rules, str) else rules
        if not isinstance(named, list) or not all(isinstance(rule, str) for rule in named):
            raise self.refuse("says of no rule", "filter", "rules", hint="any, or a list of ids, names or titles")
        return tuple(named) or None

    def _expires(self) -> str | None:
        given = self.value.get("expires")
        if given is None:
            return None
        from datetime import UTC, date, datetime

        if isinstance(given, date) and not isinstance(given, datetime):
            given = datetime(given.year, given.month, given.day, tzinfo=UTC)
        try:
            time = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
        except ValueError:
            raise self.refuse(f"{given!r} is no time", "expires", hint="as in 2026-12-31") from None
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).isoformat()

    def _detection(self, name: str, definition: Any) -> SigmaDetection:
        """Let pySigma parse a selection; where it cannot, say which key is to blame."""
        definition = _renamed(definition)
        try:
            return SigmaDetection.from_definition(definition)
        except (problems.SigmaError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise self._located(name, definition, error) from None

    def _located(self, name: str, definition: Any, error: Exception) -> RuleError:
        for key, value in _items(definition):
            try:
                SigmaDetectionItem.from_mapping(key, value)
            except (problems.SigmaError, ValueError, TypeError, AttributeError, KeyError) as inner:
                hint = None
                if isinstance(inner, problems.SigmaTypeError):
                    what, hint = _of_another_kind(str(key), value, inner)
                    return self.refuse(what, self.section, name, str(key), hint=hint)
                if isinstance(inner, problems.SigmaModifierError):
                    hint = "there are " + ", ".join(MODIFIERS)
                elif isinstance(inner, problems.SigmaRegularExpressionError):
                    hint = LINEAR
                return self.refuse(str(inner) or type(inner).__name__, self.section, name, str(key), hint=hint)
        return self.refuse(str(error), self.section, name)

    def _linked(self, detection: SigmaDetection, name: str) -> Expr:
        parts = [
            self._item(part, name) if isinstance(part, SigmaDetectionItem) else self._linked(part, name)
            for part in detection.detection_items
        ]
        return every(*parts) if detection.item_linking is ConditionAND else some(*parts)

    def _item(self, item: SigmaDetectionItem, name: str) -> Expr:
        def refuse(what: str, key: str, hint: str | None) -> RuleError:
            return self.refuse(what, self.section, name, key, hint=hint)

        return Values(item, self.placeholders, refuse).expr()

    def _condition(self, given: Any, detections: SigmaDetections) -> Expr:
        conditions = given if isinstance(given, list) else [given]
        keys = (self.section, "condition")
        if not conditions or not all(isinstance(text, str) and text.strip() for text in conditions):
            raise self.refuse("there is no condition", *keys, hint="as in: selection and not filter")
        made = []
        for text in conditions:
            try:
                tree = SigmaCondition(text, detections).parse(postprocess=False)
                made.append(self._tree(tree, detections))
            except problems.SigmaError as error:
                hint = "not, and, or, brackets, 1 of NAME*, all of NAME*, 1 of them, all of them"
                raise self.refuse(str(error), *keys, hint=hint) from None
        whole = some(*made)
        self._note_unused(whole, detections)
        return whole

    def _tree(self, node: Any, detections: SigmaDetections) -> Expr:
        match node:
            case ConditionSelector():
                names = [found.identifier for found in node.resolve_referenced_detections(detections)]
                if not names:
                    what = f"no selection is called {node.pattern!r}"
                    raise self.refuse(what, self.section, "condition", hint=_named(detections))
                parts = tuple(Ref(name) for name in names)
                return every(*parts) if node.cond_class is ConditionAND else some(*parts)
            case ConditionIdentifier():
                if node.identifier not in detections.detections:
                    what = f"there is no selection {node.identifier!r}"
                    raise self.refuse(what, self.section, "condition", hint=_named(detections))
                return Ref(node.identifier)
            case ConditionNOT():
                return Not(self._tree(node.args[0], detections))
            case ConditionAND():
                return every(*(self._tree(arg, detections) for arg in node.args))
            case ConditionOR():
                return some(*(self._tree(arg, detections) for arg in node.args))
        raise self.refuse("cannot be understood", self.section, "condition")

    def _note_unused(self, condition: Expr, detections: SigmaDetections) -> None:
        used = set(refs(condition))
        unused = [name for name in detections.detections if name not in used and not name.startswith("_")]
        if unused:
            self.notes.append(f"the condition does not use {', '.join(unused)}")
        if self.section == "filter" and not any(isinstance(part, Not) for part in _parts(condition)):
            self.notes.append("its condition is joined by and; to leave events out it says not")


def meta_of(value: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """Return what all kinds of rules say of themselves."""

    def texts(name: str) -> tuple[str, ...]:
        given = value.get(name)
        return tuple(str(item) for item in given) if isinstance(given, list) else (str(given),) if given else ()

    level = str(value.get("level") or "medium").lower()
    return {
        "title": str(value["title"]),
        "id": str(value["id"]) if value.get("id") else None,
        "name": str(value["name"]) if value.get("name") else None,
        "level": level if level in LEVELS else "medium",
        "status": str(value["status"]) if value.get("status") else None,
        "tags": texts("tags"),
        "falsepositives": texts("falsepositives"),
        "shown": texts("fields"),
        "where": places.where(),
    }


def _of_another_kind(key: str, value: Any, error: Exception) -> tuple[str, str | None]:
    """Return what is wrong with a value that a key's modifiers cannot take, and what they take."""
    if not str(error).startswith("Modifier "):
        return str(error), None
    takes = {name: what for names, what in _TAKES.items() for name in names.split()}
    hint = next((takes[name] for name in reversed(key.split("|")) if name in takes), "text")
    return f"{value!r} is nothing that these modifiers take", f"write {hint}"


def _named(detections: SigmaDetections) -> str:
    return "there are " + ", ".join(detections.detections)


def _renamed(definition: Any) -> Any:
    """Call the modifier utf16le by the name that pySigma knows it by; the specification has both."""
    if isinstance(definition, list):
        return [_renamed(item) for item in definition]
    if not isinstance(definition, dict):
        return definition
    return {_wide(key): value for key, value in definition.items()}


def _wide(key: Any) -> Any:
    if not isinstance(key, str) or "|" not in key:
        return key
    name, *modifiers = key.split("|")
    return "|".join([name, *("wide" if modifier == "utf16le" else modifier for modifier in modifiers)])


def _items(definition: Any) -> Iterator[tuple[str | None, Any]]:
    if isinstance(definition, dict):
        yield from definition.items()
    elif isinstance(definition, list):
        for item in definition:
            yield from _items(item)
    else:
        yield None, definition


def _parts(expr: Expr) -> Iterator[Expr]:
    yield expr
    for inner in getattr(expr, "args", ()):
        yield from _parts(inner)
