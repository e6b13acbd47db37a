"""Does it hold templates that training never held, or hardly ever?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from offbeat.detect.presence import Presence
from offbeat.detect.ragged import Floats, Ragged, segment_max


class NewTemplate(Presence):
    """Score a sequence by its templates that training never saw, and by its rarest one.

    Each distinct template never seen counts ``-ln P(present)`` of one that no unit holds; to their sum is added that of
    the rarest template that was seen, so that what is rare comes before what is usual and after what is new. What is
    missing does not count.

    Args:
        smoothing: pseudo-count added to units with a template, and to units without.
    """

    name: ClassVar[str] = "new-template"
    source: ClassVar[str] = "new events after Landauer et al., FSE 2024; rarity is offbeat's"
    looks_at: ClassVar[str] = "templates that are new or rare"
    in_nats: ClassVar[bool] = True

    def __init__(self, smoothing: float = 0.5) -> None:
        super().__init__(smoothing)

    def _of_absence(self) -> Floats:
        return np.zeros(len(self.units_with_))

    def _score(self, data: Ragged) -> Floats:
        rows, codes, _ = data.cells
        surprise = self._of_cells(data)
        new = np.append(self.units_with_, 0.0)[np.minimum(codes, len(self.units_with_))] == 0
        rarest = segment_max(np.where(new, 0.0, surprise), rows, len(data))
        return rarest + np.bincount(rows, weights=np.where(new, surprise, 0.0), minlength=len(data))
