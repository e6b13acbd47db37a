"""Logs repeat: units and the distinct sequences among them, each of which is learned from and scored once."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect import Detector, Ragged

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: Frequent sequences kept for explanations: so many, of at most so many events.
USUAL, USUAL_LENGTH = 2_000, 300
#: Sequences whose scores are remembered, at most (about 100 bytes each); with more, all are forgotten.
_REMEMBERED: Final = 100_000
#: Events at a time for views of times and numbers, which hold several arrays as long as the events.
_AT_ONCE: Final = 65_536
#: All units.
EVERY: Final = slice(None)


def _few(units: pl.DataFrame) -> list[pl.DataFrame]:
    """Return units in parts of about so many events; at least one part."""
    part = units["templates"].list.len().cum_sum() // _AT_ONCE
    ends = np.flatnonzero(np.diff(part.to_numpy())) + 1
    bounds = [0, *(int(end) for end in ends), units.height]
    return [units[low:high] for low, high in itertools.pairwise(bounds)]


def by_sequence(detector: Detector) -> bool:
    """Whether a fitted detector's score of a unit follows from the unit's sequence of templates alone."""
    return not (getattr(detector, "reads_", detector.needs) or detector.memory)


class Distinct:
    """Units and the distinct sequences among them, for detectors that look at sequences alone.

    Args:
        units: SEQUENCES, n of them.
        anomalous: true for a known anomaly, shape (n,); None where there are no labels.
    """

    def __init__(self, units: pl.DataFrame, anomalous: Bools | None = None) -> None:
        self.units = units
        self.anomalous = np.zeros(units.height, dtype=bool) if anomalous is None else anomalous
        self.data = Ragged.of(units)
        self.first, self.index = self.data.distinct
        self.sequences = units.select("templates")[self.first]
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def fit(self, detector: Detector, rows: Bools) -> Detector:
        """Fit on some of the units; on distinct sequences with their weights, where templates are all it reads."""
        with self._timed(detector):
            return self._fit(detector, rows)

    @contextmanager
    def _timed(self, detector: Detector) -> Iterator[None]:
        began = time.process_time()
        yield
        self.seconds[detector.name] += time.process_time() - began

    def _fit(self, detector: Detector, rows: Bools) -> Detector:
        if detector.supervised or (detector.takes_labels and (rows & self.anomalous).any()):
            parts = [self._weighed(detector, rows & side) for side in (~self.anomalous, self.anomalous)]
            label = np.repeat([False, True], [part.height for part in parts])
            return detector.fit(pl.concat(parts), pl.Series("label", label))
        return detector.fit(self._weighed(detector, rows & ~self.anomalous))

    def most_frequent(self) -> pl.DataFrame:
        """Return the distinct sequences that most normal units have, not too long, with their ``weight``."""
        weight = np.bincount(self.index, weights=self.data.weight * ~self.anomalous, minlength=len(self.first))
        found = self.sequences.with_columns(weight=pl.Series(weight, dtype=pl.Float64), first=pl.Series(self.first))
        short = found.filter((pl.col("weight") > 0) & (pl.col("templates").list.len() <= USUAL_LENGTH))
        return short.sort("weight", "first", descending=[True, False]).head(USUAL).drop("first")

    def _weighed(self, detector: Detector, rows: Bools) -> pl.DataFrame:
        if detector.read_from(self.units):
            return self.units.filter(rows)
        weight = np.bincount(self.index, weights=self.data.weight * rows, minlength=len(self.first))
        seen = np.flatnonzero(weight > 0)
        return self.sequences[seen].with_columns(weight=pl.Series(weight[seen], dtype=pl.Float64))

    def score(self, detector: Detector, rows: Bools) -> Floats:
        """Return the raw scores of some of the units, shape (rows that are true,)."""
        with self._timed(detector):
            return self._score(detector, rows)

    def _score(self, detector: Detector, rows: Bools) -> Floats:
        if not by_sequence(detector):
            return detector.anomaly_score(self.units.filter(rows)).to_numpy()
        asked, index = np.unique(self.index[rows], return_inverse=True)
        scores = detector.anomaly_score(self.sequences[asked]).to_numpy()[index]
        return self.ended(detector, scores, rows)

    def ended(self, detector: Detector, scores: Floats, rows: Bools | slice = EVERY) -> Floats:
        """Return scores of some of the units, where the detector judges ends 0 for units that have not ended."""
        if detector.needs_ends and "open_at_end" in self.units.columns:
            # A unit that the input cut off has not ended where it stops.
            scores = np.where(self.units["open_at_end"].to_numpy()[rows], 0.0, scores)
        return np.asarray(scores, dtype=np.float64)


class Scorer:
    """Scores units part by part; a sequence met in an earlier part is not scored again.

    Args:
        views: fitted detectors by name.

    Attributes:
        views: as given.
    """

    def __init__(self, views: Mapping[str, Detector]) -> None:
        self.views = views
        self._alone = [name for name, detector in views.items() if by_sequence(detector)]
        self._forget()

    def _forget(self) -> None:
        self._hashes = np.zeros((0, 3), dtype=np.uint64)  # ordered by the first column
        self._scores = np.zeros((0, len(self._alone)))

    def __call__(self, units: pl.DataFrame, texts: Sequence[str] = ()) -> tuple[dict[str, Floats], Ragged]:
        """Return each view's raw score of each unit, shape (n,), and the units' sequences.

        Args:
            units: SEQUENCES, n of them.
            texts: the templates' by code, as far as they are known now.
        """
        for detector in self.views.values():
            detector.texts = texts
        seen = Distinct(units)
        known = self._of_sequences(seen)[seen.index] if self._alone else None
        out = {}
        for name, detector in self.views.items():
            if known is not None and name in self._alone:
                out[name] = seen.ended(detector, known[:, self._alone.index(name)])
            else:
                parts = _few(units) if not detector.memory else [units]
                out[name] = np.concatenate([detector.anomaly_score(part).to_numpy() for part in parts])
        return out, seen.data

    def _of_sequences(self, seen: Distinct) -> Floats:
        """Return the scores of distinct sequences, shape (sequences, views that look at these alone)."""
        hashes = seen.data.hashes[seen.first]
        at = np.searchsorted(self._hashes[:, 0], hashes[:, 0])
        known = np.zeros(len(at), dtype=bool)
        inside = at < len(self._hashes)
        known[inside] = (self._hashes[at[inside]] == hashes[inside]).all(axis=1)
        scores = np.empty((len(at), len(self._alone)))
        scores[known] = self._scores[at[known]]
        fresh = np.flatnonzero(~known)
        if len(fresh):
            new = seen.sequences[fresh]
            for column, name in enumerate(self._alone):
                scores[fresh, column] = self.views[name].anomaly_score(new).to_numpy()
            self._remember(hashes[fresh], scores[fresh])
        return scores

    def _remember(self, hashes: NDArray[np.uint64], scores: Floats) -> None:
        if len(self._hashes) + len(hashes) > _REMEMBERED:
            self._forget()
        hashes, scores = np.concatenate([self._hashes, hashes]), np.concatenate([self._scores, scores])
        order = np.argsort(hashes[:, 0], kind="stable")[:_REMEMBERED]
        self._hashes, self._scores = hashes[order], scores[order]


def score_views(views: Mapping[str, Detector], units: pl.DataFrame, texts: Sequence[str] = ()) -> dict[str, Floats]:
    """Return each view's raw score of each unit, shape (n,); every distinct sequence is scored once.

    ``texts`` are the templates' by code, as far as they are known now.
    """
    return Scorer(views)(units, texts)[0]
