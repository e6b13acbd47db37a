"""A decision tree in place of the ensemble: what the verdicts of a run come to, and how much of them it gets right.

A global surrogate (Craven and Shavlik, 1996): CART (Breiman and others, 1984) is fitted to the verdicts, not to
labels, over counts of templates and sizes. How far it can be trusted is its fidelity: its agreement with verdicts of
units whose sequences it did not see. Growing it needs the extra ``train`` (scikit-learn).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.ragged import Ragged
from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.explain.words import duration, shortened, times
from offbeat.proposal.past import Past

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Leaves of a tree that is read in one go.
LEAVES: Final = 12
_DEPTH: Final = 6
_FOLDS: Final = 5
#: Templates with a column: those that most units hold, and all that a strange one holds; of these so many at most.
_TEMPLATES: Final = 400
#: Strange units of different sequences below which nothing can be held out.
_LEAST: Final = 2


@dataclass(frozen=True)
class Node:
    """A question of the tree, or a leaf.

    Attributes:
        units: that come here, of those it was grown on.
        strange: how many of them are.
        feature: ``count`` of a template, ``events`` or ``seconds`` of the unit, or its largest ``pause`` or ``number``;
            empty for a leaf.
        template: code, for a count.
        above: a unit with more goes to ``more``, another to ``rest``.
        more, rest: nodes; None for a leaf.
    """

    units: float
    strange: float
    feature: str = ""
    template: int | None = None
    above: float = 0.0
    more: Node | None = None
    rest: Node | None = None

    @property
    def verdict(self) -> bool:
        """Whether more of its units are strange than not."""
        return self.strange > self.units / 2


@dataclass(frozen=True)
class Surrogate:
    """A tree and its fidelity.

    Attributes:
        root: of the tree grown on all units.
        texts, ids: of the templates by code.
        unit: the word for a unit.
        units, strange: how many there are.
        agreement: share of units with the same verdict, held out: each judged by a tree that saw none like it.
        precision, recall, f1: of the strange ones, held out; the verdicts are taken for the truth.
        fitted_f1: the same of the tree shown, on the units that it was grown on.
        folds: parts that were held out in turn.
    """

    root: Node
    texts: list[str]
    unit: str
    units: float
    strange: float
    agreement: float
    precision: float
    recall: float
    f1: float
    fitted_f1: float
    folds: int

    def as_dict(self) -> dict[str, Any]:
        """Return tree and fidelity as plain values."""
        kept = ("unit", "units", "strange", "agreement", "precision", "recall", "f1", "fitted_f1", "folds")
        return {name: getattr(self, name) for name in kept} | {"tree": self._plain(self.root)}

    def _plain(self, node: Node) -> dict[str, Any]:
        out: dict[str, Any] = {"units": node.units, "strange": node.strange, "verdict": node.verdict}
        if node.more is None or node.rest is None:
            return out
        about = {} if node.template is None else {"template": self.texts[node.template]}
        asked = {"feature": node.feature, **about, "above": node.above}
        return out | asked | {"more": self._plain(node.more), "rest": self._plain(node.rest)}

    def lines(self) -> Iterator[str]:
        """Yield the tree as text, and its fidelity."""
        yield (
            f"{self.agreement:.1%} of {self.units:,.0f} {self.unit}s get the verdict that the views give them; of the "
            f"{self.strange:,.0f} strange ones {self.recall:.0%} are found, and {self.precision:.0%} of what is found "
            f"is one (F1 {self.f1:.2f}; each judged by a tree that saw no {self.unit} like it, {self.folds} parts)"
        )
        yield ""
        yield from self._lines(self.root, "")

    def _lines(self, node: Node, indent: str) -> Iterator[str]:
        if node.more is None or node.rest is None:
            yield f"{indent}{self._leaf(node)}"
            return
        few, many = self._asked(node)
        for words, child in ((many, node.more), (few, node.rest)):
            if child.more is None:
                yield f"{indent}{words}: {self._leaf(child)}"
            else:
                yield f"{indent}{words}:"
                yield from self._lines(child, indent + "    ")

    def _leaf(self, node: Node) -> str:
        if not node.verdict:
            odd = f", {node.strange:,.0f} of them strange" if node.strange else ""
            return f"normal ({node.units:,.0f}{odd})"
        return f"STRANGE ({node.strange:,.0f} of {node.units:,.0f})"

    def _asked(self, node: Node) -> tuple[str, str]:
        """Return the question's two answers in words: no more than the bound, and more."""
        least = int(np.floor(node.above)) + 1
        if node.template is not None:
            about = f"“{shortened(self.texts[node.template], 80)}”"
            if least == 1:
                return f"no {about}", f"{about} is there"
            return f"{about} fewer than {times(least)}", f"{about} {times(least)} or more"
        if node.feature == "events":
            return f"fewer than {least:,} events", f"{least:,} events or more"
        if node.feature == "number":
            return f"no number above {node.above:,.4g}", f"a number above {node.above:,.4g}"
        what = "a pause" if node.feature == "pause" else "a length"
        return f"{what} of {duration(node.above)} at most", f"{what} of more than {duration(node.above)}"


def surrogate(run: str | Path | Past, *, leaves: int = LEAVES, seed: int = 0) -> Surrogate:
    """Fit a decision tree to the verdicts of a run.

    Args:
        run: what ``detect -o`` wrote, or its past.
        leaves: at most so many.
        seed: of the parts held out.

    Raises:
        NotEnoughDataError: fewer than two strange, or normal, units differ in their sequences.
        OptionError: scikit-learn is not installed, or there is no room for two leaves.
    """
    if leaves < 2:
        raise OptionError(f"{leaves} cannot be; a tree has two leaves at least", where="leaves")
    try:
        from sklearn.model_selection import StratifiedGroupKFold
        from sklearn.tree import DecisionTreeClassifier
    except ImportError:
        hint = "pip install 'offbeat[train]'"
        raise OptionError("needs scikit-learn", where="--surrogate", hint=hint) from None
    past = run if isinstance(run, Past) else Past.open(run)
    verdict, weight = past.units["is_anomaly"].to_numpy(), past.units["weight"].to_numpy()
    data = Ragged.of(past.units)
    _, like = data.distinct
    folds = min(_FOLDS, *(len(np.unique(like[verdict == side])) for side in (True, False)))
    if folds < _LEAST:
        what = f"{int(verdict.sum()):,} strange and {int((~verdict).sum()):,} normal {past.unit}s"
        raise NotEnoughDataError(f"{what} are too few that differ", where="--surrogate", hint="a longer log")
    names, columns = _features(past, data, verdict)

    def grown(rows: Bools | NDArray[np.int64]) -> Any:
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves, max_depth=_DEPTH, random_state=seed)
        return tree.fit(columns[rows], verdict[rows], sample_weight=weight[rows])

    said = np.zeros(len(verdict), dtype=np.bool_)
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for learned, held in parts.split(columns, verdict, like):
        said[held] = grown(learned).predict(columns[held])
    whole = grown(np.ones(len(verdict), dtype=np.bool_))
    precision, recall, f1 = _f1(verdict, said, weight)
    return Surrogate(
        root=_node(whole.tree_, 0, names),
        texts=list(past.texts),
        unit=past.unit,
        units=float(weight.sum()),
        strange=float(weight[verdict].sum()),
        agreement=round(float(np.average(said == verdict, weights=weight)), 6),
        precision=precision,
        recall=recall,
        f1=f1,
        fitted_f1=_f1(verdict, whole.predict(columns), weight)[2],
        folds=folds,
    )


def _f1(verdict: Bools, said: Bools, weight: Floats) -> tuple[float, float, float]:
    hit = float(weight[verdict & said].sum())
    precision, recall = hit / max(float(weight[said].sum()), 1e-12), hit / float(weight[verdict].sum())
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return round(precision, 6), round(recall, 6), round(f1, 6)


def _features(past: Past, data: Ragged, verdict: Bools) -> tuple[list[tuple[str, int | None]], NDArray[np.float32]]:
    """Return the features' names, with the template of a count, and their values, shape (n, features)."""
    n, top = len(data), len(past.texts)
    pairs = np.unique(data.rows * top + data.ids)
    held = np.bincount(pairs % top, minlength=top)
    odd = np.bincount(pairs[verdict[pairs // top]] % top, minlength=top) > 0
    codes = np.lexsort((-held, ~odd))[: min(_TEMPLATES, int((held > 0).sum()))]
    place = np.full(top, -1)
    place[codes] = np.arange(len(codes))
    at = np.flatnonzero(place[data.ids] >= 0)
    flat = data.rows[at] * len(codes) + place[data.ids[at]]
    counts = np.bincount(flat, minlength=n * len(codes)).reshape(n, len(codes))
    names: list[tuple[str, int | None]] = [("count", int(code)) for code in codes]
    columns: list[NDArray[Any]] = [counts, data.lengths[:, None]]
    names.append(("events", None))
    if past.timed and "timestamps" in past.units.columns:
        pause = pl.col("timestamps").list.diff().list.max().dt.total_microseconds() / 1e6
        long = (pl.col("end") - pl.col("start")).dt.total_microseconds() / 1e6
        columns.append(past.units.select(pause.fill_null(0.0), seconds=long.fill_null(0.0)).to_numpy())
        names += [("pause", None), ("seconds", None)]
    if "values" in past.units.columns:
        columns.append(past.units.select(pl.col("values").list.max().fill_null(0.0).cast(pl.Float64)).to_numpy())
        names.append(("number", None))
    return names, np.hstack([column.astype(np.float32) for column in columns])


def _node(tree: Any, at: int, names: list[tuple[str, int | None]]) -> Node:
    """Return a node of scikit-learn's tree with all below it; siblings that say the same are one leaf."""
    total = float(tree.weighted_n_node_samples[at])
    share = tree.value[at][0] / tree.value[at][0].sum()
    units, strange = round(total, 4), round(float(share[1]) * total, 4) if len(share) > 1 else 0.0
    if tree.children_left[at] < 0:
        return Node(units, strange)
    rest, more = (_node(tree, int(child[at]), names) for child in (tree.children_left, tree.children_right))
    if more.more is None and rest.more is None and more.verdict == rest.verdict:
        return Node(units, strange)
    feature, template = names[int(tree.feature[at])]
    return Node(units, strange, feature, template, float(tree.threshold[at]), more, rest)
