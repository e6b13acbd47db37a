"""Does this mix of templates lie inside the smallest region that holds nearly all usual ones?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from offbeat.detect.base import State
from offbeat.detect.kernel import Machine, usual_gamma
from offbeat.detect.ragged import Floats, Ragged
from offbeat.detect.sizes import check_shares
from offbeat.detect.vectors import ByVector, Columns, distinct_rows, thinned


class OneClassSVM(ByVector):
    """Score a sequence by how far its log counts lie outside the region that holds all but ``nu`` of training.

    Trained by scikit-learn with the radial basis function; the score is the opposite of the decision function, divided
    by ``nu`` times the number of units, so that 0 is on the boundary and the largest is below 1.

    Args:
        nu: share of training units that may lie outside; the paper finds outliers with 0.05.
        gamma: how fast the kernel falls with the squared distance; 0 for one over columns times variance.
        vectors: at most so many distinct vectors are learned from, drawn by weight; training time grows with the
            square.
        templates: at most so many have a column of their own, those that most units hold; the others share one.
        seed: of the draw.
    """

    name: ClassVar[str] = "one-class-svm"
    source: ClassVar[str] = "Schölkopf et al., Neural Computation 2001; on log counts"
    looks_at: ClassVar[str] = "mixes of templates outside the region of the usual ones"
    trains_with: ClassVar[tuple[str, ...]] = ("sklearn",)

    def __init__(
        self, nu: float = 0.05, gamma: float = 0.0, vectors: int = 5000, templates: int = 1000, seed: int = 0
    ) -> None:
        self.nu = nu
        self.gamma = gamma
        self.vectors = vectors
        self.templates = templates
        self.seed = seed

    def check_params(self) -> Self:
        """Raise OptionError for a number that cannot be used; see the base class."""
        super().check_params()
        check_shares(self, "nu")
        return self

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        from sklearn.svm import OneClassSVM as Trained

        self.columns_ = Columns.fit(data, self.templates)
        rows, weight = distinct_rows(np.log1p(self.columns_.counts(data)), data.weight)
        kept, mass = thinned(weight, np.zeros(len(weight), dtype=bool), self.vectors, self.seed)
        gamma = self.gamma or usual_gamma(rows[kept], mass)
        # On a scale where a vector counts 1 on average the solver's tolerance means what it should.
        share = mass / mass.mean()
        trained = Trained(nu=self.nu, gamma=gamma).fit(rows[kept], sample_weight=share)
        self.machine_ = Machine.of(trained, gamma)

    def _of_counts(self, counts: Floats) -> Floats:
        size = self.machine_.coefficient.sum()
        return np.asarray(-self.machine_.decision(np.log1p(counts)) / size)

    def state(self) -> State:
        """Return the support vectors and their coefficients."""
        machine = self.machine_.state()
        values = {"length": self.columns_.length, "sequences_seen": self.sequences_seen_}
        return State(values | machine.values, {"templates": self.columns_.frame()} | machine.frames)

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.machine_ = Machine.restore(state)
        return self
