"""The search for a rule: a short conjunction of literals that holds of one unit and of hardly any normal one.

A literal is something a rule can say of a unit: it holds a template, holds it so often, lacks it, has it before
another, has a number beyond a bound. Conjunctions grow one literal at a time, as one rule of a decision list does
(Rivest, 1987; CN2's beam search, Clark and Niblett, 1989), and the shortest that is quiet enough wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
What = Literal["holds", "value", "gap", "at_least", "lacks", "at_most", "before", "longer", "shorter"]

#: False alarms among normal units that a rule may have.
TOLERATED: Final = 0.001
#: The most literals of a rule.
_MOST: Final = 3
#: Literals and pairs that longer conjunctions are made of.
_BEAM: Final = 40
#: Templates looked at: those of the unit, and the most usual ones that it lacks.
_TEMPLATES: Final = 48
_LACKED: Final = 16
#: A template that fewer normal units hold is not missed.
_USUAL: Final = 0.5
#: How readily a literal is read, and written as a rule on single events: the first is the plainest.
_PLAIN: Final[dict[What, int]] = {
    "holds": 0, "value": 1, "gap": 1, "at_least": 2, "lacks": 3, "before": 4, "at_most": 5, "longer": 6, "shorter": 7,
}  # fmt: skip
#: By kind of evidence, the literals that say the same.
_SAYS: Final[dict[str, tuple[What, ...]]] = {
    "new pattern": ("holds",),
    "rare pattern": ("holds",),
    "labelled": ("holds",),
    "missing event": ("lacks",),
    "count": ("at_least", "lacks", "at_most", "holds"),
    "mix": ("at_least", "lacks", "at_most", "holds"),
    "relation": ("at_least", "lacks", "at_most"),
    "order": ("before", "holds"),
    "misfit": ("before", "holds"),
    "end": ("lacks", "shorter"),
    "length": ("longer", "shorter"),
    "latency": ("gap",),
    "value": ("value",),
}


@dataclass(frozen=True)
class Term:
    """One literal.

    Attributes:
        what: ``holds`` the template; ``lacks`` it; has it ``at_least`` or ``at_most`` ``bound`` times; has it
            ``before`` the template ``other``; has it with a ``value`` of ``bound`` or beyond, or with a ``gap`` of so
            many seconds before it; is ``longer`` or ``shorter`` than ``bound`` events, or as long.
        template: its code; -1 for the length.
        bound: see there.
        other: see there.
        below: the value is at most ``bound`` rather than at least.
    """

    what: What
    template: int = -1
    bound: float = 0.0
    other: int = -1
    below: bool = False


@dataclass(frozen=True)
class Corpus:
    """Units to search in, their events one after the other.

    Attributes:
        ids: template codes of all events, shape (events,).
        offsets: where each unit begins, and the end, shape (n + 1,).
        weight: how many units each stands for, shape (n,).
        normal: which units must not be caught, shape (n,).
        values, gaps: of each event, the number in it, and the seconds since the one before in its unit; NaN where
            there is none. None where they are not known.
    """

    ids: Ints
    offsets: Ints
    weight: Floats
    normal: Bools
    values: Floats | None = None
    gaps: Floats | None = None

    @property
    def rows(self) -> Ints:
        """The unit of each event, shape (events,)."""
        return np.repeat(np.arange(len(self.weight)), np.diff(self.offsets))


@dataclass(frozen=True)
class Found:
    """A conjunction of literals.

    Attributes:
        terms: all hold.
        false: weight of the normal units that it holds of.
        caught: weight of the others that it holds of, with the one searched for.
    """

    terms: tuple[Term, ...]
    false: float
    caught: float


class _Table:
    """How often, where and with what the templates in question come in each unit."""

    def __init__(self, corpus: Corpus, unit: int) -> None:
        self.corpus = corpus
        self.unit = unit
        n = len(corpus.weight)
        codes = corpus.ids[corpus.offsets[unit] : corpus.offsets[unit + 1]]
        top = int(corpus.ids.max(initial=-1)) + 1
        rows = corpus.rows
        own, often = np.unique(codes, return_counts=True)
        # Of too many templates those that fewest units hold: what is in all of them says nothing.
        pairs = np.unique(rows[corpus.normal[rows]] * top + corpus.ids[corpus.normal[rows]])
        held = np.bincount(pairs % max(top, 1), weights=corpus.weight[pairs // max(top, 1)], minlength=top)
        own = own[np.lexsort((-often, held[own]))][:_TEMPLATES]
        usual = np.flatnonzero(held >= _USUAL * max(corpus.weight[corpus.normal].sum(), 1.0))
        usual = usual[~np.isin(usual, codes)]
        usual = usual[np.argsort(-held[usual], kind="stable")][:_LACKED]
        self.templates = np.concatenate([own, usual])
        self.own = set(own.tolist())
        self.codes = codes
        place = np.full(top, -1)
        place[self.templates] = np.arange(len(self.templates))
        at = np.flatnonzero(place[corpus.ids] >= 0)
        self.at, self.row, self.col = at, rows[at], place[corpus.ids[at]]
        shape = (n, len(self.templates))
        flat = self.row * shape[1] + self.col
        self.counts = np.bincount(flat, minlength=n * shape[1]).reshape(shape)
        inside = at - corpus.offsets[self.row]
        self.last = np.full(shape, -1, dtype=np.int64)
        np.maximum.at(self.last, (self.row, self.col), inside)
        self.first = np.full(shape, np.iinfo(np.int64).max)
        np.minimum.at(self.first, (self.row, self.col), inside)
        self.lengths = np.diff(corpus.offsets)
        self.place = place

    def extreme(self, numbers: Floats, code: int, below: bool) -> Floats:
        """Return the largest number of a template in each unit (negated, the smallest); -inf where there is none."""
        mine = self.at[self.col == self.place[code]]
        found = numbers[mine]
        ok = np.isfinite(found)
        out = np.full(len(self.lengths), -np.inf)
        np.maximum.at(out, self.corpus.rows[mine[ok]], -found[ok] if below else found[ok])
        return out

    def holds(self, term: Term) -> Bools:
        """Return of which units a literal holds, shape (n,)."""
        if term.what == "longer":
            return np.asarray(self.lengths >= term.bound)
        if term.what == "shorter":
            return np.asarray(self.lengths <= term.bound)
        c = self.place[term.template]
        if term.what in ("value", "gap"):
            numbers = self.corpus.values if term.what == "value" else self.corpus.gaps
            assert numbers is not None  # noqa: S101 - such literals are made of them
            beyond = self.extreme(numbers, term.template, term.below)
            return beyond >= (-term.bound if term.below else term.bound)
        many = self.counts[:, c]
        match term.what:
            case "holds":
                return np.asarray(many > 0)
            case "lacks":
                return np.asarray((many == 0) & (self.lengths > 0))
            case "at_least":
                return np.asarray(many >= term.bound)
            case "at_most":
                return np.asarray((many > 0) & (many <= term.bound))
        return np.asarray(self.first[:, c] < self.last[:, self.place[term.other]])

    def terms(self) -> list[Term]:
        """Return the literals that hold of the unit."""
        out = []
        for code in self.templates.tolist():
            if code not in self.own:
                out.append(Term("lacks", code))
                continue
            many = int(self.counts[self.unit, self.place[code]])
            out.append(Term("holds", code))
            if many > 1:
                out.append(Term("at_least", code, self._least(code, many)))
            out.append(Term("at_most", code, many))
            out += self._numbers(code)
        out += [Term("before", a, other=b) for a, b in self._neighbours()]
        length = int(self.lengths[self.unit])
        return [*out, Term("longer", bound=length), Term("shorter", bound=length)]

    def _neighbours(self) -> list[tuple[int, int]]:
        """Return the pairs of templates that follow one another in the unit."""
        pairs = dict.fromkeys(zip(self.codes[:-1].tolist(), self.codes[1:].tolist(), strict=True))
        return [(a, b) for a, b in pairs if a != b and a in self.own and b in self.own]

    def _least(self, code: int, many: int) -> float:
        """Return a bound between what normal units have and what this one has, if there is one between."""
        usual = self.counts[self.corpus.normal, self.place[code]].max(initial=0)
        return float(max(2, -(-(usual + 1 + many) // 2)) if usual + 1 < many else many)

    def _numbers(self, code: int) -> list[Term]:
        out = []
        both: tuple[tuple[What, Floats | None], ...] = (("value", self.corpus.values), ("gap", self.corpus.gaps))
        for what, numbers in both:
            for below in (False, True) if numbers is not None and what == "value" else (False,):
                if numbers is None:
                    continue
                beyond = self.extreme(numbers, code, below)
                mine, usual = beyond[self.unit], beyond[self.corpus.normal].max(initial=-np.inf)
                if np.isfinite(mine) and np.isfinite(usual):
                    bound = between(float(usual), float(mine)) if mine > usual else float(mine)
                    out.append(Term(what, code, -bound if below else bound, below=below))
        return out


def between(low: float, high: float) -> float:
    """Return a number above ``low`` and below ``high``, near the middle, with as few figures as there can be."""
    middle = (low + high) / 2
    for digits in range(1, 17):
        found = float(f"{middle:.{digits - 1}e}")
        if low < found < high:
            return found
    return high


def search(corpus: Corpus, unit: int, kind: str, template: int | None, *, timed: bool = True) -> list[Found]:
    """Return conjunctions that hold of a unit, best first.

    The best are those quiet enough (at most one normal unit in a thousand), then those with the fewest literals, then
    those that say what the finding says, then those with the fewest false alarms.

    Args:
        corpus: the units.
        unit: the one to catch.
        kind: of its evidence.
        template: of its evidence; None where there is none.
        timed: whether events have times; without, only what single events show can be said.
    """
    table = _Table(corpus, unit)
    terms = [t for t in table.terms() if timed or t.what in ("holds", "value")]
    others = ~corpus.normal
    allowed = TOLERATED * float(corpus.weight[corpus.normal].sum())

    def relevance(term: Term) -> int:
        same = term.what in _SAYS.get(kind, ())
        about = template is not None and template in (term.template, term.other)
        return 0 if same and (about or kind in ("end", "length")) else 1 if about else 2

    def rank(found: Found) -> tuple[float, ...]:
        loud = found.false > allowed
        says = [relevance(t) for t in found.terms]
        plain = sum(_PLAIN[t.what] for t in found.terms)
        return (loud, found.false if loud else 0, len(found.terms), min(says), plain, found.false, -found.caught)

    masks = {}
    for term in terms:
        mask = table.holds(term)
        if mask[unit] and not mask.all():
            masks[term] = mask

    def made(some: Sequence[Term]) -> Found:
        mask = np.logical_and.reduce([masks[t] for t in some])
        return Found(
            tuple(some), float(corpus.weight[mask & corpus.normal].sum()), float(corpus.weight[mask & others].sum())
        )

    found = sorted((made([t]) for t in masks), key=rank)
    best = list(found)
    beam = [f.terms[0] for f in sorted(found, key=lambda f: (f.false, rank(f)))[:_BEAM]]
    beam += [t for t in masks if relevance(t) == 0 and t not in beam]
    longer = [made(pair) for pair in combinations(beam, 2)]
    best += longer
    if not any(f.false <= allowed for f in best):
        pairs = sorted(longer, key=rank)[:_BEAM]
        best += [made([*f.terms, t]) for f in pairs for t in beam if t not in f.terms and len(f.terms) < _MOST]
    kept = [f for f in best if all(f.false < g.false for g in _parts(f, found))]
    return sorted(kept, key=rank)


def _parts(found: Found, single: Sequence[Found]) -> list[Found]:
    """Return what a conjunction's literals are alone: one that adds nothing to another is not worth its words."""
    return [g for g in single if len(found.terms) > 1 and g.terms[0] in found.terms]
