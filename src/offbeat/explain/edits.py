"""What would have to be different: edits of sequences, the nearest normal one, and what each event adds.

Sequences are lists of template codes. What they are scored with is handed in, so that every explanation is checked by
scoring again, and holds for any detector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = list[int]
#: Scores sequences, all at once: shape (n,), higher is stranger.
Score = Callable[[Sequence[Codes]], Floats]

#: Sequences compared in full, out of those whose counts are nearest.
_COMPARED: Final = 40
#: Events of all sequences with something left out, at most, and so many tries at least.
_OCCLUDED: Final = 20_000
_LEAST_OCCLUDED: Final = 16
#: Of the events from the first to the last of a run that is removed at most this share may stay.
_STAYS: Final = 0.25


class Edit(NamedTuple):
    """What is done to one event: ``add`` a template, ``remove`` an event, or ``move`` it to another place.

    Places are 0-based in the sequence as it was; what is added or moved comes before the event at that place, and if
    several are, in the order of the edits.

    Attributes:
        how: what is done.
        place: of the event, or before which a template is added.
        template: code of the event.
        to: before which event it is moved; -1 for all else.
    """

    how: Literal["add", "remove", "move"]
    place: int
    template: int
    to: int = -1


@dataclass(frozen=True)
class Nearest:
    """A normal sequence, and what leads from the one in question to it.

    Attributes:
        codes: the normal sequence.
        weight: units of the training log that have it.
        of: the sequence in question.
    """

    codes: Codes
    weight: float
    of: Codes

    @cached_property
    def steps(self) -> list[tuple[str, int]]:
        """The events of both in order: (``keep``, ``add`` or ``remove``, template code)."""
        return steps(self.of, self.codes)

    @property
    def edits(self) -> int:
        """How many of the steps change something."""
        return sum(how != "keep" for how, _ in self.steps)


def apply(codes: Codes, edits: Sequence[Edit]) -> Codes:
    """Return the sequence with the edits made."""
    gone = {edit.place for edit in edits if edit.how != "add"}
    before: dict[int, Codes] = {}
    for edit in edits:
        if edit.how == "add":
            before.setdefault(edit.place, []).append(edit.template)
        elif edit.how == "move":
            before.setdefault(edit.to, []).append(codes[edit.place])
    out: Codes = []
    for place, code in enumerate(codes):
        out += before.get(place, ())
        if place not in gone:
            out.append(code)
    return out + before.get(len(codes), [])


def changes(edits: Sequence[Edit]) -> list[list[Edit]]:
    """Return edits as what a person calls one change each: a run of events that are added, removed or moved.

    These are the block edits of Tichy (ACM TOCS 1984) and of Lopresti and Tomkins (TCS 1997): events added at one
    place, consecutive events removed, or consecutive events moved to one place. Of a run that is removed single events
    may stay (``_STAYS``): what does not belong there often comes among what does.
    """
    out: list[list[Edit]] = []
    for edit in sorted(edits, key=lambda e: (e.how, e.to, e.place)):
        last = out[-1][-1] if out else None
        step = 0 if edit.how == "add" else 1
        if last and (last.how, last.to, last.place + step) == (edit.how, edit.to, edit.place):
            out[-1].append(edit)
        else:
            out.append([edit])
    gone = [run for run in out if run[0].how == "remove"]
    others = [run for run in out if run[0].how != "remove"]
    return sorted(others + _with_holes(gone), key=lambda run: run[0].place)


def _with_holes(runs: list[list[Edit]]) -> list[list[Edit]]:
    """Join runs of removed events, in order, where few enough stay between them; the nearest first."""
    while True:
        near = sorted(range(len(runs) - 1), key=lambda i: runs[i + 1][0].place - runs[i][-1].place)
        for i in near:
            both = runs[i] + runs[i + 1]
            span = both[-1].place + 1 - both[0].place
            if span - len(both) <= _STAYS * span:
                runs = [*runs[:i], both, *runs[i + 2 :]]
                break
        else:
            return runs


def differences(codes: Codes, other: Codes) -> list[Edit]:
    """Return edits that turn one sequence into another (a longest-match difference, not always the fewest)."""
    edits = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, codes, other, autojunk=False).get_opcodes():
        if tag in ("replace", "delete"):
            edits += [Edit("remove", i, codes[i]) for i in range(i1, i2)]
        if tag in ("replace", "insert"):
            edits += [Edit("add", i2, t) for t in other[j1:j2]]
    return edits


def steps(codes: Codes, other: Codes) -> list[tuple[str, int]]:
    """Return both sequences as one list of kept, removed and added templates, in order."""
    out: list[tuple[str, int]] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, codes, other, autojunk=False).get_opcodes():
        if tag == "equal":
            out += [("keep", c) for c in codes[i1:i2]]
        else:
            out += [("remove", c) for c in codes[i1:i2]]
            out += [("add", c) for c in other[j1:j2]]
    return out


def nearest(
    codes: Codes,
    sequences: Sequence[Codes],
    weight: Floats,
    normal: Callable[[Sequence[Codes]], NDArray[np.bool_]] | None = None,
    many: int = 10,
) -> list[Nearest]:
    """Return the normal sequences with the fewest differences; of equals those that more units have first.

    Only the ``_COMPARED`` normal ones whose template counts are nearest are compared event by event: the fewest
    differences are all events of both but for their longest common subsequence.

    Args:
        codes: the sequence.
        sequences: others.
        weight: how many units each stands for, shape (sequences,).
        normal: which of some sequences are normal, shape (some,); all of them unless given.
        many: at most so many are returned.
    """
    lengths = np.array([len(c) for c in sequences], dtype=np.int64)
    flat = np.array([code for c in sequences for code in c], dtype=np.int64)
    kinds, mine = np.unique(np.array(codes, dtype=np.int64), return_counts=True)
    held = np.zeros((len(sequences), len(kinds)), dtype=np.int64)
    at = np.searchsorted(kinds, flat)
    same = np.flatnonzero(np.append(kinds, -1)[at] == flat)
    np.add.at(held, (np.repeat(np.arange(len(lengths)), lengths)[same], at[same]), 1)
    # How far counts are apart: all events of both but those that they have in common.
    apart = lengths + len(codes) - 2 * np.minimum(held, mine).sum(axis=1)
    order = np.lexsort((-np.asarray(weight), apart)).tolist()
    found: list[int] = []
    while order and len(found) < _COMPARED:
        some, order = order[:_COMPARED], order[_COMPARED:]
        good = np.ones(len(some), dtype=np.bool_) if normal is None else normal([sequences[i] for i in some])
        found += [i for i, ok in zip(some, good, strict=True) if ok]
    differ = {i: len(codes) + len(sequences[i]) - 2 * in_common(codes, sequences[i]) for i in found[:_COMPARED]}
    near = sorted(differ, key=lambda i: (differ[i], -weight[i]))[:many]
    return [Nearest(list(sequences[i]), float(weight[i]), codes) for i in near]


def in_common(codes: Codes, other: Codes) -> int:
    """Return the length of the longest common subsequence of two sequences.

    The bits of a number stand for the events of one of them, so that each event of the other is a few operations on
    numbers (Hyyrö, "Bit-Parallel LCS-length Computation Revisited", AWOCA 2004).
    """
    places: dict[int, int] = {}
    for i, code in enumerate(codes):
        places[code] = places.get(code, 0) | 1 << i
    every = (1 << len(codes)) - 1
    row = every
    for code in other:
        met = row & places.get(code, 0)
        row = ((row + met) | (row - met)) & every
    return len(codes) - row.bit_count()


def occlude(codes: Codes, score: Score, likely: Sequence[int] = ()) -> Floats:
    """Return what each event adds to the score, shape (events,): by how much it falls without it.

    Events of one template can stand in for one another, so that the score falls only without all of them; then each of
    them adds its part of that. Each is tried where all tries together have at most ``_OCCLUDED`` events. Of a longer
    sequence only some events are tried alone, and some templates together; the others add nothing that is known.

    Args:
        codes: the sequence.
        score: scores sequences.
        likely: places to be tried first; then come events and templates that are rare in the sequence.
    """
    n = len(codes)
    if not n:
        return np.zeros(0)
    kinds, of, times = np.unique(codes, return_inverse=True, return_counts=True)
    many = max(_LEAST_OCCLUDED, min(n, _OCCLUDED // n))
    rare = np.lexsort((np.arange(n), times[of])).tolist()
    places = list(dict.fromkeys([*likely, *rare]))[:many]
    chosen = np.unique(of[places]) if many < n else np.arange(len(kinds))
    single = [codes[:i] + codes[i + 1 :] for i in places]
    whole = [[c for c in codes if c != kind] for kind in kinds[chosen]]
    scores = score([codes, *single, *whole])
    out, part = np.zeros(n), np.full(len(kinds), -np.inf)
    part[chosen] = (scores[0] - scores[1 + len(places) :]) / times[chosen]
    known = np.full(n, -np.inf)
    known[places] = scores[0] - scores[1 : 1 + len(places)]
    most = np.maximum(known, part[of])
    return np.asarray(np.where(np.isfinite(most), most, out), dtype=np.float64)


def shares(values: Sequence[float]) -> Floats:
    """Return what each of several values adds to the largest of them: they sum to it, shape (n,).

    These are the Shapley values of the game whose worth is the maximum (Littlechild and Owen, 1973): the step from one
    value to the next larger is shared by all that reach it.
    """
    given = np.maximum(np.asarray(values, dtype=np.float64), 0.0)
    order = np.argsort(given, kind="stable")
    steps_up = np.diff(np.concatenate(([0.0], given[order])))
    reach = np.arange(len(given), 0, -1)
    out = np.empty(len(given))
    out[order] = np.cumsum(steps_up / reach)
    return out
