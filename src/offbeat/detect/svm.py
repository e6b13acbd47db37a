"""On which side of the widest margin between normal and anomalous mixes of templates does it lie?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.kernel import Machine, usual_gamma
from offbeat.detect.ragged import Floats, Ragged
from offbeat.detect.vectors import NEW, ByVector, Columns, Weighting, labelled_rows, thinned


class SVM(ByVector):
    """Score a sequence by its distance from the boundary between normal and anomalous count vectors.

    A support vector machine with the radial basis function, trained by scikit-learn on counts weighted by how few units
    hold a template (TF-IDF); the score is its decision function, 0 on the boundary, about 1 where known anomalies
    begin. Labels cannot teach what a template means that no labelled unit held; among equals a unit with one comes
    first.

    Args:
        penalty: C of the paper: what a unit on the wrong side costs; 100 as in loglizer.
        gamma: how fast the kernel falls with the squared distance; 0 for one over columns times variance.
        vectors: at most so many distinct vectors of either label are learned from, drawn by weight; training time grows
            with the square.
        templates: at most so many have a column of their own, those that most units hold; the others share one.
        seed: of the draw.
    """

    name: ClassVar[str] = "svm"
    source: ClassVar[str] = "Cortes and Vapnik, Machine Learning 1995; TF-IDF as loglizer, He et al., ISSRE 2016"
    looks_at: ClassVar[str] = "mixes of templates like those of known anomalies"
    supervised: ClassVar[bool] = True
    boundary: ClassVar[float | None] = 0.0
    trains_with: ClassVar[tuple[str, ...]] = ("sklearn",)

    def __init__(
        self, penalty: float = 100.0, gamma: float = 0.0, vectors: int = 5000, templates: int = 1000, seed: int = 0
    ) -> None:
        self.penalty = penalty
        self.gamma = gamma
        self.vectors = vectors
        self.templates = templates
        self.seed = seed

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        from sklearn.svm import SVC

        self.columns_ = Columns.fit(data, self.templates)
        self.weighting_ = Weighting.fit(self.columns_, float(data.weight.sum()))
        rows, label, weight = labelled_rows(self._known(self.columns_.counts(data)), y, data.weight)
        kept, mass = thinned(weight, label, self.vectors, self.seed)
        gamma = self.gamma or usual_gamma(rows[kept], mass)
        trained = SVC(C=self.penalty, gamma=gamma).fit(rows[kept], label[kept], sample_weight=mass)
        self.machine_ = Machine.of(trained, gamma)

    def _known(self, counts: Floats) -> Floats:
        return self.weighting_(counts)[:, :-1]

    def _of_counts(self, counts: Floats) -> Floats:
        return self.machine_.decision(self._known(counts)) + NEW * (counts[:, -1] > 0)

    def state(self) -> State:
        """Return the support vectors, their coefficients, and how counts are weighted."""
        machine = self.machine_.state()
        values = {"length": self.columns_.length, "sequences_seen": self.sequences_seen_}
        columns = pl.DataFrame({"idf": self.weighting_.idf})
        frames = {"templates": self.columns_.frame(), "columns": columns}
        return State(values | machine.values, frames | machine.frames)

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.weighting_ = Weighting(state.frames["columns"]["idf"].to_numpy())
        self.machine_ = Machine.restore(state)
        return self
