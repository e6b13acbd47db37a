"""Which side of a few questions about counts do the known anomalies lie on?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from offbeat.detect.base import State
from offbeat.detect.ragged import Floats, Ragged
from offbeat.detect.trees import Trees
from offbeat.detect.vectors import NEW, ByVector, Columns, labelled_rows


class DecisionTree(ByVector):
    """Score a sequence by the share of known anomalies in the leaf that its counts lead to.

    A classification tree (CART) grown by scikit-learn on counts, splitting by Gini impurity, and kept as flat arrays.
    Labels cannot teach what a template means that no labelled unit held; among equals a unit with one comes first.

    Args:
        depth: at most so many questions; 0 for any number.
        leaf: units in a leaf, at least; 1 grows it until leaves are pure.
        templates: at most so many have a column of their own, those that most units hold; the others share one.
        seed: decides between equally good questions.
    """

    name: ClassVar[str] = "decision-tree"
    source: ClassVar[str] = "CART, Breiman et al., 1984; on counts as Chen et al., ICAC 2004, and He et al., ISSRE 2016"
    looks_at: ClassVar[str] = "counts by which known anomalies can be told"
    supervised: ClassVar[bool] = True
    boundary: ClassVar[float | None] = 0.5
    trains_with: ClassVar[tuple[str, ...]] = ("sklearn",)

    def __init__(self, depth: int = 0, leaf: int = 1, templates: int = 1000, seed: int = 0) -> None:
        self.depth = depth
        self.leaf = leaf
        self.templates = templates
        self.seed = seed

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        from sklearn.tree import DecisionTreeClassifier

        self.columns_ = Columns.fit(data, self.templates)
        counts, label, weight = labelled_rows(self.columns_.counts(data)[:, :-1], y, data.weight)
        grown = DecisionTreeClassifier(
            max_depth=self.depth or None,
            min_weight_fraction_leaf=min(self.leaf / weight.sum(), 0.5) if self.leaf > 1 else 0.0,
            random_state=self.seed,
        ).fit(counts, label, sample_weight=weight)
        self.trees_ = Trees.of([grown.tree_], _anomalous)

    def _of_counts(self, counts: Floats) -> Floats:
        p = self.trees_.leaves(counts[:, :-1])[:, 0]
        return np.where(counts[:, -1] > 0, p + NEW * (1.0 - p), p)

    def state(self) -> State:
        """Return the tree as flat arrays, and the columns it asks about."""
        values = {"length": self.columns_.length, "sequences_seen": self.sequences_seen_}
        return State(values, self.trees_.frames() | {"templates": self.columns_.frame()})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.trees_ = Trees.restore(state.frames)
        return self


def _anomalous(tree: Any) -> Floats:
    """Return the share of anomalies in each node of a tree."""
    of_class = tree.value[:, 0, :]
    return np.asarray(of_class[:, 1] / of_class.sum(axis=1))
