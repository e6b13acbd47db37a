"""The fewest edits that turn a verdict: a beam search over edits and groups of edits, every answer scored.

What is least is hard to find (edits interact, and the score is a maximum, which does not move until all that is strange
is gone), so the search is led by how much is left above the threshold over all views, tries what belongs together at
once (all events of a template; what a near normal sequence has otherwise of one), and takes back what is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from offbeat.explain.edits import Codes, Edit, Nearest, Score, apply, differences

#: Edits and groups tried by themselves, those kept to be joined with others, and states kept, each round.
_TRIED: Final = 320
_JOINED: Final = 24
_STATES: Final = 4
#: Rounds, each of which adds one edit or group.
_ROUNDS: Final = 5
#: Near normal sequences whose differences are tried.
_NEAR: Final = 5
#: Differences to so many near sequences are taken back until no more can be.
_TAKEN_BACK: Final = 2
#: Of more edits than this whole templates are taken back before single ones, which costs fewer tries.
_LONG: Final = 6

Edits = tuple[Edit, ...]


@dataclass(frozen=True)
class Counterfactual:
    """The fewest edits found that turn the verdict, checked by scoring again.

    Attributes:
        edits: in the order of their places.
        codes: the sequence with them.
        score: of that sequence, below the threshold.
    """

    edits: list[Edit]
    codes: Codes
    score: float


def fewest(
    codes: Codes,
    score: Score,
    threshold: float,
    near: Sequence[Nearest],
    left: Score | None = None,
    events: Codes | None = None,
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
    """
    return _Search(codes, score, threshold, left or score, codes if events is None else events).run(near[:_NEAR])


class _Search:
    """One search; holds the best that was found."""

    def __init__(self, codes: Codes, score: Score, threshold: float, left: Score, events: Codes) -> None:
        self.codes = codes
        self.events = events
        self.score = score
        self.threshold = threshold
        self.left = left
        self.best: tuple[Edits, float] | None = None

    def run(self, near: Sequence[Nearest]) -> Counterfactual | None:
        each = [differences(self.codes, n.codes) for n in near]
        moves = self._moves(each)
        left = self._tried(moves)
        order = sorted(range(len(moves)), key=lambda i: (left[i], len(moves[i]), i))
        joined = [moves[i] for i in order[:_JOINED]]
        # What helps most for each edit is not always what helps most.
        base = float(self.left([self.events])[0])
        gain = sorted(range(len(moves)), key=lambda i: ((left[i] - base) / len(moves[i]), i))
        joined += [moves[i] for i in gain[: _JOINED // 2] if moves[i] not in joined]
        states = joined[:_STATES]
        for _ in range(_ROUNDS):
            grown = dict.fromkeys(self._in_order((*s, *m)) for s in states for m in joined if _compatible(s, m))
            ready = [e for e in grown if self.best is None or len(e) < len(self.best[0])]
            if not ready:
                break
            found = self._tried(ready)
            states = [ready[i] for i in np.lexsort(([len(e) for e in ready], found))[:_STATES]]
        for whole in each[:_TAKEN_BACK]:
            self._take_back(self._in_order(whole))
        if self.best is None:
            return None
        self._take_back(self.best[0])
        edits, value = self.best
        return Counterfactual(list(edits), apply(self.codes, edits), value)

    def _in_order(self, edits: Iterable[Edit]) -> Edits:
        """Return edits by place; those of one place keep their order."""
        return tuple(sorted(edits, key=lambda e: e.place))

    def _tried(self, sets: Sequence[Edits]) -> list[float]:
        """Score sequences with each set of edits made, keep the best, and return what is left of each."""
        if not sets:
            return []
        made = [apply(self.events, edits) for edits in sets]
        scores = self.score(made)
        for i in np.flatnonzero(scores < self.threshold).tolist():
            if self.best is None or len(sets[i]) < len(self.best[0]):
                self.best = sets[i], float(scores[i])
        return [float(x) for x in self.left(made)]

    def _moves(self, each: Sequence[list[Edit]]) -> list[Edits]:
        """Return single edits and groups of edits that belong together."""
        codes = self.codes
        out: dict[Edits, None] = {}
        for edits in each:  # what a near normal sequence has otherwise of one template
            for template in dict.fromkeys(e.template for e in edits):
                out[tuple(e for e in edits if e.template == template)] = None
        for template in dict.fromkeys(codes):
            out[tuple(Edit("remove", i, c) for i, c in enumerate(codes) if c == template)] = None
        for edits in each:
            out |= dict.fromkeys((e,) for e in edits)
        missing = dict.fromkeys(e.template for edits in each for e in edits if e.how == "add")
        out |= {(Edit("add", len(codes), t),): None for t in missing}
        out |= {(Edit("remove", i, c),): None for i, c in enumerate(codes)}
        swaps = (i for i in range(len(codes) - 1) if codes[i] != codes[i + 1])
        out |= {(Edit("swap", i, codes[i]),): None for i in swaps}
        if self.events is not self.codes:  # one of the same in its place, with nothing odd about it but what it is
            again = {i: (Edit("add", i, c), Edit("remove", i, c)) for i, c in enumerate(codes)}
            out |= dict.fromkeys(again.values())
            for template in dict.fromkeys(codes):
                out[tuple(e for i, c in enumerate(codes) if c == template for e in again[i])] = None
        out |= {(Edit("add", i, t),): None for t in missing for i in range(len(codes))}
        return list(out)[:_TRIED]

    def _take_back(self, edits: Edits) -> None:
        """Leave out, one after the other, what is not needed; of many edits those of a whole template first."""
        self._tried([edits] if edits else [])
        groups = len(edits) > _LONG
        while len(edits) > 1:
            if groups:
                fewer = [tuple(e for e in edits if e.template != t) for t in dict.fromkeys(e.template for e in edits)]
            else:
                fewer = [(*edits[:i], *edits[i + 1 :]) for i in range(len(edits))]
            fewer = [some for some in fewer if some]
            left = self._tried(fewer)
            made = self.score([apply(self.events, some) for some in fewer])
            good = [i for i in range(len(fewer)) if made[i] < self.threshold]
            if good:
                edits = fewer[min(good, key=lambda i: (len(fewer[i]), left[i]))]
            elif groups:
                groups = False
            else:
                return


def _compatible(one: Edits, other: Edits) -> bool:
    """Return whether two sets of edits can both be made: none touches an event that the other removes or swaps."""
    mine, theirs = _touched(one), _touched(other)
    return not mine & theirs and not set(one) & set(other)


def _touched(edits: Edits) -> set[int]:
    out = set()
    for e in edits:
        if e.how != "add":
            out.add(e.place)
        if e.how == "swap":
            out.add(e.place + 1)
    return out
