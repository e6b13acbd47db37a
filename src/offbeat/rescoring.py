"""How other sequences in the place of a unit would be judged: by the verdict of the run that the unit is from.

Sequences are template codes. Where events of the unit itself are in them they carry their place (``tagged``), so that
their times and numbers go with them: what was left out takes its pause with it, and what is added comes at once after
the event before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide import GROUP, Decision
from offbeat.detect import Detector, Ragged
from offbeat.learn import Learned
from offbeat.regime import Habits, joined

Floats = NDArray[np.float64]
Codes = list[int]
Raw = dict[str, Floats]

#: What a nat below the threshold counts for in how far a sequence is from normal: it decides between equals.
_LEFT: Final = 0.05
#: An event of the unit is its code, and its place from 1 on in the bits above.
_BITS: Final = 32
_CODE: Final = 2**_BITS - 1
#: Lists beside the templates that can be edited with them.
_EDITED: Final = ("timestamps", "values")


def tagged(codes: Sequence[int]) -> Codes:
    """Return a unit's own codes with the places of its events."""
    return [code + ((place + 1) << _BITS) for place, code in enumerate(codes)]


def plain(codes: Sequence[int]) -> Codes:
    """Return codes without places."""
    return [code & _CODE for code in codes]


@dataclass(frozen=True)
class Way:
    """One of the ways in which a sequence can be normal: every one of the views gives less than a line.

    Attributes:
        decision: what the views' scores are judged by.
        views: fitted, by name.
        line: what a view gives at most, excluded.
    """

    decision: Decision
    views: Mapping[str, Detector]
    line: float


@dataclass
class Rescoring:
    """Scores sequences as if they stood in the place of one unit.

    Attributes:
        learned: what the run was scored with.
        threshold: the run's own, from which on a unit is an anomaly.
        row: SEQUENCES of the unit, one row.
        raw: its raw scores by view, as they were, and its group where there are groups.
        texts: of the templates by code.
        habits: what a log that changed was judged by as well.
        own: views that learned it (``Habits.views``).
    """

    learned: Learned
    threshold: float
    row: pl.DataFrame
    raw: Mapping[str, float]
    texts: Sequence[str]
    habits: Habits | None = None
    own: Mapping[str, Detector] = field(default_factory=dict)
    _known: dict[tuple[int, ...], Floats] = field(default_factory=dict, repr=False)
    #: By view (its ``id``), what it reads beside templates, and its scores of sequences where that is nothing.
    _more: dict[int, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _of_templates: dict[int, dict[tuple[int, ...], float]] = field(default_factory=dict, repr=False)

    def fixed(self, detector: Detector, *, edited: bool = False) -> bool:
        """Say whether a view's score stays as it is while events are edited: it reads more than templates.

        With ``edited`` what it reads is only what can be edited with them, times and numbers, so that it does not.
        """
        more = self._reads(detector)
        if edited:
            more = tuple(name for name in more if name not in self._lists)
        return bool(more or detector.memory or (detector.needs_ends and self.row["open_at_end"][0]))

    def _reads(self, detector: Detector) -> tuple[str, ...]:
        if id(detector) not in self._more:
            self._more[id(detector)] = detector.read_from(self.row)
        return self._more[id(detector)]

    @cached_property
    def _lists(self) -> list[str]:
        return [name for name in _EDITED if name in self.row.columns and self.row[name][0] is not None]

    def raw_of(self, sequences: Sequence[Codes]) -> Raw:
        """Return each view's raw scores of sequences; a view that reads more than templates keeps what it was."""
        return self._scored(self.learned.views, sequences, edited=False)

    def _scored(self, views: Mapping[str, Detector], sequences: Sequence[Sequence[int]], *, edited: bool = True) -> Raw:
        """Return raw scores by view, shape (n,) each; a view that reads but templates looks once at the same ones."""
        keys = [tuple(plain(codes)) for codes in sequences]
        whole: Ragged | None = None
        last: tuple[list[tuple[int, ...]], Ragged] | None = None
        out = {}
        for name, detector in views.items():
            detector.texts = self.texts
            if self.fixed(detector, edited=edited):
                out[name] = np.full(len(keys), self.raw[name])
            elif self._reads(detector):
                whole = whole or self._laid_out(sequences)
                out[name] = detector.scores_of(whole)
            else:
                known = self._of_templates.setdefault(id(detector), {})
                fresh = list(dict.fromkeys(key for key in keys if key not in known))
                if last is None or last[0] != fresh:
                    last = fresh, _as_ragged(fresh)
                known |= zip(fresh, detector.scores_of(last[1]).tolist(), strict=True)
                out[name] = np.array([known[key] for key in keys])
        if GROUP in self.raw:
            out[GROUP] = np.full(len(keys), self.raw[GROUP])
        return out

    @cached_property
    def _numbers(self) -> Mapping[str, Floats]:
        return Ragged.of(self.row, self._lists).extra

    def _laid_out(self, sequences: Sequence[Sequence[int]]) -> Ragged:
        """Return sequences with the times and numbers of the events that are the unit's own."""
        bare = _as_ragged(sequences)
        flat, owner = bare.ids, bare.rows
        place = (flat >> _BITS) - 1
        own = place >= 0
        extra = {}
        for name, numbers in self._numbers.items():
            extra[name] = np.full(len(flat), np.nan)
            extra[name][own] = numbers[place[own]]
        if "timestamps" in extra:
            at = extra["timestamps"]
            at[own] -= _pauses(self._numbers["timestamps"], owner[own], place[own], len(bare))
            extra["timestamps"] = _in_time(at, owner)
        return Ragged(flat & _CODE, bare.offsets, bare.weight, extra)

    def score(self, sequences: Sequence[Codes]) -> Floats:
        """Return the scores that the verdict is made by, shape (n,): with the log's own habits where it changed."""
        return self._judged(sequences)[:, 0]

    def left(self, sequences: Sequence[Codes]) -> Floats:
        """Return how far sequences are from normal, shape (n,): what all views give beyond the threshold, together.

        The score is a maximum, which does not tell whether a change was for the better while something else is as
        strange.
        """
        return self._judged(sequences)[:, 1]

    def _judged(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """Return score and what is left of sequences, shape (n, 2); each is looked at once."""
        keys = [tuple(codes) for codes in sequences]
        fresh = list(dict.fromkeys(key for key in keys if key not in self._known))
        if fresh:
            found = np.stack(self._fresh(fresh), axis=1)
            self._known |= dict(zip(fresh, found, strict=True))
        return np.stack([self._known[key] for key in keys]) if keys else np.zeros((0, 2))

    def _fresh(self, sequences: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
        decision = self.learned.decision
        if self.habits is None:
            # Of a log that changed and holds too much to be kept this is more than the verdict asks.
            given = decision.surprise(self._scored(self.learned.views, sequences))
            return decision.fuse(given), _beyond(given, self.threshold)
        itself = self.habits.decision
        slow = {name: view for name, view in self.learned.views.items() if name not in self.own}
        given = itself.surprise(self._scored(slow, sequences) | self._scored(self.own, sequences))
        own = itself.fuse(given)
        # The log's habits alone can only excuse, so what they do not is left at that; the rest is scored in full.
        score = joined(np.full(len(sequences), np.inf), decision, own, itself)
        good = np.flatnonzero(score < self.threshold)
        if len(good):
            learned = decision(self._scored(self.learned.views, [sequences[int(i)] for i in good]))
            score[good] = joined(learned, decision, own[good], itself)
        line = self.threshold - decision.threshold + itself.threshold
        return score, _beyond(given, line)

    def ways(self, threshold: float) -> list[Way]:
        """Return the ways in which a sequence can score below a threshold."""
        decision = self.learned.decision
        out = [Way(decision, self.learned.views, threshold)]
        if self.habits is not None:
            itself = self.habits.decision
            line = threshold - decision.threshold + itself.threshold
            out.append(Way(itself, {**self.learned.views, **self.own}, line))
        return out

    @property
    def hopeless(self) -> bool:
        """Whether what cannot be changed by edits makes the verdict by itself."""
        return all(self.stuck(way) for way in self.ways(self.threshold))

    def stuck(self, way: Way) -> bool:
        """Whether what cannot be changed by edits is flagged in one way of being normal."""
        stays = {
            name: np.array([self.raw[name]])
            for name, view in self.learned.views.items()
            if self.fixed(view, edited=True)
        }
        return bool(self.given(way, stays, 1)[0] >= way.line)

    def scored(self, views: Mapping[str, Detector], sequences: Sequence[Codes]) -> Raw:
        """Return raw scores of sequences by some of the views."""
        return self._scored(views, sequences)

    def given(self, way: Way, raw: Raw, n: int) -> Floats:
        """Return the most that some views give, by one way of being normal, to each of n raw scores, shape (n,)."""
        group = {GROUP: np.full(n, self.raw[GROUP])} if GROUP in self.raw else {}
        most = np.maximum.reduce([np.zeros(n), *way.decision.surprise({**raw, **group}).values()])
        return np.asarray(most, dtype=np.float64)


def _as_ragged(sequences: Sequence[Sequence[int]]) -> Ragged:
    """Return sequences of codes as flat arrays."""
    lengths = np.array([len(codes) for codes in sequences], dtype=np.int64)
    flat = np.fromiter((code for codes in sequences for code in codes), np.int64, int(lengths.sum()))
    return Ragged(flat, np.concatenate(([0], np.cumsum(lengths))), np.ones(len(lengths)))


def _pauses(times: Floats, owner: NDArray[np.int64], place: NDArray[np.int64], n: int) -> Floats:
    """Return how much earlier each event of a unit comes in a sequence that lacks some: by the pauses before those.

    Args:
        times: of the unit's events, in seconds.
        owner: of each event that a sequence has, which sequence.
        place: and the event's place in the unit.
        n: how many sequences there are.
    """
    pause = np.nan_to_num(np.diff(times, prepend=times[:1]))
    lacks = np.ones((n, len(times)), dtype=np.bool_)
    lacks[owner, place] = False
    return np.asarray(np.cumsum(lacks * pause, axis=1)[owner, place], dtype=np.float64)


def _in_time(times: Floats, owner: NDArray[np.int64]) -> Floats:
    """Return times with each gap as the event before, or at the start the one after, and in order within sequences."""
    at = np.arange(len(times))
    known = ~np.isnan(times)
    before = np.maximum.accumulate(np.where(known, at, -1)) if len(at) else at
    after = np.minimum.accumulate(np.where(known, at, len(at))[::-1])[::-1] if len(at) else at
    out = times.copy()
    for source in (before, after):
        inside = (source >= 0) & (source < len(at))
        same = np.zeros(len(at), dtype=np.bool_)
        same[inside] = owner[source[inside]] == owner[inside]
        fill = np.isnan(out) & same
        out[fill] = times[source[fill]]
    # Two that change places leave their times where they were.
    return out[np.lexsort((out, owner))]


def _beyond(surprise: Raw, threshold: float) -> Floats:
    """Return what all views give beyond a threshold, shape (n,), and a little of what they give below it."""
    parts = [np.maximum(s - threshold, 0.0) + _LEFT * s for s in surprise.values()]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)
