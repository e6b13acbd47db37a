"""What detectors share whose score is the largest of its parts': templates there or missing, or single events."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import Detector
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax, segment_max

#: Only a template that most units hold can be missed loudly; they are few, so one column each.
_MISSED: Final = float(np.log(2))


class ByTemplate(Detector):
    """Scores a sequence by its most surprising template, be it there or missing."""

    @abstractmethod
    def _of_presence(self, codes: Ints, counts: Ints) -> Floats:
        """Return the surprise at templates that are there so often (1 or more), shape (templates,)."""

    @abstractmethod
    def _of_absence(self) -> Floats:
        """Return the surprise at each template's absence, shape (templates,)."""

    def _of_cells(self, data: Ragged) -> Floats:
        """Return the surprise of each template that is there, in the order of ``data.cells``."""
        return self._of_presence(*data.cells[1:])

    def of_counts(self, codes: Ints, counts: Ints) -> Floats:
        """Return the least score that a sequence can have which holds a template so often, 0 included, shape (n,).

        Args:
            codes: of n templates, each judged alone.
            counts: how often each comes, shape (n,).
        """
        absent = self._of_absence()
        loud = np.append(np.where(absent > _MISSED, absent, 0.0), 0.0)
        missed = loud[np.minimum(codes, len(absent))]
        return np.where(counts > 0, self._of_presence(codes, np.maximum(counts, 1)), missed)

    def _missing(self, data: Ragged) -> tuple[Floats, Ints]:
        """Return the surprise of the most expected template that is missing, and its code, two arrays of shape (n,)."""
        absent = self._of_absence()
        expected = np.flatnonzero(absent > _MISSED)
        if not len(expected):
            return np.zeros(len(data)), np.zeros(len(data), dtype=np.int64)
        missed = np.where(data.holds(expected), 0.0, absent[expected])
        worst = missed.argmax(axis=1)
        return missed[np.arange(len(data)), worst], expected[worst]

    def _score(self, data: Ragged) -> Floats:
        return np.maximum(segment_max(self._of_cells(data), data.cells[0], len(data)), self._missing(data)[0])

    def _worst(self, data: Ragged) -> tuple[NDArray[np.bool_], Ints, Ints]:
        """Return what makes each score: whether it is there, its place among ``data.cells`` (else 0), its template."""
        rows, codes, _ = data.cells
        of_cell = self._of_cells(data)
        cell = segment_argmax(of_cell, rows, len(data))
        missed, which = self._missing(data)
        # What is there is named before what is missing, should both be as strange but for rounding.
        here = (cell >= 0) & (of_cell[cell] >= missed - 1e-9) if len(codes) else np.zeros(len(data), dtype=bool)
        cell = np.where(here, cell, 0)
        return here, cell, np.where(here, codes[cell], which) if len(codes) else which


class ByEvent(Detector):
    """Scores a sequence by its most surprising event, where some events can be judged and others cannot."""

    @abstractmethod
    def _judged(self, data: Ragged) -> tuple[Ints, Floats, Floats]:
        """Return the places of the events that can be judged, their surprise, and what is usual there."""

    def event_scores(self, X: pl.DataFrame) -> pl.Series:
        """Return a list a row of ``X``: the surprise of each event, in nats; 0 where it cannot be judged."""
        data = Ragged.of(X, self.needs)
        flat = np.zeros(len(data.ids))
        at, surprise, _ = self._judged(data)
        flat[at] = surprise
        return data.lists(flat).alias(self.name)

    def _score(self, data: Ragged) -> Floats:
        at, surprise, _ = self._judged(data)
        return segment_max(surprise, data.rows[at], len(data))
