"""How many standard deviations is a count from its mean over the units just before?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from offbeat.detect.ragged import Floats, Ragged
from offbeat.detect.zscore import ZScore, log_counts


class MovingAverage(ZScore):
    """Score a sequence by its largest ``|x - moving mean| / sd`` over the counts of templates and of events.

    As the z-score, but counts are compared with their mean over the ``window`` units before, so that a level that
    drifts stays usual. Rows must be in the order of time; before the first one the mean of training stands. How far
    units spread is learned and stays. Templates that training did not hold have no level to drift with: their mean
    stays zero.

    Args:
        window: units averaged over.
        templates: at most so many have a column of their own, those that most units hold; the others share one.
    """

    name: ClassVar[str] = "moving-average"
    source: ClassVar[str] = "moving average (Roberts, Technometrics 1959) of log counts, as in the founding paper"
    looks_at: ClassVar[str] = "counts far from those of the units before"

    def __init__(self, window: int = 20, templates: int = 1000) -> None:
        super().__init__(templates)
        self.window = window

    @property
    def memory(self) -> int:
        """How many units before a unit its score depends on."""
        return self.window

    def _score(self, data: Ragged) -> Floats:
        """Return each row's largest standard score against the rows before it.

        Evidence is that of the z-score, against training, for units are mostly shown without those before them.
        """
        out = np.zeros(len(data))
        before = np.tile(self.mean_, (self.window, 1))
        for part, counts in self.columns_.blocks(data):
            logs = log_counts(counts)
            rows = np.concatenate((before, logs))
            # What is new stays new, however often it came.
            rows[:, counts.shape[1] - 1] = 0.0
            sums = np.concatenate((np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)))
            level = (sums[self.window : -1] - sums[: len(logs)]) / self.window
            out[part] = (np.abs(logs - level) / self.sd_).max(axis=1)
            before = rows[len(logs) :]
        return out
