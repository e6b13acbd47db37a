"""The tree that stands in for the views: it says what the verdicts come to, and how far that holds."""

import json

import numpy as np
import polars as pl
import pytest
from cli_cases import offbeat  # noqa: F401 - a fixture
from test_propose import run  # noqa: F401 - a fixture

from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.proposal import surrogate
from offbeat.proposal.past import Past
from offbeat.proposal.traits import traits

TEXTS = ["start", "work", "failed <*>", "stop"]


def past(units, odd, **more):
    """Return a past of these units, of which those at the places ``odd`` are strange."""
    n = len(units)
    frame = pl.DataFrame({"templates": units}, schema={"templates": pl.List(pl.UInt32)}).with_columns(
        weight=pl.lit(1.0),
        is_anomaly=pl.Series([i in odd for i in range(n)]),
        start=pl.lit(None, pl.Datetime("us", "UTC")),
        end=pl.lit(None, pl.Datetime("us", "UTC")),
    )
    empty = pl.DataFrame()
    return Past([], frame, empty, {}, empty, more.pop("texts", TEXTS), "session", empty, **more)


def usual(n):
    """Return ``n`` sequences of different lengths."""
    return [[0, *[1] * (i % 20 + 1), 3] for i in range(n)]


def test_one_question_is_enough_where_one_template_decides():
    """Verdicts that hang on one template are one question, and held-out units are judged right by it."""
    units = usual(60)
    odd = set(range(0, 60, 6))
    for i in odd:
        units[i].insert(1 + i // 6, 2)
    found = surrogate(past(units, odd))
    assert found.root.feature == "count"
    assert TEXTS[found.root.template] == "failed <*>"
    assert (found.agreement, found.f1, found.folds) == (1.0, 1.0, 5)
    assert list(found.lines())[2:] == ["“failed <*>” is there: STRANGE (10 of 10)", "no “failed <*>”: normal (50)"]


def test_fidelity_is_of_units_not_seen():
    """Verdicts at random can be learned by heart, but are not agreed with where they were held out."""
    rng = np.random.default_rng(0)
    units = [rng.integers(0, 4, rng.integers(3, 12)).tolist() for _ in range(80)]
    found = surrogate(past(units, set(range(0, 80, 4))), leaves=30)
    assert found.fitted_f1 > 0.6
    assert found.f1 < 0.5


def test_what_is_rare_in_its_own_way_is_judged_without_having_been_seen():
    """Units that are strange for a template of their own each are told by how rare it is, and the tree says so."""
    units = usual(200)
    odd = set(range(0, 200, 21))
    for i, at in enumerate(sorted(odd)):
        units[at].insert(2, 4 + i)
    found = surrogate(past(units, odd, texts=[*TEXTS, *(f"failure {i}" for i in range(10))]))
    assert found.f1 == 1.0
    assert found.root.feature.endswith(" share")
    assert any("at most" in line and "STRANGE (10 of 10)" in line for line in found.lines())


def test_verdicts_that_differ_for_the_same_events_are_said():
    """Where units of one sequence were not judged alike, the most that any tree can have is given with the fidelity."""
    units = [*usual(60), *[[0, 2, 3]] * 6, [0, 2, 2, 3], [0, 2, 1, 3]]
    found = surrogate(past(units, {60, 61, 62, 63, 66, 67}))
    assert found.ceiling == pytest.approx(2 * 6 / (6 + 8), abs=1e-5)
    assert any("F1 0.86 is the most" in line for line in found.lines())


def test_shares_are_counted_by_hand():
    """Of four units the shares that hold what is rarest in each, what is most usual of what it lacks, and so often."""
    units = pl.DataFrame({"templates": [[0, 1], [0, 1, 1], [0, 2], [0]]}, schema={"templates": pl.List(pl.UInt32)})
    units = units.with_columns(weight=pl.lit(1.0), values=pl.Series([[1.0, None], [2.0, None, 9.0], [3.0, 5.0], [9.0]]))
    names, columns = traits(units, 3, np.zeros(4, dtype=bool), timed=False)
    told = {name: np.exp(columns[:, i]).tolist() for i, (name, _) in enumerate(names) if name.endswith("share")}
    assert told["pattern share"] == pytest.approx([0.5, 0.5, 0.25, 1.0])
    assert told["count share"] == pytest.approx([0.5, 0.25, 0.25, 1.0])
    assert told["step share"] == pytest.approx([0.5, 0.25, 0.25, 1.0])
    assert told["missing share"][2:] == pytest.approx([0.5, 0.5])
    assert told["number share"] == pytest.approx([0.25, 0.5, 0.5, 0.25])
    least = [name for name, template in names if template is not None]
    assert least == ["count"] * 3


def test_like_sequences_are_not_on_both_sides():
    """Strange units that are all alike leave nothing to hold out, which is said."""
    units = [*usual(40), *[[0, 2, 3]] * 10]
    with pytest.raises(NotEnoughDataError, match="too few that differ"):
        surrogate(past(units, set(range(40, 50))))
    with pytest.raises(OptionError, match="two leaves"):
        surrogate(past(units, {1, 2}), leaves=1)


def test_explain_prints_the_tree(run, offbeat):  # noqa: F811 - fixtures
    """The command prints fidelity and tree, or one JSON object whose leaves hold all units between them."""
    said = offbeat(f"explain {run} --surrogate")
    assert said.code == 0
    assert "get the verdict that the views give them" in said.out
    body = json.loads(offbeat(f"explain {run} --surrogate --json").out)

    def leaves(node):
        return [node] if "more" not in node else leaves(node["more"]) + leaves(node["rest"])

    assert sum(leaf["units"] for leaf in leaves(body["tree"])) == pytest.approx(body["units"], abs=0.01)
    assert sum(leaf["strange"] for leaf in leaves(body["tree"])) == pytest.approx(body["strange"], abs=0.01)
    assert offbeat(f"explain {run} abc --surrogate").code == 2
