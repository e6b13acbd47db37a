"""The fewest events to add, remove or move that turn a verdict: a search over edits, every answer scored.

Of equally few events those are better that are fewer changes, runs of events that are added, removed or moved
(``edits.changes``). What is least is hard to find (edits interact, and the score is a maximum, which does not move
until all that is strange is gone). So the search starts from what no answer can do without, where that is known: where
that alone turns the verdict, nothing less does, and it is done. Else it is led by how much is left above the threshold
over all views, tries what belongs together at once (what a near normal sequence has otherwise, all events of a
template), starts from whole differences to near normal sequences as well, and takes back of what turns the verdict
whatever is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from offbeat.explain.cores import Edits, Needs, cores
from offbeat.explain.edits import Codes, Edit, Nearest, Score, apply, changes, differences

NOTHING_KNOWN: Final = Needs()
#: What a change costs beside its events, so little that it decides only between equally many of these.
CHANGE_COST: Final = 1e-4
#: Groups of edits tried at once: events of all these sequences together, and at least and at most so many groups.
_EVENTS: Final = 6_000
_LEAST_TRIED: Final = 40
_MOST_TRIED: Final = 320
#: Groups kept to be joined with others, and states kept, each round.
_JOINED: Final = 24
_STATES: Final = 4
#: Rounds, each of which adds one group.
_ROUNDS: Final = 4
#: Near normal sequences whose differences are tried, and of them those whose whole differences are taken back.
_NEAR: Final = 5
_TAKEN_BACK: Final = 2
#: Of all that turn the verdict the cheapest are stripped of what they do not need.
_STRIPPED: Final = 2
#: So many edits are tried to be left out one by one.
_EXACT: Final = 60


@dataclass(frozen=True)
class Counterfactual:
    """The fewest events found that turn the verdict, checked by scoring again.

    Each edit is needed: without any one of them the sequence is not below the threshold. (Of more than ``_EXACT`` this
    is tried of those at the ends of changes.)

    Attributes:
        changes: runs of edits, in the order of their places.
        codes: the sequence with them.
        score: of that sequence, below the threshold.
        at_least: no fewer edits than so many turn the verdict.
    """

    changes: list[list[Edit]]
    codes: Codes
    score: float
    at_least: int = 0

    @property
    def edits(self) -> list[Edit]:
        """All edits, one an event."""
        return [edit for change in self.changes for edit in change]


def fewest(
    codes: Codes,
    score: Score,
    threshold: float,
    near: Sequence[Nearest],
    left: Score | None = None,
    events: Codes | None = None,
    needs: Needs = NOTHING_KNOWN,
) -> Counterfactual | None:
    """Return the fewest edits found that bring the score below the threshold; None where none do.

    Args:
        codes: the sequence.
        score: scores sequences.
        threshold: below it a sequence is normal.
        near: normal sequences, nearest first.
        left: how much of a sequence is still strange, lower is nearer to normal; the score unless given. It leads the
            search and decides nothing.
        events: what is scored in place of the codes, one each; the codes themselves unless given.
        needs: what the sequence cannot be normal without. Nothing is known unless given.
    """
    search = _Search(codes, score, threshold, left or score, codes if events is None else events, needs)
    return search.run(near[:_NEAR])


def cost(edits: Sequence[Edit]) -> float:
    """Return what edits cost: 1 an event, and ``CHANGE_COST`` a change."""
    return len(edits) + CHANGE_COST * (len(changes(edits)) if len(edits) > 1 else 1)


class _Search:
    """One search; holds the best that was found."""

    def __init__(self, codes: Codes, score: Score, threshold: float, left: Score, events: Codes, needs: Needs) -> None:
        self.codes = codes
        self.events = events
        self.score = score
        self.threshold = threshold
        self.left = left
        self.many = max(_LEAST_TRIED, min(_MOST_TRIED, _EVENTS // max(1, len(codes))))
        self.found: dict[Edits, float] = {}
        self.least = np.inf
        self.needs = needs
        self.at_least = max(1, needs.at_least)

    def run(self, near: Sequence[Nearest]) -> Counterfactual | None:
        each = [differences(self.codes, n.codes) for n in near]
        begun = cores(self.codes, self.needs.each, each)
        left = self._tried(begun)
        if not self.done:
            self._search(each, begun, left)
        if not self.found:
            return None
        best = min(self.found, key=cost)
        return Counterfactual(changes(best), apply(self.codes, best), self.found[best], self.at_least)

    @property
    def done(self) -> bool:
        """Whether no fewer events turn the verdict than those of the best."""
        return self.least < self.at_least + 1

    def _search(self, each: Sequence[list[Edit]], begun: list[Edits], left: list[float]) -> None:
        """Find what turns the verdict by more than what is needed, and takes back what is not."""
        moves = self._moves(each)
        left, moves = [*left, *self._tried(moves)], [*begun, *moves]
        if self.done:
            return
        order = sorted(range(len(moves)), key=lambda i: (left[i], len(moves[i]), i))
        joined = [moves[i] for i in order[:_JOINED]]
        # What helps most for what it costs is not always what helps most.
        base = float(self.left([self.events])[0])
        gain = sorted(range(len(moves)), key=lambda i: ((left[i] - base) / cost(moves[i]), i))
        joined += [moves[i] for i in gain[: _JOINED // 2] if moves[i] not in joined]
        for whole in each[:_TAKEN_BACK]:
            self._cheapest(tuple(whole))
        self._join(joined)
        for some in sorted(self.found, key=cost)[:_STRIPPED]:
            self._cheapest(some)

    def _join(self, moves: Sequence[Edits]) -> None:
        """Join what helps most with what else helps, while that can still cost less than the best."""
        states = list(moves[:_STATES])
        for _ in range(_ROUNDS):
            grown = dict.fromkeys(_joined(s, m) for s in states for m in moves if _compatible(s, m))
            ready = [e for e in grown if len(e) + CHANGE_COST < self.least and cost(e) < self.least]
            if not ready:
                return
            ready = ready[: self.many]
            found = self._tried(ready)
            states = [ready[i] for i in np.lexsort(([len(e) for e in ready], found))[:_STATES]]

    def _tried(self, sets: Sequence[Edits]) -> list[float]:
        """Score sequences with each set of edits made, keep what turns the verdict, and return what is left of each."""
        if not sets:
            return []
        made = [apply(self.events, edits) for edits in sets]
        for edits, score in zip(sets, self.score(made).tolist(), strict=True):
            if edits and score < self.threshold:
                self.found[edits] = score
                self.least = min(self.least, cost(edits))
        return [float(x) for x in self.left(made)]

    def _moves(self, each: Sequence[list[Edit]]) -> list[Edits]:
        """Return single edits and groups of edits that belong together, the likeliest first."""
        codes, n = self.codes, len(self.codes)
        out: dict[Edits, None] = {}
        for edits in each:  # what a near normal sequence has otherwise in one place, or of one template
            out |= dict.fromkeys(tuple(run) for run in changes(edits))
            for template in dict.fromkeys(e.template for e in edits):
                out[tuple(e for e in edits if e.template == template)] = None
        for template in dict.fromkeys(codes):
            out[tuple(Edit("remove", i, c) for i, c in enumerate(codes) if c == template)] = None
        for edits in each:
            out |= dict.fromkeys((Edit("move", e.place, e.template, to),) for e, to in _elsewhere(edits))
            out |= dict.fromkeys((e,) for e in edits)
        missing = dict.fromkeys(e.template for edits in each for e in edits if e.how == "add")
        out |= {(Edit("add", n, t),): None for t in missing}
        out |= {(Edit("remove", i, c),): None for i, c in enumerate(codes)}
        later = (i for i in range(n - 1) if codes[i] != codes[i + 1])
        out |= {(Edit("move", i, codes[i], i + 2),): None for i in later}
        if self.events is not codes:  # one of the same in its place, with nothing odd about it but what it is
            again = {i: (Edit("add", i, c), Edit("remove", i, c)) for i, c in enumerate(codes)}
            out |= dict.fromkeys(again.values())
            for template in dict.fromkeys(codes):
                out[tuple(e for i, c in enumerate(codes) if c == template for e in again[i])] = None
        out |= {(Edit("add", i, t),): None for t in missing for i in range(n)}
        return list(out)[: self.many]

    def _cheapest(self, edits: Edits) -> Edits:
        """Make edits that turn the verdict cheaper, step by step, while they do: coarse steps before fine ones."""
        self._tried([edits])
        fine = False
        while edits in self.found:
            some = _each_left_out(edits) if fine else _parts_left_out(edits)
            fewer = [one for one in dict.fromkeys(some) if one and cost(one) < cost(edits)]
            left = self._tried(fewer)
            good = sorted(
                (cost(one), gap, i) for i, (one, gap) in enumerate(zip(fewer, left, strict=True)) if one in self.found
            )
            if good:
                edits, fine = self._without_all(edits, [fewer[i] for *_, i in good]), False
            elif fine:
                break
            else:
                fine = True
        return edits

    def _without_all(self, edits: Edits, good: Sequence[Edits]) -> Edits:
        """Return the cheapest that turns the verdict, of those without one part or without many: ``good``, best first.

        What can be left out by itself can often be left out together, so two, four, eight of them are tried at once.
        """
        kept, many = set(good[0]), []
        for i, one in enumerate(good[1:], 2):
            kept &= set(one)
            if i & (i - 1) == 0 or i == len(good):
                many.append(tuple(e for e in edits if e in kept))
        many = [one for one in dict.fromkeys(many) if one]
        self._tried(many)
        return min((one for one in (good[0], *many) if one in self.found), key=cost)


def _parts_left_out(edits: Edits) -> Iterable[Edits]:
    """Yield edits without a change, a half of it, or a template."""
    for run in changes(edits):
        half = len(run) // 2
        for gone in (run, run[:half], run[half:], run[1:-1]) if half > 1 else (run,):
            yield tuple(e for e in edits if e not in gone)
    for template in dict.fromkeys(e.template for e in edits):
        yield tuple(e for e in edits if e.template != template)


def _each_left_out(edits: Edits) -> Iterable[Edits]:
    """Yield edits without one of them; of very many only those at either end of a change are left out."""
    if len(edits) <= _EXACT:
        yield from ((*edits[:i], *edits[i + 1 :]) for i in range(len(edits)))
        return
    ends = dict.fromkeys(end for run in changes(edits) for end in (run[0], run[-1]))
    for end in list(ends)[:_EXACT]:
        at = edits.index(end)
        yield (*edits[:at], *edits[at + 1 :])


def _joined(one: Edits, other: Edits) -> Edits:
    """Return both sets of edits by place; those of one place keep their order."""
    return tuple(sorted((*one, *other), key=lambda e: e.place))


def _elsewhere(edits: Sequence[Edit]) -> Iterable[tuple[Edit, int]]:
    """Yield what is removed in one place and added in another, with that."""
    for edit in edits:
        if edit.how == "remove":
            to = {e.place for e in edits if e.how == "add" and e.template == edit.template}
            yield from ((edit, place) for place in sorted(to - {edit.place, edit.place + 1}))


def _compatible(one: Edits, other: Edits) -> bool:
    """Return whether two sets of edits can both be made: none touches an event that the other does."""
    return not _touched(one) & _touched(other) and not set(one) & set(other)


def _touched(edits: Edits) -> set[int]:
    return {e.place for e in edits if e.how != "add"}
