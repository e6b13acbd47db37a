"""Trees grown by scikit-learn, kept as flat arrays: walked without it, saved as two tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from offbeat.detect.ragged import Floats, Ints


@dataclass(frozen=True)
class Trees:
    """One or more binary trees laid end to end, the two children of a node side by side.

    Attributes:
        feature: column that a node asks about, int64 of shape (nodes,).
        threshold: up to which its value goes left, shape (nodes,).
        left: the node's left child, the right one follows it; -1 for a leaf; int64 of shape (nodes,).
        value: what a leaf says, shape (nodes,).
        root: first node of each tree, int64 of shape (trees,).
    """

    feature: Ints
    threshold: Floats
    left: Ints
    value: Floats
    root: Ints

    @classmethod
    def of(cls, grown: Sequence[Any], value: Callable[[Any], Floats]) -> Self:
        """Take scikit-learn's ``tree_`` objects; ``value`` gives what each node of one would say as a leaf."""
        features, thresholds, lefts, values, roots = [], [], [], [], []
        base = 0
        for tree in grown:
            order, place = _by_depth(tree)
            left = tree.children_left[order]
            lefts.append(np.where(left < 0, -1, base + place[left]))
            features.append(np.maximum(tree.feature[order], 0))
            thresholds.append(tree.threshold[order])
            values.append(value(tree)[order])
            roots.append(base)
            base += len(order)
        return cls(
            np.concatenate(features).astype(np.int64),
            np.concatenate(thresholds).astype(np.float64),
            np.concatenate(lefts).astype(np.int64),
            np.concatenate(values).astype(np.float64),
            np.array(roots, dtype=np.int64),
        )

    def leaves(self, vectors: Floats) -> Floats:
        """Return what the leaf that each vector falls into says, in each tree: (n, columns) to (n, trees)."""
        # scikit-learn compares single-precision values with double-precision thresholds.
        single = vectors.astype(np.float32)
        node = np.broadcast_to(self.root, (len(vectors), len(self.root)))
        row = np.arange(len(vectors))[:, None]
        while (inner := self.left[node] >= 0).any():
            right = single[row, self.feature[node]] > self.threshold[node]
            node = np.where(inner, self.left[node] + right, node)
        return np.asarray(self.value[node])

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return the tables to save."""
        nodes = {"feature": self.feature, "threshold": self.threshold, "left": self.left, "value": self.value}
        return {"nodes": pl.DataFrame(nodes), "roots": pl.DataFrame({"root": self.root})}

    @classmethod
    def restore(cls, frames: dict[str, pl.DataFrame]) -> Self:
        """Take up saved tables."""
        feature, threshold, left, value = (column.to_numpy() for column in frames["nodes"].get_columns())
        return cls(feature, threshold, left, value, frames["roots"]["root"].to_numpy())


def _by_depth(tree: Any) -> tuple[Ints, Ints]:
    """Return the nodes in an order with siblings side by side, and the place of each node in it."""
    order = [0]
    for node in order:
        if tree.children_left[node] >= 0:
            order += [int(tree.children_left[node]), int(tree.children_right[node])]
    place = np.zeros(tree.node_count, dtype=np.int64)
    place[order] = np.arange(len(order))
    return np.array(order, dtype=np.int64), place
