"""How much of this mix of templates lies outside the few directions in which usual mixes vary?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.detect.vectors import ByVector, Columns, Weighting, matrix_frame, matrix_of


class PCA(ByVector):
    """Score a sequence by its squared prediction error: the part that the principal components do not explain.

    Counts are weighted by how few units hold a template (TF-IDF) and centred; the components that explain ``variance``
    span what is normal, and the score is the squared length of what is left. The paper's threshold on it is left to
    offbeat's. Where only known templates vary, a new one is all residual.

    Args:
        variance: share of the variance that the normal space explains.
        templates: at most so many have a column of their own, those that most units hold; the others share one.
    """

    name: ClassVar[str] = "pca"
    source: ClassVar[str] = "Xu et al., SOSP 2009; TF-IDF as loglizer, He et al., ISSRE 2016"
    looks_at: ClassVar[str] = "mixes of templates outside the usual directions"

    def __init__(self, variance: float = 0.95, templates: int = 1000) -> None:
        self.variance = variance
        self.templates = templates

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        self.columns_ = Columns.fit(data, self.templates)
        self.weighting_ = Weighting.fit(self.columns_, float(data.weight.sum()))
        total = float(data.weight.sum())
        mean, moment = np.zeros(self.columns_.width), np.zeros((self.columns_.width,) * 2)
        for part, counts in self.columns_.blocks(data):
            vectors = self.weighting_(counts)
            mean += data.weight[part] @ vectors / total
            moment += (vectors * data.weight[part, None]).T @ vectors / total
        self.mean_ = mean
        values, directions = np.linalg.eigh(moment - np.outer(mean, mean))
        values, directions = np.maximum(values[::-1], 0.0), directions[:, ::-1]
        explained = np.cumsum(values)
        # As many as explain that share, one too few never; none where nothing varies.
        several = int(np.searchsorted(explained, self.variance * explained[-1] * (1 - 1e-12))) + 1
        self.components_ = directions[:, :several].T if explained[-1] > 1e-12 else np.zeros((0, len(mean)))

    def _residual(self, counts: Floats) -> Floats:
        centred = self.weighting_(counts) - self.mean_
        return np.asarray(centred - (centred @ self.components_.T) @ self.components_)

    def _of_counts(self, counts: Floats) -> Floats:
        return np.asarray((self._residual(counts) ** 2).sum(axis=1))

    def _to_blame(self, counts: Floats) -> Ints:
        # Rounded, so that equals stay equal however the product was summed.
        return np.asarray(np.abs(self._residual(counts)).round(9).argmax(axis=1), dtype=np.int64)

    def state(self) -> State:
        """Return the components, and how counts are weighted and centred."""
        values = {
            "length": self.columns_.length,
            "components": len(self.components_),
            "sequences_seen": self.sequences_seen_,
        }
        columns = pl.DataFrame({"idf": self.weighting_.idf, "mean": self.mean_})
        components = matrix_frame(self.components_)
        return State(values, {"templates": self.columns_.frame(), "columns": columns, "components": components})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.weighting_ = Weighting(state.frames["columns"]["idf"].to_numpy())
        self.mean_ = state.frames["columns"]["mean"].to_numpy()
        self.components_ = matrix_of(state.frames["components"], state.values["components"], len(self.mean_))
        return self
