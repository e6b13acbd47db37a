"""The tree that stands in for the views: it says what the verdicts come to, and how far that holds."""

import json

import numpy as np
import polars as pl
import pytest
from cli_cases import offbeat  # noqa: F401 - a fixture
from samples import shop_log
from test_propose import run  # noqa: F401 - a fixture

from offbeat.detection import write_run
from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.pipeline import Pipeline
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


def test_what_is_rare_is_counted_among_those_that_a_unit_was_judged_by():
    """Of a log judged by itself each part's shares are of the other parts; with that its verdicts can be followed."""
    units = pl.DataFrame({"templates": [[0, 1], [0, 1], [0, 1], [0]]}, schema={"templates": pl.List(pl.UInt32)})
    units = units.with_columns(weight=pl.lit(1.0), values=pl.Series([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0], [9.0]]))
    parts = np.array([0, 0, 1, 1])
    names, columns = traits(units, 2, np.zeros(4, dtype=bool), timed=False, parts=parts)
    told = {name: np.exp(columns[:, i]).tolist() for i, (name, _) in enumerate(names) if name.endswith("share")}
    assert told["pattern share"] == pytest.approx([0.5, 0.5, 1.0, 1.0])
    assert told["missing share"][2:] == pytest.approx([0.0, 1.0], abs=1e-6)
    # Either part's numbers are all beyond what the other has of the same template.
    assert told["number share"] == pytest.approx([1e-9] * 4)
    # Units of one sequence are in all parts, and strange is who sees few like it elsewhere.
    lists = [*usual(300), *[[0, 2, i % 5 + 4] for i in range(30)]]
    parts = np.array([i % 3 for i in range(300)] + [0] * 14 + [1] * 10 + [2] * 6)
    odd = set(range(300, 314))
    blind = surrogate(past(lists, odd, texts=[*TEXTS, *"abcde"]))
    seeing = surrogate(past(lists, odd, texts=[*TEXTS, *"abcde"], parts=parts))
    assert blind.ceiling < 0.8
    assert seeing.ceiling == seeing.fitted_f1 == 1.0
    assert seeing.f1 > 0.9 > blind.f1 + 0.2
    assert any("judged by" in line for line in seeing.lines())


def test_the_parts_are_those_that_the_run_was_scored_in(tmp_path):
    """Presence of a log judged by itself is what is rarest in each unit, or most usual of what it lacks, elsewhere."""
    (tmp_path / "app.log").write_text("".join(f"{line}\n" for line in shop_log(200, odd=(41, 90, 150))))
    made = Pipeline(detectors=["presence", "count"]).fit(str(tmp_path / "app.log"))
    scored = made.cross_score()
    write_run(scored, scored.find(), tmp_path / "run", made)
    opened = Past.open(tmp_path / "run")
    verdict = opened.units["is_anomaly"].to_numpy()
    names, columns = traits(opened.units, len(opened.texts), verdict, timed=True, parts=opened.parts)
    there, missing = (np.exp(columns[:, names.index((name, None))]) for name in ("pattern share", "missing share"))
    others = np.array([(opened.parts != part).sum() for part in opened.parts])
    smoothed = [(share * others + 0.5) / (others + 1) for share in (there, missing)]
    raw = np.maximum(-np.log(smoothed[0]), np.where(missing > 0.5, -np.log1p(-smoothed[1]), 0.0))
    np.testing.assert_allclose(scored.scores["presence"].gather(opened.units["row"]), raw, rtol=1e-4)


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
