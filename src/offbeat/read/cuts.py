"""Where a block may end: before a line that begins an event, as the reader itself sees it.

The last lines are read with the very code that will read the block. An expression for headers, matched beside it, would
differ from it in rare lines: those that another format takes, repaired ones, pieces, brackets that close nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import polars as pl

from offbeat.read.layout import Want
from offbeat.read.parse import Parsed, begins, certain, place, prepare
from offbeat.read.sniff import Plan

#: Bytes at the end to look at, and how many of the lines in them; more where no event begins in fewer.
_STEPS: Final = ((8 << 10, 64), (64 << 10, 512), (1 << 20, 8192))
_NOTHING: Final = Want(frozenset())


class EventCut:
    """Cuts before the last line that begins an event for certain, whatever follows the bytes at hand.

    Args:
        plan: how the file is read.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __call__(self, data: bytes, *, whole: bool = True) -> int:
        """Bytes that end with a whole event; see :class:`offbeat.read.blocks.Cut`."""
        layout = self._plan.layout
        end = data.rfind(b"\n") + 1
        if layout is None and not self._plan.others:
            return end
        from_start = layout is not None and layout.sequential
        if from_start and not whole:
            return 0
        for size, most in _STEPS:
            # Of bytes from somewhere within, the first line is no whole one.
            start = 0 if from_start else data.rfind(b"\n", 0, max(0, end - size)) + 1
            start = start or (0 if whole else data.find(b"\n") + 1)
            if at := self._last_event(data[start:end], most):
                return start + at
        return 0

    def _last_event(self, data: bytes, most: int) -> int:
        """Where the last event begins, told from at most so many lines; 0 where none does for certain.

        What the first line is, nobody knows: lines before it may reach into it.
        """
        plan = self._plan
        lines = prepare(data, plan, Counter())
        fresh = plan.layout.fresh(lines, plan.context) if plan.layout is not None else None
        rows = fresh.arg_true().tail(most) if fresh is not None else np.arange(len(lines))[-most:]
        if not len(rows):
            return 0
        first = int(rows[0])
        lines = lines.slice(first)
        free = pl.repeat(True, len(lines), eager=True) if fresh is None else fresh.slice(first)
        for begun in (certain, _begun):  # asking all the other layouts takes ten times as long
            if len(at := (begun(lines, plan) & free).slice(1).arg_true().tail(1)):
                newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
                return int(newlines[first + int(at[0])]) + 1
        return 0


def _begun(lines: pl.Series, plan: Plan) -> pl.Series:
    """Lines that begin an event, as all layouts see them."""
    return begins(place(lines, plan, _NOTHING, Parsed())["mark"])
