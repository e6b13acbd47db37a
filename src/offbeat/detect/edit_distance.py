"""How many events must be added, removed or replaced to make a usual sequence of it?"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import Detector, State
from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.detect.vectors import some, thinned

Words = NDArray[np.uint64]
#: Sequences compared with all kept ones at a time, and pairs measured at a time.
_ROWS, _PAIRS = 512, 65_536
#: Candidates measured in the first round; each further round takes twice as many.
_FIRST: Final = 4
_ONE: Final = np.uint64(1)


class EditDistance(Detector):
    """Score a sequence by its edit distance to the nearest one of training, divided by the longer one's length.

    The Levenshtein distance counts events added, removed or replaced. It is computed bit by bit (Hyyrö, 2003, after
    Myers, 1999). How many events two sequences share bounds it from below, so candidates that share most come first and
    the search ends when no other can be nearer; where sequences share little it ends after ``candidates``, and the
    distance is that to the nearest of these.

    Args:
        sequences: at most so many distinct training sequences are kept, drawn by weight.
        candidates: for each sequence so many of those are measured at most.
        events: sequences are compared up to so many events.
        seed: of the draw.
    """

    name: ClassVar[str] = "edit-distance"
    source: ClassVar[str] = "Levenshtein, 1966; as a log detector Landauer et al., FSE 2024"
    looks_at: ClassVar[str] = "how far the sequence is from the nearest usual one"

    def __init__(self, sequences: int = 2000, candidates: int = 252, events: int = 256, seed: int = 0) -> None:
        self.sequences = sequences
        self.candidates = candidates
        self.events = events
        self.seed = seed

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        data = self._cut(data)
        first, index = data.distinct
        weight = np.bincount(index, weights=data.weight, minlength=len(first)).astype(np.float64)
        order = np.lexsort(data.hashes[first].T)
        kept, mass = thinned(weight[order], np.zeros(len(order), dtype=bool), self.sequences, self.seed)
        data = data.take(first[order[kept]])
        self._keep(Ragged(data.ids, data.offsets, mass))

    def _cut(self, data: Ragged) -> Ragged:
        """Return the sequences without what comes after the last event compared."""
        place = np.arange(len(data.ids)) - data.offsets[data.rows]
        lengths = np.minimum(data.lengths, self.events)
        return Ragged(data.ids[place < self.events], np.concatenate(([0], np.cumsum(lengths))), data.weight)

    def _keep(self, kept: Ragged) -> None:
        """Take up the training sequences, and mark in words of 64 bits at which places of each a template stands."""
        self.kept_ = kept
        codes = np.unique(kept.ids)
        words = max(1, -(-int(kept.lengths.max(initial=0)) // 64))
        # One column more, of zeros, stands for every template that none of them holds.
        self._codes = codes
        self._marks = np.zeros((len(kept), words, len(codes) + 1), dtype=np.uint64)
        place = np.arange(len(kept.ids)) - kept.offsets[kept.rows]
        symbol = np.searchsorted(codes, kept.ids)
        bits = _ONE << (place % 64).astype(np.uint64)
        np.bitwise_or.at(self._marks, (kept.rows, place // 64, symbol), bits)

    def _symbols(self, ids: Ints) -> Ints:
        """Return the column of each template in the marks."""
        at = np.searchsorted(self._codes, ids).clip(max=max(len(self._codes) - 1, 0))
        known = self._codes[at] == ids if len(self._codes) else np.zeros(len(ids), dtype=bool)
        return np.where(known, at, len(self._codes))

    def _counts(self, data: Ragged) -> NDArray[np.int32]:
        """Return how often each template that training holds occurs, shape (n, codes)."""
        out = np.zeros((len(data), len(self._codes) + 1), dtype=np.int32)
        np.add.at(out, (data.rows, self._symbols(data.ids)), 1)
        return out[:, :-1]

    def _nearest(self, data: Ragged) -> tuple[Floats, Ints]:
        """Return each sequence's normalised distance to the nearest kept one, and that one's place."""
        data = self._cut(data)
        best, place = np.ones(len(data)), np.zeros(len(data), dtype=np.int64)
        own = self._counts(self.kept_)
        for at in range(0, len(data), _ROWS):
            block = data.take(np.arange(at, min(at + _ROWS, len(data))))
            part = slice(at, at + len(block))
            best[part], place[part] = self._nearest_of(block, own)
        return best, place

    def _nearest_of(self, block: Ragged, own: NDArray[np.int32]) -> tuple[Floats, Ints]:
        counts = self._counts(block)
        shared = np.zeros((len(block), len(own)), dtype=np.int32)
        for column in np.flatnonzero(counts.any(axis=0)):
            here, there = np.flatnonzero(counts[:, column]), np.flatnonzero(own[:, column])
            shared[here[:, None], there] += np.minimum.outer(counts[here, column], own[there, column])
        longer = np.maximum(np.maximum.outer(block.lengths, self.kept_.lengths), 1)
        bound = 1.0 - shared / longer
        order = np.argsort(bound, axis=1, kind="stable")
        each = np.arange(len(block))
        best, place = np.full(len(block), np.inf), order[:, 0].copy()
        done, step = 0, _FIRST
        while done < min(len(own), self.candidates):
            # Candidates come in the order of their bounds: one that cannot be nearer ends the search of its row.
            rows = np.flatnonzero(bound[each, order[:, done]] < best)
            if not len(rows):
                break
            asked, candidate = (
                np.repeat(rows, order[rows, done : done + step].shape[1]),
                order[rows, done : done + step],
            )
            distance = self._pairs(block, asked, candidate.ravel()) / longer[asked, candidate.ravel()]
            distance = distance.reshape(candidate.shape)
            nearest = distance.argmin(axis=1)
            found = distance[np.arange(len(rows)), nearest]
            better = found < best[rows]
            best[rows[better]] = found[better]
            place[rows[better]] = candidate[better, nearest[better]]
            done, step = done + step, step * 2
        return best, place

    def _pairs(self, block: Ragged, asked: Ints, kept: Ints) -> Floats:
        """Return the edit distances of pairs: rows of the block and places of kept sequences, both of shape (p,)."""
        out = np.zeros(len(asked))
        # Pairs of like length go together, so that few steps are taken in vain.
        order = np.argsort(block.lengths[asked], kind="stable")
        symbols = np.append(self._symbols(block.ids), 0)
        for at in range(0, len(order), _PAIRS):
            part = order[at : at + _PAIRS]
            out[part] = self._distances(symbols, block.offsets[asked[part]], block.lengths[asked[part]], kept[part])
        return out

    def _distances(self, symbols: Ints, start: Ints, length: Ints, kept: Ints) -> Floats:
        """Return the Levenshtein distance of each pair.

        The columns of the table of distances are kept as the bits of their differences, +1 in ``up``, -1 in ``down``,
        from one kept event to the next; an event read moves all of them by one.

        Args:
            symbols: of all events read.
            start: where each sequence begins among them, shape (p,).
            length: its number of events, shape (p,).
            kept: the place of the training sequence, shape (p,).
        """
        words = self._marks.shape[1]
        up = np.full((words, len(kept)), ~np.uint64(0))
        down = np.zeros((words, len(kept)), dtype=np.uint64)
        own = self.kept_.lengths[kept]
        distance = own.copy()
        last, bit = np.maximum(own - 1, 0) // 64, (np.maximum(own - 1, 0) % 64).astype(np.uint64)
        for step in range(int(length.max(initial=0))):
            active = step < length
            marks = self._marks[kept, :, symbols[np.where(active, start + step, -1)]].T
            # The row above all kept events grows by one with each event read.
            plus, minus = np.ones(len(kept), dtype=np.uint64), np.zeros(len(kept), dtype=np.uint64)
            change = np.where(own == 0, 1, 0)
            for word in range(words):
                high, low, plus, minus, bits = _advance(up[word], down[word], marks[word], plus, minus)
                up[word], down[word] = np.where(active, high, up[word]), np.where(active, low, down[word])
                here = (last == word) & (own > 0)
                moved = ((bits[0] >> bit) & _ONE).astype(np.int64) - ((bits[1] >> bit) & _ONE).astype(np.int64)
                change = np.where(here, moved, change)
            distance = np.where(active, distance + change, distance)
        return distance.astype(np.float64)

    def _score(self, data: Ragged) -> Floats:
        return self._nearest(data)[0]

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        place = self._nearest(data)[1]
        rows = [self._first_difference(data, i, int(place[i])) for i in range(len(data))]
        kind, template, event, share = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
        code, at = np.array(template, dtype=np.int64), np.array(event, dtype=np.int64)
        here = (at >= 0).astype(float)
        return {
            "kind": kind,
            "template": some(code, code >= 0),
            "event": some(at, at >= 0),
            "seen": np.where(code < 0, data.lengths, here),
            "usual": np.where(code < 0, np.median(self.kept_.lengths), 1.0 - here),
            "share": np.array(share, dtype=np.float64),
        }

    def _first_difference(self, data: Ragged, row: int, place: int) -> tuple[str, int, int, float]:
        """Return the kind, template, event and share of where a sequence leaves the nearest usual one."""
        one = data.ids[data.offsets[row] : data.offsets[row + 1]]
        other = self.kept_.ids[self.kept_.offsets[place] : self.kept_.offsets[place + 1]]
        n = min(len(one), len(other))
        differ = np.flatnonzero(one[:n] != other[:n])
        at = int(differ[0]) if len(differ) else n
        if at < len(one):
            return "order", int(one[at]), at, self._share(one, at)
        if at < len(other) and other[at] not in one:
            return "missing event", int(other[at]), -1, 1.0 - self._share(one, at)
        if len(one):
            return "end", int(one[-1]), len(one) - 1, self._share(one, at)
        return "length", -1, -1, 1.0

    def _share(self, one: Ints, at: int) -> float:
        """Return the share of the usual units that begin so which go on, or end, so too; at least half a unit."""
        begin = self.kept_.lengths >= at
        for i in range(at):
            begin[begin] = self.kept_.ids[self.kept_.offsets[:-1][begin] + i] == one[i]
        longer = begin & (self.kept_.lengths > at)
        same = begin & ~longer
        if at < len(one):
            same = longer
            same[longer] = self.kept_.ids[self.kept_.offsets[:-1][longer] + at] == one[at]
        weight = self.kept_.weight
        return float((weight[same].sum() + 0.5) / (weight[begin].sum() + 1.0))

    def state(self) -> State:
        """Return the training sequences kept, with their weights."""
        ids = pl.DataFrame({"template": self.kept_.ids})
        each = pl.DataFrame({"events": self.kept_.lengths, "weight": self.kept_.weight})
        return State({"sequences_seen": self.sequences_seen_}, {"events": ids, "sequences": each})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        lengths = state.frames["sequences"]["events"].to_numpy()
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        weight = state.frames["sequences"]["weight"].to_numpy()
        self._keep(Ragged(state.frames["events"]["template"].to_numpy(), offsets, weight))
        return self


def _advance(
    up: Words, down: Words, marks: Words, plus: Words, minus: Words
) -> tuple[Words, Words, Words, Words, tuple[Words, Words]]:
    """Move the differences in 64 rows of the table of distances by one column.

    Args:
        up: which rows are one more than the row above.
        down: which are one less.
        marks: in which rows the event read stands.
        plus: 1 where the row above these grew.
        minus: 1 where it shrank.

    Returns:
        The new ``up`` and ``down``; ``plus`` and ``minus`` of the last of these rows; and which rows grew and shrank.
    """
    vertical = marks | down
    marks = marks | minus
    horizontal = (((marks & up) + up) ^ up) | marks
    grew = down | ~(horizontal | up)
    shrank = up & horizontal
    top = np.uint64(63)
    grew_on, shrank_on = (grew << _ONE) | plus, (shrank << _ONE) | minus
    return shrank_on | ~(vertical | grew_on), grew_on & vertical, grew >> top, shrank >> top, (grew, shrank)
