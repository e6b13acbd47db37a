"""The feature table: what is known of each event, as numbers on one scale. docs/features.md describes every column.

After the feature extraction of the founding study (keywords, levels and time from text; response times, error codes and
use of resources from numbers), and the counts and gaps that this project adds. A column whose source a log does not
have is left out, so that the table also stands on templates alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.padded import UNKNOWN, Vocabulary
from offbeat.detect.ragged import Floats, Ints, Ragged

Table = NDArray[np.float32]

#: Lists of SEQUENCES that the table reads where they are there: times, severities, and numbers of events.
READS: Final = ("timestamps", "levels", "values", "codes", "usages")
#: Words of a template's text that count as keywords, by column.
KEYWORDS: Final[Mapping[str, str]] = {
    "error": r"errors?|err|exceptions?|traceback|fatal|panic|critical|corrupt\w*|segfault",
    "failure": r"fail|fails|failed|failures?|failing|abort\w*|crash\w*|killed|dropped|lost|unreachable|unavailable",
    "refusal": r"denied|den(?:y|ies)|refus\w+|reject\w+|forbidden|unauthori[sz]ed|invalid|illegal|blocked|banned",
    "timeout": r"time[ -]?outs?|timed[ -]out|expired|deadline|slow|stalled|hung|overdue",
    "warning": r"warn|warnings?|retry|retries|retrying|retried|again|unexpected|not found|missing|deprecated",
    "access": r"log[ -]?in|log[ -]?out|logged[ -](?:in|out|on|off)|auth\w*|passwords?|sessions?|users?|sudo|root|token",
    "transaction": r"transactions?|commit\w*|rollback|payments?|charged?|orders?|checkout|refund\w*|transfer\w*",
    "resource": r"memory|mem|heap|cpu|disk|quota|space|full|oom|load|pool|threads?|descriptors?|swap|queue",
}
#: What the number of a template is, by the words of its text, first that fits.
_NUMBERS: Final[Mapping[str, str]] = {
    "response time": r"\bms\b|\bsecs?\b|\bseconds?\b|millisec\w*|\bµs\b|\bus\b|took|elapsed|duration|latency|response|"
    r"\bdelay|\bin <\*>s\b|<\*> ?m?s\b",
    "error code": r"status|\bcode\b|errno|\brc\b|exit(?:ed)?\b|http/\d",
    "resource use": r"cpu|mem\b|memory|heap|disk|load|usage|used|free|percent|%|bytes?\b|size|[kmg]i?b\b|queue|pool",
}
#: Templates with a column of their own, the most frequent ones; the others share so many columns by a hash.
_OWN, _SHARED = 64, 16
#: The value of the column that marks a template never seen: as far from the usual as a number can be.
_UNSEEN: Final = 10.0
#: Numbers are cut off at so many standard deviations.
_MOST: Final = 10.0
#: To a template's own spread that of all templates, each about its own mean, is added as so many events.
_PRIOR: Final = 5.0
#: Least standard deviations, in the units of the columns before they are standardised.
_LEAST: Final[Mapping[str, float]] = {"count": 0.2, "gap": 0.25, "level": 1.0}
_LEAST_NUMBER: Final = 0.1
_MILLISECOND: Final = 1e-3
#: Names of fields that hold an error code, or a use of resources.
_CODE: Final = re.compile(r"(?i)(?:^|[._-])(?:status(?:_?code)?|code|errno|rc)$")
_USAGE: Final = re.compile(
    r"(?i)(?:^|[._-])(?:cpu|mem(?:ory)?|heap|disk|load|util(?:i[sz]ation)?|usage)(?:[._-]?(?:pct|percent|usage|used))?$"
)
_END: Final = "end of unit"


def number_fields(kinds: Mapping[str, str], main: str | None) -> dict[str, list[str]]:
    """Return the fields that hold numbers of an event beside its main one: error codes, and use of resources.

    Args:
        kinds: names of fields with what they hold; only those that hold a ``number`` or a ``category`` count.
        main: the field of the main number, which is left out.

    Returns:
        ``code`` and ``usage`` with the fields of each, if there are any; of several the first that an event has counts.
    """
    numbers = [name for name, kind in kinds.items() if kind in ("number", "category") and name != main]
    found = {"code": _CODE, "usage": _USAGE}
    return {what: some for what, words in found.items() if (some := [n for n in numbers if words.search(n)])}


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        name: unique.
        group: template, end, keyword, level, time of day, gap, count, response time, error code, resource use, number.
    """

    name: str
    group: str


def numbers_of_events(data: Ragged, texts: Sequence[str] = ()) -> dict[str, Floats]:
    """Return the columns of the table that are numbers, before they are standardised.

    Args:
        data: n sequences, with whichever of READS there are; times in seconds, levels as OpenTelemetry severities.
        texts: of the templates by code; what a number means is read from them.

    Returns:
        By column, float64 of shape (events,), NaN where an event has none: ``count`` ln(1 + how often its template has
        been in the unit so far), ``gap`` ln of the seconds since the event before plus a millisecond, ``level``, and
        ``response time``, ``error code``, ``resource use`` and ``number`` as asinh of the number.
    """
    found = {"count": np.log1p(_running_count(data))}
    extra = data.extra
    if "timestamps" in extra:
        gap = np.diff(extra["timestamps"], prepend=np.nan)
        gap[data.offsets[:-1][data.lengths > 0]] = np.nan
        # Events out of order are as close as can be.
        found["gap"] = np.log(np.maximum(gap, 0.0) + _MILLISECOND)
    if "levels" in extra:
        found["level"] = np.where(extra["levels"] > 0, extra["levels"], np.nan)
    if "values" in extra:
        kind = _kinds(texts, data.size)[data.ids] if len(data.ids) else np.zeros(0, dtype=np.int64)
        for i, name in enumerate([*_NUMBERS, "number"]):
            found[name] = np.where(kind == i, np.arcsinh(extra["values"]), np.nan)
    for name, of in (("codes", "error code"), ("usages", "resource use")):
        if name in extra:
            mine = np.arcsinh(extra[name])
            found[of] = np.where(np.isfinite(mine), mine, found.get(of, np.full(len(mine), np.nan)))
    return found


def _running_count(data: Ragged) -> Floats:
    """Return how often each event's template has been in its unit so far, itself included, shape (events,)."""
    key = data.rows * max(data.size, 1) + data.ids
    order = np.argsort(key, kind="stable")
    begins = np.flatnonzero(np.diff(key[order], prepend=-1))
    out = np.empty(len(key))
    out[order] = np.arange(len(key)) - np.repeat(begins, np.diff(np.append(begins, len(key)))) + 1
    return out


def _kinds(texts: Sequence[str], size: int) -> Ints:
    """Return what the number of each template is, as a position among ``_NUMBERS``; the last one is any number."""
    out = np.full(max(size, 1), len(_NUMBERS))
    for code, text in enumerate(texts[:size]):
        found = (i for i, words in enumerate(_NUMBERS.values()) if re.search(words, text, re.IGNORECASE))
        out[code] = next(found, len(_NUMBERS))
    return out


def keywords(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Return which keywords the texts hold, shape (texts, KEYWORDS)."""
    patterns = [re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE) for words in KEYWORDS.values()]
    found = [[bool(p.search(_split(text))) for p in patterns] for text in texts]
    return np.array(found, dtype=bool).reshape(len(texts), len(patterns))


def _split(text: str) -> str:
    """Return a text with blanks between the humps of identifiers: ``IOException`` holds an exception."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)


@dataclass(frozen=True)
class EventTable:
    """Makes the table: one row an event, one column a feature, standardised by what training held.

    Attributes:
        columns: of the table, in order.
        vocabulary: the templates that training held.
        own: of each of them, the column it has or shares, shape (templates,).
        scales: one row a template and one for all others (code null): the mean and spread of each number.
    """

    columns: tuple[Column, ...]
    vocabulary: Vocabulary
    own: Ints
    scales: pl.DataFrame

    @classmethod
    def learn(cls, data: Ragged, texts: Sequence[str] = ()) -> Self:
        """Learn the columns and their scales; a number that no event has gets no column."""
        vocabulary = Vocabulary.of(data)
        place = vocabulary.tokens(data.ids) - UNKNOWN - 1
        mass = np.bincount(place, data.weight[data.rows], len(vocabulary.codes))
        rank = np.empty(len(mass), dtype=np.int64)
        rank[np.argsort(-mass, kind="stable")] = np.arange(len(mass))
        own = np.where(rank < _OWN, rank, _OWN + _hash(vocabulary.codes))
        width = min(len(mass), _OWN) + (_SHARED if len(mass) > _OWN else 0)
        columns = [Column(f"template {i}", "template") for i in range(width)]
        columns += [Column("unseen", "template"), Column(_END, "end")]
        if len(texts):
            columns += [Column(f"keyword {name}", "keyword") for name in KEYWORDS]
        if "timestamps" in data.extra:
            columns += [Column(f"time of day {name}", "time of day") for name in ("sin", "cos")]
        numbers = {k: v for k, v in numbers_of_events(data, texts).items() if np.isfinite(v).any()}
        columns += [Column(name, name) for name in numbers]
        return cls(tuple(columns), vocabulary, own, _scales(place, data.weight[data.rows], numbers, len(mass)))

    @property
    def end(self) -> int:
        """The column for rows that say that a unit ends; it is 0 in the rows of events."""
        return [column.name for column in self.columns].index(_END)

    @property
    def groups(self) -> list[str]:
        """The groups of the columns, each once, in order."""
        return list(dict.fromkeys(column.group for column in self.columns))

    def usual(self, name: str, codes: Ints) -> Floats:
        """Return the mean of a number among events of templates with these codes, before it is standardised."""
        place = self.vocabulary.tokens(codes) - UNKNOWN - 1
        return np.asarray(self.scales[f"{name} mean"].to_numpy()[np.where(place >= 0, place, -1)], dtype=np.float64)

    def rows(self, data: Ragged, texts: Sequence[str] = ()) -> Table:
        """Return the table of sequences, float32 of shape (events, columns); what an event does not have is 0."""
        out = np.zeros((len(data.ids), len(self.columns)), np.float32)
        place = self.vocabulary.tokens(data.ids) - UNKNOWN - 1
        at = {column.name: i for i, column in enumerate(self.columns)}
        known = np.flatnonzero(place >= 0)
        out[known, self.own[place[known]]] = 1.0
        out[place < 0, at["unseen"]] = _UNSEEN
        if f"keyword {next(iter(KEYWORDS))}" in at and len(texts):
            codes, index = np.unique(data.ids, return_inverse=True)
            held = keywords([texts[code] if code < len(texts) else "" for code in codes])
            first = at[f"keyword {next(iter(KEYWORDS))}"]
            out[:, first : first + len(KEYWORDS)] = held[index]
        if "time of day sin" in at and "timestamps" in data.extra:
            angle = 2 * np.pi * (data.extra["timestamps"] % 86_400) / 86_400
            out[:, at["time of day sin"]] = np.nan_to_num(np.sin(angle))
            out[:, at["time of day cos"]] = np.nan_to_num(np.cos(angle))
        scale = np.where(place >= 0, place, len(self.scales) - 1)
        for name, values in numbers_of_events(data, texts).items():
            if name in at:
                mean, sd = (self.scales[f"{name} {what}"].to_numpy()[scale] for what in ("mean", "sd"))
                out[:, at[name]] = np.nan_to_num(np.clip((values - mean) / sd, -_MOST, _MOST))
        return out

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return what has to be saved, to be merged into a detector's ``State.frames``."""
        names = {"name": [c.name for c in self.columns], "group": [c.group for c in self.columns]}
        templates = pl.DataFrame({"code": self.vocabulary.codes, "column": self.own})
        return {"features": pl.DataFrame(names), "feature_templates": templates, "feature_scales": self.scales}

    @classmethod
    def restore(cls, frames: Mapping[str, pl.DataFrame]) -> Self:
        """Take up what ``frames`` gave."""
        templates = frames["feature_templates"]
        columns = tuple(Column(*row) for row in frames["features"].select("name", "group").iter_rows())
        vocabulary = Vocabulary(templates["code"].to_numpy())
        return cls(columns, vocabulary, templates["column"].to_numpy(), frames["feature_scales"])


def event_table(data: Ragged, texts: Sequence[str] = ()) -> tuple[Table, tuple[Column, ...]]:
    """Return the feature table of a log, standardised by itself, float32 of shape (events, columns), and its columns.

    Args:
        data: n sequences, with whichever of READS there are.
        texts: of the templates by code; empty where only ids are known.
    """
    made = EventTable.learn(data, texts)
    return made.rows(data, texts), made.columns


def _hash(codes: Ints) -> Ints:
    """Return a column among those shared for each code (Fibonacci hashing; Knuth, volume 3)."""
    mixed = (codes.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(32)).astype(np.int64) % _SHARED


def _scales(place: Ints, weight: Floats, numbers: Mapping[str, Floats], templates: int) -> pl.DataFrame:
    """Return the mean and standard deviation of each number by template; the last row is of all together."""
    out: dict[str, Any] = {}
    for name, values in numbers.items():
        some = np.flatnonzero(np.isfinite(values))
        x, w, at = values[some], weight[some], place[some]
        least = _LEAST.get(name, _LEAST_NUMBER)
        mass = np.bincount(at, w, templates)
        mean = np.average(x, weights=w)
        own = np.where(mass > 0, np.bincount(at, w * x, templates) / np.where(mass > 0, mass, 1.0), mean)
        rest = np.bincount(at, w * (x - own[at]) ** 2, templates)
        within = (rest + _PRIOR * rest.sum() / mass.sum()) / (mass + _PRIOR)
        spread = np.average((x - mean) ** 2, weights=w)
        out[f"{name} mean"] = np.append(own, mean)
        out[f"{name} sd"] = np.maximum(np.sqrt(np.append(within, spread)), least)
    return pl.DataFrame(out) if out else pl.DataFrame({"none": np.zeros(templates + 1)})
