"""How few random cuts set this mix of templates apart?"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.ragged import Floats, Ints, Ragged
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
        flat = _flat([one.tree_ for one in grown.estimators_])
        self.feature_, self.threshold_, self.left_, self.path_, self.root_ = flat

    def path_lengths(self, vectors: Floats) -> Floats:
        """Return the path length in each tree, shape (n, trees), of vectors of shape (n, columns but the last)."""
        single = vectors.astype(np.float32)
        node = np.broadcast_to(self.root_, (len(vectors), len(self.root_)))
        row = np.arange(len(vectors))[:, None]
        while (inner := self.left_[node] >= 0).any():
            # The right child follows the left one; a leaf stays where it is.
            right = single[row, self.feature_[node]] > self.threshold_[node]
            node = np.where(inner, self.left_[node] + right, node)
        return np.asarray(self.path_[node])

    def _of_counts(self, counts: Floats) -> Floats:
        path = self.path_lengths(np.log1p(counts[:, :-1]))
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
        nodes = {"feature": self.feature_, "threshold": self.threshold_, "left": self.left_, "path": self.path_}
        values = {
            "usual_path": self.usual_path_,
            "varying": self.varying_,
            "length": self.columns_.length,
            "sequences_seen": self.sequences_seen_,
        }
        frames = {"nodes": pl.DataFrame(nodes), "roots": pl.DataFrame({"root": self.root_})}
        return State(values, frames | {"templates": self.columns_.frame()})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.usual_path_ = float(state.values["usual_path"])
        self.varying_ = int(state.values["varying"])
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        nodes = (state.frames["nodes"][name].to_numpy() for name in ("feature", "threshold", "left", "path"))
        self.feature_, self.threshold_, self.left_, self.path_ = nodes
        self.root_ = state.frames["roots"]["root"].to_numpy()
        return self


def _average_path(units: Ints) -> Floats:
    """Return ``c(n)`` of the paper, the mean path of an unsuccessful search in a binary tree of ``n`` units."""
    n = np.maximum(units, 3).astype(np.float64)
    usual = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.asarray(np.select([units <= 1, units == 2], [0.0, 1.0], usual))


def _flat(trees: list[Any]) -> tuple[Ints, Floats, Ints, Floats, Ints]:
    """Lay scikit-learn's trees end to end, nodes by depth, so that the two children of a node stand side by side.

    Returns:
        Of each node the column cut, where, its left child (-1 for a leaf) and, of leaves, the path length that ends
        there; and of each tree its root.
    """
    features, thresholds, lefts, paths, roots = [], [], [], [], []
    base = 0
    for tree in trees:
        order, place = _by_depth(tree)
        left = tree.children_left[order]
        lefts.append(np.where(left < 0, -1, base + place[left]))
        features.append(np.maximum(tree.feature[order], 0))
        thresholds.append(tree.threshold[order])
        depth = np.asarray(tree.compute_node_depths())[order] - 1.0
        paths.append(depth + _average_path(tree.n_node_samples[order]))
        roots.append(base)
        base += len(order)
    flat = [np.concatenate(x) for x in (features, thresholds, lefts, paths)]
    return flat[0].astype(np.int64), flat[1], flat[2].astype(np.int64), flat[3], np.array(roots, dtype=np.int64)


def _by_depth(tree: Any) -> tuple[Ints, Ints]:
    """Return the nodes in an order with siblings side by side, and the place of each node in it."""
    order = [0]
    for node in order:
        if tree.children_left[node] >= 0:
            order += [int(tree.children_left[node]), int(tree.children_right[node])]
    place = np.zeros(tree.node_count, dtype=np.int64)
    place[order] = np.arange(len(order))
    return np.array(order, dtype=np.int64), place
