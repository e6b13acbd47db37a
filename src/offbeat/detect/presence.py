"""How improbable is it that this template is here, or that it is missing?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import Detector, State
from offbeat.detect.ragged import Floats, Ragged, segment_max


class Presence(Detector):
    """Score a sequence by its least probable presence or absence of a template.

    The score is the largest, over templates, of ``-ln P(present)`` for those present and ``-ln P(absent)`` for those
    missing, with P the share of training units that hold the template (Laplace smoothing). It stands dirty training
    data well, for a rare template stays rare when a few anomalies hold it.

    Args:
        smoothing: pseudo-count added to both outcomes.
    """

    name: ClassVar[str] = "presence"
    source: ClassVar[str] = "offbeat; Laplace-smoothed Bernoulli model of each template"
    looks_at: ClassVar[str] = "templates that are there, or missing, against the odds"

    def __init__(self, smoothing: float = 0.5) -> None:
        self.smoothing = smoothing

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        rows, codes, _ = data.cells
        self.total_ = float(data.weight.sum())
        self.units_with_ = np.bincount(codes, weights=data.weight[rows], minlength=data.size)

    def surprise(self) -> tuple[Floats, Floats]:
        """Return ``-ln P(present)`` and ``-ln P(absent)`` for each template code, two arrays of shape (templates,)."""
        share = (self.units_with_ + self.smoothing) / (self.total_ + 2 * self.smoothing)
        return -np.log(share), -np.log1p(-share)

    @property
    def surprise_of_new(self) -> float:
        """``-ln P(present)`` of a template that training never saw."""
        return float(-np.log(self.smoothing / (self.total_ + 2 * self.smoothing)))

    def _score(self, data: Ragged) -> Floats:
        present, absent = self.surprise()
        rows, codes, _ = data.cells
        known = codes < len(present)
        of_cell = np.where(known, present[np.minimum(codes, len(present) - 1)], self.surprise_of_new)
        score = segment_max(of_cell, rows, len(data))
        # Only a template that most units hold can be missed more loudly than any present one is heard.
        expected = np.flatnonzero(absent > np.log(2))
        if len(expected):
            place = np.full(len(present), -1)
            place[expected] = np.arange(len(expected))
            here = np.zeros((len(data), len(expected)), dtype=bool)
            of_code = np.where(known, place[np.minimum(codes, len(present) - 1)], -1)
            here[rows[of_code >= 0], of_code[of_code >= 0]] = True
            score = np.maximum(score, np.where(here, 0.0, absent[expected]).max(axis=1))
        return score

    def state(self) -> State:
        """Return the number of units and, for each template, how many hold it."""
        values = {"total": self.total_, "sequences_seen": self.sequences_seen_}
        return State(values, {"templates": pl.DataFrame({"units_with": self.units_with_})})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.total_ = float(state.values["total"])
        self.units_with_ = state.frames["templates"]["units_with"].to_numpy()
        return self
