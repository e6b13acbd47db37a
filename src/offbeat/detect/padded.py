"""Sequences as rectangles: cut to a length, grouped with others of like length, and padded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offbeat.detect.ragged import Ints, Ragged

#: What networks read beside templates: nothing, and a template that training did not hold.
PAD, UNKNOWN, FIRST = 0, 1, 2


@dataclass(frozen=True)
class Vocabulary:
    """The templates that training held, as tokens.

    Attributes:
        codes: of the templates, increasing, int64 of shape (templates,); the first is token ``FIRST``.
    """

    codes: Ints

    @classmethod
    def of(cls, data: Ragged) -> Vocabulary:
        """Take the templates of sequences."""
        return cls(np.unique(data.ids))

    @property
    def size(self) -> int:
        """How many tokens there are, the special ones included."""
        return len(self.codes) + FIRST

    def tokens(self, codes: Ints) -> Ints:
        """Return the token of each template code, ``UNKNOWN`` for those not held; any shape."""
        if not len(self.codes):
            return np.full(codes.shape, UNKNOWN)
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[at] == codes, at + FIRST, UNKNOWN)


def cut(data: Ragged, longest: int) -> tuple[Ragged, Ints]:
    """Cut sequences to at most ``longest`` events: of a longer one its first and its last half are kept.

    Returns:
        The sequences, and the place of each event kept among those of ``data``, shape (events kept,).
    """
    place = np.arange(len(data.ids)) - data.offsets[:-1][data.rows]
    length = data.lengths[data.rows]
    tail = longest // 2
    keep = np.flatnonzero((length <= longest) | (place < longest - tail) | (place >= length - tail))
    lengths = np.minimum(data.lengths, longest)
    extra = {name: values[keep] for name, values in data.extra.items()}
    return Ragged(data.ids[keep], np.concatenate(([0], np.cumsum(lengths))), data.weight, extra), keep


def keep(data: Ragged, events: NDArray[np.bool_]) -> Ragged:
    """Return the sequences with some of their events alone; none goes, though it may be empty then."""
    lengths = np.bincount(data.rows[events], minlength=len(data))
    return Ragged(data.ids[events], np.concatenate(([0], np.cumsum(lengths))), data.weight)


def groups(lengths: Ints, rows: int, events: int, rng: np.random.Generator | None = None) -> Iterator[Ints]:
    """Group sequences of like length: yields positions of at most ``rows`` that are padded to at most ``events``.

    One sequence alone may be longer. With ``rng`` equals are shuffled and groups come in random order.
    """
    shuffle = rng.permutation(len(lengths)) if rng else np.arange(len(lengths))
    order = shuffle[np.argsort(lengths[shuffle], kind="stable")]
    cuts, start = [], 0
    for i in range(1, len(order)):
        if i - start >= rows or (i - start + 1) * lengths[order[i]] > events:
            cuts.append(i)
            start = i
    parts = np.split(order, cuts) if len(order) else []
    for g in rng.permutation(len(parts)) if rng else range(len(parts)):
        yield parts[g]


def pad(data: Ragged, flat: NDArray[np.int64], which: Ints, room: int = 0) -> tuple[Ints, NDArray[np.bool_]]:
    """Lay sequences side by side.

    Args:
        data: the sequences.
        flat: a token for each of their events, shape (events,).
        which: positions of the sequences wanted.
        room: further columns of ``PAD``.

    Returns:
        Tokens of shape (sequences, time), padded at the end, and where they are events. There is one column at least.
    """
    lengths = data.lengths[which]
    place = np.arange(max(int(lengths.max(initial=0)), 1) + room)
    inside = place < lengths[:, None]
    out = np.full(inside.shape, PAD, dtype=np.int64)
    out[inside] = flat[(data.offsets[which][:, None] + place)[inside]]
    return out, inside
