"""What would the score be without this event?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from offbeat.detect.padded import cut
from offbeat.detect.ragged import Floats, Ints, Ragged

#: Events of sequences with one left out that are made at once.
_EVENTS = 262_144


def occlusion(data: Ragged, longest: int, score: Callable[[Ragged], Floats]) -> Floats:
    """Return by how much the score of each event's sequence falls where the event is left out, shape (events,).

    Leaving parts of the input out and scoring again is the plainest faithful attribution (Zeiler and Fergus, ECCV
    2014; for sequences Li et al., 2016). What comes out the same, as within a run of equal events, is scored once.

    Args:
        data: n sequences.
        longest: of longer sequences the middle is not read; its events fall by 0.
        score: of sequences, shape (n,).
    """
    out = np.zeros(len(data.ids))
    kept, at = cut(data, longest)
    whole = score(kept) if len(kept) else np.zeros(0)
    for which in _chunks(kept.lengths):
        part = kept.take(which)
        less = _less_one(part)
        first, index = less.distinct
        flat = np.repeat(kept.offsets[which] - part.offsets[:-1], part.lengths) + np.arange(len(part.ids))
        out[at[flat]] = whole[which][part.rows] - score(less.take(first))[index]
    return out


def _chunks(lengths: Ints) -> Iterator[Ints]:
    """Yield runs of positions, so that the events of all sequences with one left out stay within bounds."""
    cost = np.cumsum(lengths.astype(np.float64) ** 2)
    for part in np.split(np.arange(len(lengths)), np.flatnonzero(np.diff(cost // _EVENTS)) + 1):
        if len(part) and lengths[part].any():
            yield part


def _less_one(data: Ragged) -> Ragged:
    """Return one sequence an event of ``data``: its own without it."""
    length = data.lengths[data.rows]
    offsets = np.concatenate(([0], np.cumsum(length - 1)))
    row = np.repeat(np.arange(len(length)), length - 1)
    place = np.arange(offsets[-1]) - offsets[:-1][row]
    left_out = np.arange(len(data.ids)) - data.offsets[:-1][data.rows]
    place += place >= left_out[row]
    return Ragged(data.ids[data.offsets[:-1][data.rows][row] + place], offsets, np.ones(len(length)))
