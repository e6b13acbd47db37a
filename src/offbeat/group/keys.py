"""What ties the events of one session together: a field, or a pattern in the text; given, or found by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Self

import polars as pl

from offbeat.errors import OptionError

#: Columns of EVENTS that can serve as a key beside the fields of the format.
_COLUMNS = ("source",)

#: Messages that are searched at a time.
_PART = 8_192
#: Least share of events that must carry a key for it to be found by itself.
_COVERAGE = 0.5
#: A session holds at least so many events on average; below, windows say more.
_EVENTS = 3.0
#: Fewer sessions than this teach nothing about what is usual.
_SESSIONS = 20

#: Share of values with white space in them from which on a field holds text, whatever its name.
_WORDS: Final = 0.1
#: Text that looks like an identifier: ``blk_-1``, ``req-uuid``, ``task_2008_m_01``; ``session=ab12``, ``TraceID: ab``.
_PREFIXED = r"\b([A-Za-z]{2,}[_-])-?[0-9a-f]*\d[0-9A-Fa-f_-]{3,}"
_NAMED = r"(?i)\b([a-z_.]*(?:id|session|request|req|trace|txn|transaction|job|task|call))\s?[=:]\s?[\"']?[\w.:-]{4,}"
#: An identifier that needs no name to be one (RFC 9562, 4).
_UUID = r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b"

#: What follows a prefix, and a name, in a pattern that was found.
_AFTER_PREFIX = r"-?[0-9A-Fa-f_-]+"
_AFTER_NAME = r"\s?[=:]\s?[\"']?([\w.:-]+)"
_FOUND = re.compile(rf"\\b(.+?)(?:({re.escape(_AFTER_PREFIX)})|{re.escape(_AFTER_NAME)})")

#: Field names that say what they are, best first; anything else is judged by its values alone.
_ID_FIELD = re.compile(
    r"(?i)(^|[._-])(trace|session|request|correlation|transaction|txn|block|flow|job|task|call|u)_?-?(id)?$"
)
_ENTITY_FIELD = re.compile(
    r"(?i)(^|[._-])(client|client_?ip|remote_?addr|ip|src_?ip|host|user|pid|process|thread|orig_h)$"
)


#: The reason of a key that a person named.
_GIVEN = "given"


@dataclass(frozen=True)
class Key:
    """A session key.

    Attributes:
        name: the field's name, or the regular expression's text.
        is_field: whether ``name`` is a field (or a column of EVENTS) rather than a regular expression.
        entity: its values come back (a client, a process number), so a long pause starts a new session.
        reason: why it was chosen, for the report.
    """

    name: str
    is_field: bool
    entity: bool = False
    reason: str = _GIVEN

    @property
    def words(self) -> str:
        """What it looks like in a line: a field's name, ``blk_…`` or ``request=…``; a user's own pattern as it is."""
        found = _FOUND.fullmatch(self.name)
        if self.name == _UUID:
            return "a UUID"
        return self.name if found is None else re.sub(r"\\(.)", r"\1", found[1]) + ("…" if found[2] else "=…")

    @property
    def column(self) -> str | None:
        """The column that has to be read for it; None for a pattern in the message."""
        if not self.is_field:
            return None
        return self.name if self.name in _COLUMNS else f"fields.{self.name}"

    def lists(self) -> pl.Expr:
        """Return the expression that gives each event's keys as List(String): all distinct ones, empty where none."""
        if self.column is not None:
            value = pl.col(self.column)
            return pl.when(value.is_null()).then(pl.lit([], pl.List(pl.String))).otherwise(pl.concat_list(value))
        matches = partial(_matches, self.name)
        found = pl.col("message").map_batches(matches, return_dtype=pl.List(pl.String), is_elementwise=True)
        if re.compile(self.name).groups:
            found = found.list.eval(pl.element().str.extract(self.name, 1))
            found = found.map_batches(_without_nulls, return_dtype=pl.List(pl.String), is_elementwise=True)
        return found.list.unique(maintain_order=True).fill_null([])

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the key that ``as_dict`` described."""
        return cls(**values)


def _matches(pattern: str, messages: pl.Series) -> pl.Series:
    """Return the distinct matches in each message, List(String), in order.

    Part by part, for Polars makes room for as many matches as the messages have characters, at first.
    """
    parts = [messages.slice(at, _PART) for at in range(0, max(len(messages), 1), _PART)]
    return pl.concat([part.str.extract_all(pattern).list.unique(maintain_order=True) for part in parts], rechunk=True)


def _without_nulls(lists: pl.Series) -> pl.Series:
    """Drop nulls, which are there only where a group took no part in a match: to look first costs nothing beside it."""
    return lists.list.drop_nulls() if lists.explode(empty_as_null=False).has_nulls() else lists


def parse_key(text: str, fields: Mapping[str, str]) -> Key:
    """Read what a user gave as ``--session-by``: a field of the format, a column, or a regular expression.

    Args:
        text: the option's value.
        fields: the fields the format names, with their kinds.

    Raises:
        OptionError: the regular expression does not compile, or matches the empty string.
    """
    if text in fields or text in _COLUMNS:
        return Key(text, is_field=True, entity=bool(_ENTITY_FIELD.search(text)) or text in _COLUMNS)
    try:
        compiled = re.compile(text)
        pl.select(pl.lit("x").str.extract_all(text))
    except (re.error, OverflowError, RecursionError, pl.exceptions.ComputeError) as problem:
        known = ", ".join([*list(fields)[:12], *_COLUMNS])
        raise OptionError(
            f"{text!r} is neither a field nor a regular expression that compiles: {str(problem).splitlines()[0]}",
            where="--session-by",
            hint=f"fields here: {known}",
        ) from None
    if any(not match[0] for match in compiled.finditer("a 1")) or compiled.match(""):
        raise OptionError(f"{text!r} matches the empty text, so every line", where="--session-by", hint="add a literal")
    return Key(text, is_field=False)


def no_key(key: Key, fields: Mapping[str, str]) -> OptionError:
    """Return the error for a key that no line carries."""
    if key.reason != _GIVEN:
        return OptionError(
            f"no line carries {key.words}, by which the model groups lines",
            where="log",
            hint="it is of another kind than what was learned from: learn from logs like it",
        )
    known = ", ".join([*list(fields)[:12], *_COLUMNS])
    return OptionError(
        f"no line carries the key {key.name!r}", where="--session-by", hint=f"a regular expression, or one of: {known}"
    )


def find_key(sample: pl.DataFrame, fields: Mapping[str, str]) -> tuple[Key | None, str]:
    """Find the field or pattern that ties events together best.

    Args:
        sample: EVENTS with the columns ``message`` and ``fields.NAME`` for the names in ``fields``.
        fields: the fields the format names, with their kinds.

    Returns:
        The key, or None where none is good enough, and the reason in words.
    """
    total = sample.height
    if total == 0:
        return None, "there are no events"
    candidates: list[tuple[float, Key]] = []
    for name in worth_trying(fields):
        column, named_id = f"fields.{name}", _ID_FIELD.search(name)
        if column in sample.columns:
            keys = sample.select(key=pl.col(column).cast(pl.String)).drop_nulls()
            if named_id and _is_text(keys["key"]):
                continue
            rated = _rate(keys, total, name)
            if rated:
                value, reason = rated
                key = Key(name, is_field=True, entity=named_id is None, reason=reason)
                candidates.append((value * (1.0 if named_id else 0.6), key))
    for pattern in _patterns(sample["message"], total):
        key = Key(pattern, is_field=False)
        keys = sample.select(key=key.lists()).explode("key").drop_nulls()
        rated = _rate(keys, total, key.words)
        if rated:
            value, reason = rated
            candidates.append((value * 0.9, Key(pattern, is_field=False, reason=reason)))
    if not candidates:
        return None, "no field or identifier ties enough lines together"
    best = max(candidates, key=lambda c: (c[0], c[1].name))[1]
    return best, best.reason


def _is_text(values: pl.Series) -> bool:
    """Whether values have several words, as a ``request`` that is no identifier but what was asked for."""
    return int(values.str.contains(r"\s").sum()) > _WORDS * len(values)


def _patterns(messages: pl.Series, total: int) -> list[str]:
    """Return regular expressions for the kinds of identifier that many lines hold."""
    out = []
    prefixes = messages.str.extract_all(_PREFIXED).list.eval(pl.element().str.extract(_PREFIXED, 1)).explode()
    for prefix, lines in prefixes.drop_nulls().value_counts(sort=True).head(4).rows():
        if lines >= total * _COVERAGE * 0.8:
            out.append(rf"\b{re.escape(prefix)}{_AFTER_PREFIX}")
    if int(messages.str.contains(_UUID).sum()) >= total * _COVERAGE:
        out.append(_UUID)
    names = messages.str.extract(_NAMED, 1)
    for name, lines in names.drop_nulls().value_counts(sort=True).head(4).rows():
        if lines >= total * _COVERAGE:
            out.append(rf"\b{re.escape(name)}{_AFTER_NAME}")
    return out


def _rate(keys: pl.DataFrame, total: int, name: str) -> tuple[float, str] | None:
    """Say how good a key is and why, from one row an event and key; None where it is no good."""
    counts = keys["key"].value_counts()["count"].to_numpy()
    if len(counts) < _SESSIONS:
        return None
    coverage = min(1.0, keys.height / total)
    mean = keys.height / len(counts)
    single = float((counts == 1).mean())
    if coverage < _COVERAGE or mean < _EVENTS or int(counts.max()) > 0.5 * keys.height:
        return None
    reason = f"{coverage:.0%} of the lines sampled carry {name}, {mean:.0f} events each"
    return coverage * (1 - 0.5 * single), reason


def worth_trying(fields: Mapping[str, str]) -> list[str]:
    """Return the names of fields that may be a key by what they are called."""
    return [name for name in fields if _ID_FIELD.search(name) or _ENTITY_FIELD.search(name)]
