"""How improbable is it that this template is here, or that it is missing?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.parts import ByTemplate
from offbeat.detect.ragged import Floats, Ints, Ragged


class Presence(ByTemplate):
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
    in_nats: ClassVar[bool] = True

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

    def _of_presence(self, codes: Ints, counts: Ints) -> Floats:
        """Return the surprise at templates that are there; how often is all the same."""
        present = np.append(self.surprise()[0], self.surprise_of_new)
        return present[np.minimum(codes, len(present) - 1)]

    def _of_absence(self) -> Floats:
        return self.surprise()[1]

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        _, codes, counts = data.cells
        here, cell, template = self._worst(data)
        # One entry more stands for every template that training never saw.
        held = np.append(self.units_with_, 0.0)
        share = held[np.minimum(template, len(held) - 1)] / self.total_
        kind = np.where(~here, "missing event", np.where(share > 0, "rare pattern", "new pattern"))
        return {
            "kind": kind,
            "template": template.astype(np.uint32),
            "event": pl.Series(data.first_places[cell] if len(codes) else here)
            .cast(pl.UInt32)
            .set(pl.Series(~here), None),
            "seen": np.where(here, counts[cell], 0.0) if len(codes) else np.zeros(len(data)),
            "usual": np.where(here, 0.0, 1.0),
            "share": share,
        }

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
