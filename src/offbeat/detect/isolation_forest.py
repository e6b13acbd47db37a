"""How few random cuts set this mix of templates apart?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from offbeat.detect.base import State
from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.detect.trees import Trees
from offbeat.detect.vectors import ByVector, Columns, representatives


class IsolationForest(ByVector):
    """Score a sequence by how soon random cuts of ``ln(1 + count)`` isolate it.

    Trees are grown by scikit-learn, each on ``sample`` units, and kept as flat arrays; the score is the paper's
    ``2 ** (-E(h) / c(sample))`` with ``h`` the path length. A template that training did not hold has no column in any
    tree. It is thought of as one more that every cut may fall on, and that isolates at once: with q the share of such
    columns among those that vary, the expected path becomes ``(1 - (1 - q) ** h) / q``.

    Args:
        trees: so many.
        sample: units each tree is grown on.
        templates: at most so many have a column of their own, those that most units hold; the others share one.
        units: at most so many units are drawn from, by weight.
        seed: of everything random.
    """

    name: ClassVar[str] = "isolation-forest"
    source: ClassVar[str] = "Liu, Ting and Zhou, ICDM 2008; on log counts"
    looks_at: ClassVar[str] = "mixes of templates that few cuts set apart"
    trains_with: ClassVar[tuple[str, ...]] = ("sklearn",)

    def __init__(
        self, trees: int = 100, sample: int = 256, templates: int = 1000, units: int = 20_000, seed: int = 0
    ) -> None:
        self.trees = trees
        self.sample = sample
        self.templates = templates
        self.units = units
        self.seed = seed

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        from sklearn.ensemble import IsolationForest as Grown

        self.columns_ = Columns.fit(data, self.templates)
        kept, times = representatives(data, self.units, self.seed)
        vectors = np.log1p(self.columns_.counts(kept)[:, :-1]).astype(np.float32).repeat(times, axis=0)
        sample = min(self.sample, len(vectors))
        grown = Grown(n_estimators=self.trees, max_samples=sample, random_state=self.seed).fit(vectors)
        self.varying_ = int((vectors.min(axis=0) < vectors.max(axis=0)).sum())
        self.usual_path_ = float(_average_path(np.array([grown.max_samples_]))[0])
        self.trees_ = Trees.of([one.tree_ for one in grown.estimators_], _path)

    def _of_counts(self, counts: Floats) -> Floats:
        path = self.trees_.leaves(np.log1p(counts[:, :-1]))
        new = counts[:, -1] > 0
        q = 1.0 / (self.varying_ + 1.0)
        path[new] = (1.0 - (1.0 - q) ** path[new]) / q if q < 1 else np.minimum(path[new], 1.0)
        mean = path.mean(axis=1)
        if self.usual_path_ > 0:
            return np.asarray(2.0 ** (-mean / self.usual_path_))
        # A single unit to learn from: there is no usual path, and only what is new can be told apart.
        return np.where(new, 1.0, 0.5)

    def state(self) -> State:
        """Return the trees as flat arrays, and the columns they cut."""
        values = {
            "usual_path": self.usual_path_,
            "varying": self.varying_,
            "length": self.columns_.length,
            "sequences_seen": self.sequences_seen_,
        }
        return State(values, self.trees_.frames() | {"templates": self.columns_.frame()})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.usual_path_ = float(state.values["usual_path"])
        self.varying_ = int(state.values["varying"])
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.trees_ = Trees.restore(state.frames)
        return self


def _average_path(units: Ints) -> Floats:
    """Return ``c(n)`` of the paper, the mean path of an unsuccessful search in a binary tree of ``n`` units."""
    n = np.maximum(units, 3).astype(np.float64)
    usual = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.asarray(np.select([units <= 1, units == 2], [0.0, 1.0], usual))


def _path(tree: Any) -> Floats:
    """Return the path length that ends in each node of a tree, were it a leaf."""
    return np.asarray(tree.compute_node_depths() - 1.0 + _average_path(tree.n_node_samples))
