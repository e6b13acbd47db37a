"""A decision tree in place of the ensemble: what the verdicts of a run come to, and how much of them it gets right.

A global surrogate (Craven and Shavlik, 1996): CART (Breiman and others, 1984) is fitted to the verdicts, not to labels,
over what can be asked of a unit (``proposal.traits``). How far it can be trusted is its fidelity: its agreement with
verdicts of units whose sequences it did not see. Growing it needs the extra ``train`` (scikit-learn).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from offbeat.detect.ragged import Ragged
from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.proposal.past import Past
from offbeat.proposal.traits import asked, is_share, traits

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Leaves of a tree that is read in one go.
LEAVES: Final = 12
_DEPTH: Final = 6
_FOLDS: Final = 5
#: Distinct units of a leaf, at least: a question for less is about nobody else.
_LEAST_LEAF: Final = 3
#: Strange units of different sequences below which nothing can be held out.
_LEAST: Final = 2
#: Below this F1 it is said that units of one sequence were not judged alike.
_ALIKE: Final = 0.95


@dataclass(frozen=True)
class Node:
    """A question of the tree, or a leaf.

    Attributes:
        units: that come here, of those it was grown on.
        strange: how many of them are.
        feature: a name of ``proposal.traits``: ``count`` of a template, ``events`` or ``seconds`` of the unit, its
            largest ``pause`` or ``number``, or a ``… share`` of how rare something is; empty for a leaf.
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
        ceiling: the F1 that the best verdict for each sequence has, by any tree over sequences (of one part, where a
            run was judged by itself): times and numbers have a say, too, and not all are asked for.
        folds: parts that were held out in turn.
        by_others: how rare something is was counted in the parts of the log that a unit was judged by.
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
    ceiling: float
    folds: int
    by_others: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return tree and fidelity as plain values."""
        kept = ("unit", "units", "strange", "agreement", "precision", "recall", "f1", "fitted_f1", "ceiling", "folds")
        return {name: getattr(self, name) for name in (*kept, "by_others")} | {"tree": self._plain(self.root)}

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
        if self.ceiling < _ALIKE:
            same = f"{self.unit}s with the same events did not all get the same verdict"
            yield f"{same}: F1 {self.ceiling:.2f} is the most that can be had"
        if self.by_others:
            yield f"how many {self.unit}s have something is counted in the two thirds of the log that one was judged by"
        yield ""
        yield from self._lines(self.root, "")

    def _lines(self, node: Node, indent: str) -> Iterator[str]:
        if node.more is None or node.rest is None:
            yield f"{indent}{self._leaf(node)}"
            return
        text = None if node.template is None else self.texts[node.template]
        few, many = asked(node.feature, node.above, text, self.unit)
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
    _, like = Ragged.of(past.units).distinct
    folds = min(_FOLDS, *(len(np.unique(like[verdict == side])) for side in (True, False)))
    if folds < _LEAST:
        what = f"{int(verdict.sum()):,} strange and {int((~verdict).sum()):,} normal {past.unit}s"
        raise NotEnoughDataError(f"{what} are too few that differ", where="--surrogate", hint="a longer log")
    names, columns = traits(past.units, len(past.texts), verdict, timed=past.timed, parts=past.parts)

    def grown(rows: Bools | NDArray[np.int64], some: NDArray[np.int64]) -> Any:
        tree = DecisionTreeClassifier(
            max_leaf_nodes=leaves, max_depth=_DEPTH, min_samples_leaf=_LEAST_LEAF, random_state=seed
        )
        return tree.fit(columns[rows][:, some], verdict[rows], sample_weight=weight[rows])

    parts = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(columns, verdict, like))

    def held_out(some: NDArray[np.int64]) -> Bools:
        said = np.zeros(len(verdict), dtype=np.bool_)
        for learned, held in parts:
            said[held] = grown(learned, some).predict(columns[held][:, some])
        return said

    plain = np.flatnonzero([not is_share(name) for name, _ in names])
    # How rare something is says more of units not seen, but less to the reader: it is asked only where it helps.
    ways = [(some, held_out(some)) for some in (plain, np.arange(len(names)))]
    some, said = max(ways, key=lambda way: _f1(verdict, way[1], weight)[2])
    whole = grown(np.ones(len(verdict), dtype=np.bool_), some)
    precision, recall, f1 = _f1(verdict, said, weight)
    # What is judged by the same, and has the same events.
    same = like if past.parts is None else like * (past.parts.max(initial=0) + 1) + past.parts
    return Surrogate(
        root=_node(whole.tree_, 0, [names[i] for i in some]),
        texts=list(past.texts),
        unit=past.unit,
        units=float(weight.sum()),
        strange=float(weight[verdict].sum()),
        agreement=round(float(np.average(said == verdict, weights=weight)), 6),
        precision=precision,
        recall=recall,
        f1=f1,
        fitted_f1=_f1(verdict, whole.predict(columns[:, some]), weight)[2],
        ceiling=_f1(verdict, (np.bincount(same, weight * (2.0 * verdict - 1.0)) > 0)[same], weight)[2],
        folds=folds,
        by_others=past.parts is not None and any(is_share(names[some[i]][0]) for i in whole.tree_.feature if i >= 0),
    )


def _f1(verdict: Bools, said: Bools, weight: Floats) -> tuple[float, float, float]:
    hit = float(weight[verdict & said].sum())
    precision, recall = hit / max(float(weight[said].sum()), 1e-12), hit / float(weight[verdict].sum())
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return round(precision, 6), round(recall, 6), round(f1, 6)


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
    above = float(tree.threshold[at])
    return Node(units, strange, feature, template, float(np.exp(above)) if is_share(feature) else above, more, rest)
