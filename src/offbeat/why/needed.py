"""What a unit cannot be normal without: how many events of which templates there have to be more, or fewer.

To add or to remove an event changes the count of one template by one, and to move one changes none. The fused score is
the largest over views, and some views know no order: what they say of counts holds for every sequence with these
counts. So where all counts that can be had by fewer than so many edits are flagged by such views alone, no fewer edits
turn the verdict, whatever they are. Counts are gone through by how many edits they take (uniform-cost search): first
each template for itself, for a view whose score is the largest over templates flags one whose count is unusual whatever
else there is; then all of them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offbeat.detect import Detector, Length
from offbeat.detect.parts import ByTemplate
from offbeat.detect.vectors import ByVector
from offbeat.explain.cores import Need, Needs
from offbeat.rescoring import Rescoring, Way

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Views that know no order of events.
_ORDERLESS: Final = (ByTemplate, ByVector, Length)
#: Counts of one template are looked at up to so many more than there are of any.
_MORE: Final = 64
#: Beyond what each template needs for itself, at most so many edits more are gone through.
_BEYOND: Final = 3
#: All counts together are looked at while they are no more than this, have at most so many events in all, and while
#: there are no more templates than this.
_COMBINED: Final = 300
_EVENTS: Final = 15_000
_TEMPLATES: Final = 200
#: So many of those that are acceptable are handed on.
_HANDED_ON: Final = 4


def needs(other: Rescoring, codes: Sequence[int], threshold: float) -> Needs:
    """Return what a sequence in the place of a unit cannot be normal without.

    Args:
        other: what scores sequences there.
        codes: the sequence.
        threshold: below which its score has to be.
    """
    held = np.bincount(codes, minlength=max(len(other.texts), 1)).astype(np.int64)
    each: list[Need] = []
    at_least, reached = len(codes) + _MORE, float("inf")
    ways = [_Way(other, way, held) for way in other.ways(threshold) if not other.stuck(way)]
    for way in sorted(ways, key=lambda way: way.alone):
        some, many, enough = way.search(reached)
        each += some
        at_least = min(at_least, many)
        reached = min(reached, many) if enough else reached
    return Needs(each, at_least)


class _Way:
    """The counts that one way of being normal accepts.

    Attributes:
        held: how often each template comes, shape (templates,).
        far: by template whose count is flagged alone, how many edits each count from 0 on takes; what is flagged as
            well takes more than any.
        alone: how many edits are needed so that no template is flagged alone.
    """

    def __init__(self, other: Rescoring, way: Way, held: Ints) -> None:
        self.other, self.way, self.held = other, way, held
        self.counts = np.arange(held.max(initial=0) + _MORE + 1)
        odd = np.flatnonzero(~self._accepts(np.arange(len(held)), held))
        far = np.abs(self.counts - held[odd, None])
        fine = self._accepts(odd.repeat(len(self.counts)), np.tile(self.counts, len(odd))).reshape(far.shape)
        # Where none is accepted that was looked at, one beyond may be.
        self.beyond = int(self.counts[-1]) + 1
        self.far = dict(zip(odd.tolist(), np.where(fine, far, self.beyond), strict=True))
        self.alone = sum(int(row.min()) for row in self.far.values())

    @cached_property
    def _views(self) -> dict[str, Detector]:
        return {name: view for name, view in self.way.views.items() if isinstance(view, _ORDERLESS)}

    def _accepts(self, codes: Ints, counts: Ints) -> Bools:
        """Say whether a template may come so often, by views that are the largest over templates, shape (n,)."""
        raw = {
            name: view.of_counts(codes, counts)
            for name, view in self.way.views.items()
            if isinstance(view, ByTemplate) and not self.other.fixed(view, edited=True)
        }
        return self.other.given(self.way, raw, len(codes)) < self.way.line

    def search(self, reached: float) -> tuple[list[Need], int, bool]:
        """Return counts to begin with, how many edits this way takes at the least, and whether that was shown to do.

        Args:
            reached: another way takes no more; from there on it does not matter.
        """
        nearest = {code: int(row.argmin()) - int(self.held[code]) for code, row in self.far.items()}
        room = max(1, min(_COMBINED, _EVENTS // max(1, int(self.held.sum()))))
        for beyond in range(_BEYOND + 1):
            if self.alone + beyond >= reached or (beyond and len(self.held) > _TEMPLATES):
                return [nearest], self.alone + beyond, False
            some = list(islice(self._changes(beyond), room + 1))
            if len(some) > room:
                return [nearest], self.alone + beyond, False
            room -= len(some)
            good = [need for need, fine in zip(some, self._together(some), strict=True) if fine]
            if good:
                return good[:_HANDED_ON], self.alone + beyond, True
        return [nearest], self.alone + _BEYOND + 1, False

    def _together(self, changes: Sequence[Need]) -> Bools:
        """Say whether counts with some changes are acceptable to all views that know no order, shape (n,)."""
        if not changes:
            return np.zeros(0, dtype=np.bool_)
        counts = np.tile(self.held, (len(changes), 1))
        for row, change in zip(counts, changes, strict=True):
            for code, more in change.items():
                row[code] += more
        sequences = [np.repeat(np.arange(len(row)), row).tolist() for row in counts]
        raw = self.other.scored(self._views, sequences)
        return self.other.given(self.way, raw, len(changes)) < self.way.line

    def _changes(self, beyond: int) -> Iterator[Need]:
        """Yield all changes of counts that take so many edits more than the least, and flag no template alone."""
        options = [
            (code, [(int(at), int(row[at] - row.min())) for at in np.flatnonzero(row <= row.min() + beyond)])
            for code, row in self.far.items()
            if row.min() < self.beyond
        ]
        if beyond:
            others = np.setdiff1d(np.arange(len(self.held)), list(self.far))
            step = np.arange(-beyond, beyond + 1)
            to = self.held[others, None] + step
            fine = self._accepts(others.repeat(len(step)), np.maximum(to, 0).ravel()).reshape(to.shape) & (to >= 0)
            options += [
                (int(code), [(int(n), abs(int(s))) for n, s in zip(row[ok], step[ok], strict=True)])
                for code, row, ok in zip(others, to, fine, strict=True)
                if ok.sum() > 1
            ]
        yield from self._combined(options, beyond)

    def _combined(self, options: Sequence[tuple[int, list[tuple[int, int]]]], left: int) -> Iterator[Need]:
        if not options:
            if not left:
                yield {}
            return
        code, counts = options[0]
        for count, more in counts:
            if more <= left:
                change = count - int(self.held[code])
                for rest in self._combined(options[1:], left - more):
                    yield {code: change, **rest} if change else rest
