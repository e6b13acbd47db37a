"""Which new templates are old lines that a release worded anew.

A line that changed stops as another starts: in the same source, at the same place between the same neighbours, about
as often, and mostly with much the same words. None of these alone will do. What merely resembles an old line while
that goes on is something new; what comes instead of an old line without resembling it in text or place is, too.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.detect import Ragged
from offbeat.lives import LIVES, merged, one_each
from offbeat.memory import LINEAGE

#: Stand-ins for neighbours where a unit begins and ends; a neighbour whose line is not known is no neighbour.
_BEGIN, _END, _UNKNOWN = -1, -2, -3
#: A pair is one line from this similarity on (of text, place and rate together, 0 … 1).
_LEAST: Final = 0.5
#: What text, place, and rate count for; place is left out where a template stands in no unit.
_WEIGHTS: Final = (0.5, 0.4, 0.1)
#: Texts or places less alike than these do not serve alone.
_LEAST_TEXT, _LEAST_PLACE = 0.3, 0.6
#: An old line has stopped when so many of its events are missing; below, the release as a whole must vouch for it.
_MISSED: Final = 3.0
#: So many lines that changed at about the same time make a release.
_RELEASE: Final = 3
#: A line comes this many times more or less often than it used to, at most: days differ from nights.
_FASTER: Final = 3.0
#: Of an old line's usual events, the share that may still come after the new one has begun (instances not yet renewed).
_OVERLAP: Final = 0.1
#: So many events of an old line may be missing before the new one comes.
_SILENT: Final = 10
#: The most templates compared, the commonest.
_MOST_NEW, _MOST_OLD = 600, 3_000
_VARIABLE: Final = re.compile(r"<[^<>\s]*>")
_WARN: Final = 13


@dataclass(frozen=True)
class Changed:
    """One line that changed.

    Attributes:
        new: code of its new template; ``now`` its text.
        old: code of its old template; ``was`` its text.
        since: when the new one was first seen; ``order`` and ``place`` are those of LIVES.
        similarity: of text, place and rate together, 0 … 1.
    """

    new: int
    old: int
    now: str
    was: str
    since: datetime | None
    order: int
    place: int
    similarity: float = 0.0


@dataclass
class Places:
    """Which neighbours templates have within units, gathered while units stream by.

    Attributes:
        pairs: one row two neighbours: ``template``, ``side`` (-1 before it, 1 after), ``beside``, ``count``.
    """

    known: int = 0
    _parts: list[pl.DataFrame] = field(default_factory=list)

    def add(self, data: Ragged) -> None:
        """Take up sequences; with ``known`` above zero only the neighbours of codes from there on are kept."""
        if self.known:
            keep = np.unique(data.rows[data.ids >= self.known])
            data = data.take(keep)
        if not len(data.ids):
            return
        starts, ends = data.offsets[:-1][data.lengths > 0], data.offsets[1:][data.lengths > 0] - 1
        before, after = np.roll(data.ids, 1), np.roll(data.ids, -1)
        before[starts], after[ends] = _BEGIN, _END
        weight = data.weight[data.rows]
        sides = [
            pl.DataFrame({"template": data.ids, "side": side, "beside": beside, "count": weight})
            for side, beside in ((-1, before), (1, after))
        ]
        found = pl.concat(sides).filter(pl.col("template") >= self.known)
        self._parts.append(_summed(found))
        if len(self._parts) > 16:
            self._parts = [_summed(pl.concat(self._parts))]

    @property
    def pairs(self) -> pl.DataFrame:
        """The neighbours of each template."""
        return _summed(pl.concat(self._parts)) if self._parts else pl.DataFrame(schema=_PAIRS)

    def renamed(self, names: Mapping[int, int]) -> pl.DataFrame:
        """Return the neighbours with some codes replaced."""
        return _summed(self.pairs.with_columns(pl.col("template", "beside").replace(names))) if names else self.pairs


_PAIRS: Final = {"template": pl.Int64(), "side": pl.Int32(), "beside": pl.Int64(), "count": pl.Float64()}


def _summed(pairs: pl.DataFrame) -> pl.DataFrame:
    found = pairs.group_by("template", "side", "beside").agg(pl.col("count").sum())
    return found.select(pl.col(name).cast(kind) for name, kind in _PAIRS.items()).sort("template", "side", "beside")


def find_changed(
    before: pl.DataFrame,
    now: pl.DataFrame,
    places_before: pl.DataFrame,
    places_now: pl.DataFrame,
    texts: Sequence[str],
) -> list[Changed]:
    """Find the lines that changed between what was learned and a log, the earliest first.

    Args:
        before: LIVES of what was learned.
        now: LIVES of the log, with the same codes; codes that ``before`` lacks are new.
        places_before: pairs of ``Places`` over what was learned.
        places_now: pairs of ``Places`` over the log, of new codes at least.
        texts: of the templates by code.
    """
    if not before.height or not now.height:
        return []
    old, new = one_each(before), one_each(now)
    fresh = (
        new.join(old.select("template"), on="template", how="anti")
        .sort("events", "template", descending=[True, False])
        .head(_MOST_NEW)
    )
    if not fresh.height:
        return []
    log = _Log(int(new["events"].sum()), {row["template"]: row for row in new.iter_rows(named=True)})
    share = pl.col("events") / float(old["events"].sum())
    candidates = old.with_columns(share=share).sort("events", "template", descending=[True, False]).head(_MOST_OLD)
    by_source: dict[int, list[_Old]] = defaultdict(list)
    for row in candidates.iter_rows(named=True):
        by_source[row["source"]].append(
            _Old(row["template"], row["level"], row["share"], _grams(texts[row["template"]]))
        )
    tried = (
        log.pair(row, one, texts) for row in fresh.iter_rows(named=True) for one in by_source.get(row["source"], ())
    )
    pairs = [pair for pair in tried if pair is not None]
    # A seldom line that is like some old one but for a word most likely holds another value, and is no rewording.
    variants = {
        code
        for code, source in fresh.select("template", "source").iter_rows()
        if any(_differ_by_a_value(texts[code], texts[one.code]) for one in by_source.get(source, ()))
    }
    found = _matched(pairs, _neighbours(places_before), _neighbours(places_now), variants)
    return found + _variants(
        found, fresh, {row["template"]: row["source"] for row in fresh.iter_rows(named=True)}, texts
    )


def _variants(
    found: Sequence[Changed], fresh: pl.DataFrame, source: Mapping[int, int], texts: Sequence[str]
) -> list[Changed]:
    """Return further templates of lines that changed: their new words, or all but one of them, a value that varies."""
    taken = {one.new for one in found}
    out = []
    for row in fresh.iter_rows(named=True):
        code, now = row["template"], texts[row["template"]]
        if code in taken:
            continue
        same = (o for o in found if source[o.new] == row["source"])
        line = next((o for o in same if now == o.now or _differ_by_a_value(now, o.now)), None)
        if line is not None and row["first_order"] >= line.order:
            out.append(replace(line, new=code, now=now, order=row["first_order"], place=row["place"]))
    return out


@dataclass(frozen=True)
class _Old:
    code: int
    level: int
    share: float
    grams: frozenset[str]


@dataclass(frozen=True)
class _Pair:
    """A new and an old template that may be one line, before their places are compared."""

    changed: Changed
    text: float
    rate: float
    missed: float
    alarming: bool
    late: float


@dataclass(frozen=True)
class _Log:
    events: int
    lives: Mapping[int, Mapping[str, Any]]

    def pair(self, row: Mapping[str, Any], old: _Old, texts: Sequence[str]) -> _Pair | None:
        """Return the pair, or None where the old line goes on, or the rates cannot be one line's."""
        first, many = int(row["first_order"]), int(row["events"])
        left = self.events - first
        expected = old.share * left
        life = self.lives.get(old.code)
        last = -1 if life is None else int(life["last_order"])
        missed = old.share * (self.events - max(last, first))
        if last > first and missed < (1 - _OVERLAP) * expected and old.share * (last - first) > 1:
            return None
        apart = abs(math.log((many + 0.5) / (expected + 0.5)))
        slack = math.log(_FASTER) + 2 / math.sqrt(1 + min(many, expected))
        # A line may have been silent for a while before it comes back in new words, but not for long.
        silent = old.share * (first - last - 1)
        if apart > slack or (silent > _SILENT and last >= 0):
            return None
        # Where the log begins after the old line went, what came at once is more likely it than what came late.
        late = first / max(self.events, 1) if silent > _SILENT else 0.0
        now, was = texts[int(row["template"])], texts[old.code]
        text = _alike(_grams(now), old.grams)
        alarming = int(row["level"]) >= _WARN > old.level
        since, place = row["first_seen"], int(row["place"])
        changed = Changed(int(row["template"]), old.code, now, was, since, first, place)
        return _Pair(changed, text, 1 - apart / slack, missed, alarming, late)


_Sides = Mapping[int, Mapping[int, Mapping[int, float]]]  # template → side → neighbour → count


def _neighbours(pairs: pl.DataFrame) -> _Sides:
    out: dict[int, dict[int, dict[int, float]]] = defaultdict(lambda: {-1: {}, 1: {}})
    for template, side, beside, count in pairs.iter_rows():
        out[template][side][beside] = count
    return out


def _matched(pairs: Iterable[_Pair], before: _Sides, now: _Sides, variants: set[int]) -> list[Changed]:
    """Match new with old, the surest first: what is known of neighbours makes the next ones surer."""
    waiting, names, found = list(pairs), dict[int, int](), list[Changed]()
    new = {pair.changed.new for pair in waiting}
    # Where few lines changed nothing vouches for the rare ones, so the frequent are settled first.
    for vouched in (False, True):
        while True:
            scored = [(pair, _similarity(pair, before, now, names, new)) for pair in waiting]
            scored = [(pair, s) for pair, s in scored if s >= _LEAST and (vouched or pair.missed >= _MISSED)]
            if vouched and len(found) < _RELEASE:
                break
            if vouched:
                start = min(one.order for one in found)
                scored = [(p, s) for p, s in scored if p.changed.order >= start and p.text >= _LEAST]
                scored = [(p, s) for p, s in scored if p.changed.new not in variants]
            sure = _mutual(scored)
            if not sure:
                break
            for pair, similarity in sure:
                names[pair.changed.new] = pair.changed.old
                found.append(replace(pair.changed, similarity=round(similarity, 4)))
            taken = {pair.changed.old for pair, _ in sure}
            waiting = [p for p in waiting if p.changed.new not in names and p.changed.old not in taken]
    return sorted(found, key=lambda one: (one.order, one.new))


def _mutual(scored: Sequence[tuple[_Pair, float]]) -> list[tuple[_Pair, float]]:
    """Return the pairs that are each other's best; what began late gives way to what began at once."""
    ranked = sorted(scored, key=lambda item: (-item[1] * (1 - item[0].late), item[0].changed.new, item[0].changed.old))
    out, new, old = [], set[int](), set[int]()
    for pair, similarity in ranked:
        if pair.changed.new not in new and pair.changed.old not in old:
            out.append((pair, similarity))
        new.add(pair.changed.new)
        old.add(pair.changed.old)
    return out


def _similarity(pair: _Pair, before: _Sides, now: _Sides, names: Mapping[int, int], new: set[int]) -> float:
    """Return how alike a pair is, 0 … 1; 0 where its text and place together do not carry it."""
    place = _same_place(before.get(pair.changed.old), now.get(pair.changed.new), names, new)
    text, rate = pair.text, pair.rate
    if place is None:
        # Without a place the words must carry it.
        return (_WEIGHTS[0] * text + _WEIGHTS[2] * rate) / (_WEIGHTS[0] + _WEIGHTS[2]) if text >= _LEAST else 0.0
    if (text < _LEAST_TEXT and place < _LEAST_PLACE) or (pair.alarming and text < 2 * _LEAST_TEXT):
        return 0.0
    if text < _LEAST_TEXT and pair.missed < 4 * _MISSED:
        return 0.0
    # Other words at exactly the same place, as often, and the old line gone: it is that line.
    return max(_WEIGHTS[0] * text + _WEIGHTS[1] * place + _WEIGHTS[2] * rate, place * rate if place > 0.9 else 0.0)


def _same_place(
    old: Mapping[int, Mapping[int, float]] | None,
    new: Mapping[int, Mapping[int, float]] | None,
    names: Mapping[int, int],
    fresh: set[int],
) -> float | None:
    """Return how much the neighbours of two templates overlap, 0 … 1; None where one stands in no unit.

    Neighbours that are new themselves, and not yet known by an old name, say nothing; where most are such, the place
    is not known.
    """
    if old is None or new is None:
        return None
    overlaps = []
    for side in (-1, 1):
        there, here = _shares(old[side]), _shares(_renamed(new[side], names, fresh))
        known = 1 - here.get(_UNKNOWN, 0.0)
        if known > 0.3:
            overlaps.append(sum(min(share / known, there.get(code, 0.0)) for code, share in here.items()))
    return sum(overlaps) / len(overlaps) if overlaps else None


def _renamed(counts: Mapping[int, float], names: Mapping[int, int], fresh: set[int]) -> dict[int, float]:
    out: dict[int, float] = defaultdict(float)
    for code, count in counts.items():
        out[names.get(code, _UNKNOWN if code in fresh else code)] += count
    return out


def _shares(counts: Mapping[int, float]) -> dict[int, float]:
    total = sum(counts.values())
    return {code: count / total for code, count in counts.items()} if total else {}


def _grams(text: str) -> frozenset[str]:
    """Return the words of a template, cut into threes: what is left of a word when its ending changes."""
    words = re.findall(r"[^\W_]+", _VARIABLE.sub(" ", text.lower()))
    return frozenset(gram for word in words for gram in (f" {word} "[i : i + 3] for i in range(len(word))))


def _differ_by_a_value(one: str, other: str) -> bool:
    """Whether all but one word are the same: more likely another value of a variable part than other wording."""
    words, others = one.split(), other.split()
    return len(words) == len(others) and sum(a != b for a, b in zip(words, others, strict=True)) == 1


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Return Dice's coefficient, 0 … 1."""
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 0.0


def to_frame(changed: Sequence[Changed], ids: Sequence[str]) -> pl.DataFrame:
    """Return LINEAGE of lines that changed."""
    rows = [(ids[one.new], ids[one.old], one.since, one.similarity) for one in changed]
    return pl.DataFrame(rows, schema=LINEAGE, orient="row")


def renamed(units: pl.DataFrame, names: Mapping[int, int]) -> pl.DataFrame:
    """Return SEQUENCES with the codes of lines that changed replaced by those they had."""
    return units.with_columns(pl.col("templates").list.eval(pl.element().replace(names))) if names else units


def named_anew(texts: Sequence[str], names: Mapping[int, int]) -> list[str]:
    """Return the texts of templates by code, those of lines that changed as they are now."""
    out = list(texts)
    for new, old in sorted(names.items()):
        out[old] = texts[new]
    return out


def rename_lives(lives: pl.DataFrame, names: Mapping[int, int]) -> pl.DataFrame:
    """Return LIVES with the codes of lines that changed replaced by those they had."""
    return merged(lives.with_columns(pl.col("template").replace(names))).select(*LIVES) if names else lives
