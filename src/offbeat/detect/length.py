"""How unusual is it for a unit to have so many events?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import Detector, State
from offbeat.detect.ragged import Floats, Ragged


class Length(Detector):
    """Score a sequence by how far its number of events lies in either tail.

    The score is ``-ln`` of the two-sided tail probability under the training lengths; beyond the shortest and the
    longest one it goes on in proportion to the logarithm of the length, so that no two lengths tie. With new templates
    and count vectors it is one of the three simple detectors that Landauer et al. (FSE 2024) found hard to beat.
    """

    name: ClassVar[str] = "length"
    source: ClassVar[str] = "Landauer et al., FSE 2024; two-sided tail of the number of events"
    looks_at: ClassVar[str] = "how many events there are"
    in_nats: ClassVar[bool] = True

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        self.lengths_, index = np.unique(data.lengths, return_inverse=True)
        self.units_ = np.bincount(index, weights=data.weight).astype(np.float64)

    def _score(self, data: Ragged) -> Floats:
        total = self.units_.sum()
        up_to = np.concatenate(([0.0], np.cumsum(self.units_)))
        n = data.lengths
        low = up_to[np.searchsorted(self.lengths_, n, side="right")]
        high = total - up_to[np.searchsorted(self.lengths_, n, side="left")]
        tail = np.minimum(1.0, 2 * (np.minimum(low, high) + 1) / (total + 1))
        outside = np.maximum(np.log1p(n) - np.log1p(self.lengths_[-1]), np.log1p(self.lengths_[0]) - np.log1p(n))
        return np.asarray(-np.log(tail) + np.maximum(outside, 0.0), dtype=np.float64)

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        usual = float(self.lengths_[np.searchsorted(np.cumsum(self.units_), self.units_.sum() / 2)])
        score = self._score(data)
        return {
            "kind": np.full(len(data), "length"),
            "template": pl.Series([None] * len(data), dtype=pl.UInt32),
            "event": pl.Series([None] * len(data), dtype=pl.UInt32),
            "seen": data.lengths.astype(float),
            "usual": np.full(len(data), usual),
            "share": np.exp(-score),
        }

    def state(self) -> State:
        """Return how many units had each length."""
        return State(
            {"sequences_seen": self.sequences_seen_},
            {"lengths": pl.DataFrame({"events": self.lengths_, "units": self.units_})},
        )

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.lengths_ = state.frames["lengths"]["events"].to_numpy()
        self.units_ = state.frames["lengths"]["units"].to_numpy()
        return self
