"""What every detector promises. Whatever offbeat.detect exports is tested; there is no list of exceptions."""

import inspect
import math
import random
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from samples import SMALL, frame, labels, sequences
from sklearn.base import clone

import offbeat.detect
from offbeat.bundle import read, write
from offbeat.detect import DETECTORS, Detector, State
from offbeat.errors import OffbeatError, OptionError
from offbeat.explain import Facts, sentence
from offbeat.schema import EVIDENCE, check

EXPORTED = [
    kind
    for kind in vars(offbeat.detect).values()
    if inspect.isclass(kind) and issubclass(kind, Detector) and not inspect.isabstract(kind)
]
NEW = 4000
"""A template code far beyond any vocabulary of these tests."""


def make(kind, **params):
    """Return a detector that learns quickly."""
    known = kind().get_params()
    return kind(**({k: v for k, v in SMALL.items() if k in known} | params))


CASES = [(kind, False) for kind in EXPORTED if not kind.supervised]
CASES += [(kind, True) for kind in EXPORTED if kind.supervised or kind.takes_labels]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0].__name__ + "-labelled" * case[1])
def case(request):
    """Each exported detector, with labels where it learns from them, and without where it can do without."""
    return request.param


@pytest.fixture(scope="module")
def kind(case):
    """Each exported detector."""
    return case[0]


@pytest.fixture(scope="module")
def teach(case):
    """Fit it on sequences, with their labels where it is to have them."""
    return lambda made, X: made.fit(X, labels(X)) if case[1] else made.fit(X)


@pytest.fixture(scope="module")
def fitted(kind, teach):
    """It, fitted on the usual sequences."""
    return teach(make(kind), sequences())


def test_every_exported_detector_is_listed_under_its_name():
    """DETECTORS holds exactly what is exported, by name."""
    assert {kind.name: kind for kind in EXPORTED} == DETECTORS
    assert len(EXPORTED) >= 4


def test_it_says_what_it_is(kind):
    """Name, unit, source, what it looks at and whether it needs labels are declared, and it has a docstring."""
    assert kind.name == kind.name.lower().strip()
    assert " " not in kind.name
    assert kind.unit in ("event", "unit", "bucket")
    assert isinstance(kind.supervised, bool)
    assert isinstance(kind.takes_labels, bool)
    assert kind.source
    assert kind.looks_at
    assert inspect.getdoc(kind)
    for parameter in kind().get_params():
        assert parameter in inspect.getdoc(kind), f"{parameter} is not described"


def test_parameters_are_kept_untouched(kind):
    """The constructor stores each parameter under its name as it came, as scikit-learn asks."""
    for name, default in kind().get_params().items():
        odd = object()
        assert getattr(kind(**{name: odd}), name) is odd
        assert inspect.signature(kind).parameters[name].default == default
    made = make(kind)
    assert made.set_params(**made.get_params()) is made
    assert kind.__name__ in repr(made)


def test_it_can_be_cloned(kind, fitted):
    """scikit-learn's clone gives an unfitted detector with the same parameters."""
    copy = clone(fitted)
    assert type(copy) is kind
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(OffbeatError, match="not fitted"):
        copy.anomaly_score(sequences())


def test_unknown_parameters_are_refused(kind):
    """set_params says which parameters there are."""
    with pytest.raises(OptionError, match="has no parameter 'nonsense'") as caught:
        kind().set_params(nonsense=1)
    for name in kind().get_params():
        assert name in caught.value.hint


def test_numbers_that_cannot_be_are_refused(kind, teach):
    """A number at which nothing can be learned is refused before learning, with the parameter's name."""
    for name, default in kind().get_params().items():
        if isinstance(default, bool) or not isinstance(default, int | float):
            continue
        for value in (-1, math.nan, math.inf, *([0] if default > 0 else [])):
            with pytest.raises(OptionError, match=name):
                teach(make(kind, **{name: value}), sequences())


def test_fitting_returns_itself_and_marks_what_it_learned(kind, teach):
    """Fit returns self, changes no parameter, and what it adds in public ends in an underscore."""
    made = make(kind)
    before, params = set(vars(made)), made.get_params()
    assert teach(made, sequences()) is made
    assert made.get_params() == params
    added = {name for name in vars(made) if not name.startswith("_")} - before
    assert added
    assert all(name.endswith("_") for name in added), added


def test_input_is_left_alone(kind, teach):
    """Neither fit nor score changes the frame handed in."""
    given = sequences()
    copy = given.clone()
    teach(make(kind), given).anomaly_score(given)
    assert_frame_equal(given, copy)


def test_one_finite_score_a_row(kind, fitted):
    """Scores are one finite Float64 a row, named after the detector; scikit-learn's are their opposite."""
    asked = frame([[0, 1, 2, 3, 4], [], [0], [NEW], [4, 3, 2, 1, 0], [0] * 700, list(range(9))])
    scores = fitted.anomaly_score(asked)
    assert scores.name == kind.name
    assert scores.dtype == pl.Float64
    assert len(scores) == asked.height
    assert scores.is_finite().all()
    assert np.array_equal(fitted.score_samples(asked), -scores.to_numpy())


def test_nothing_asked_nothing_said(fitted):
    """An empty frame has empty scores and empty evidence."""
    empty = sequences().clear()
    assert len(fitted.anomaly_score(empty)) == 0
    assert fitted.evidence(empty).height == 0


def test_nothing_to_learn_from_is_said(kind):
    """Fitting on no sequence raises one of offbeat's errors that names the detector."""
    with pytest.raises(OffbeatError, match=f"{kind.name}.* no sequence"):
        make(kind).fit(sequences().clear())


def test_what_labels_it_lacks_is_said(kind):
    """Too few labels, and for a detector that needs them none or one class only, are said in one sentence."""
    X = sequences()
    same = pl.Series([False] * X.height)
    with pytest.raises(OffbeatError, match=f"{kind.name}.*119 labels for 120 sequences"):
        make(kind).fit(X, same[1:])
    if kind.supervised:
        for y, lack in ((None, "there are none"), (same, "all are the same"), (~same, "all are the same")):
            with pytest.raises(OptionError, match=f"{kind.name}.*learns from labels, and {lack}"):
                make(kind).fit(X, y)


@pytest.mark.parametrize("lists", [[[0, 1, 2]], [[0]], [[]], [[], [0, 1]]], ids=str)
def test_little_is_enough_to_fit(kind, case, lists):
    """One sequence, of one event or of none, can be learned from, scored, and explained; with labels, one of each."""
    X, y = (frame([*lists, [5]]), pl.Series([False] * len(lists) + [True])) if case[1] else (frame(lists), None)
    made = make(kind).fit(X, y)
    asked = frame([[0, 1, 2], [], [NEW]])
    assert made.anomaly_score(asked).is_finite().all()
    check(made.evidence(asked), EVIDENCE, "evidence")


def test_the_same_seed_gives_the_same_scores(kind, case, fitted):
    """Learning twice gives byte-identical scores; labels change nothing for a detector that does not use them."""
    X, asked = sequences(), sequences(80, seed=1)
    y = labels(X) if case[1] or not kind.takes_labels else None
    again = make(kind).fit(X, y).anomaly_score(asked)
    assert again.to_numpy().tobytes() == fitted.anomaly_score(asked).to_numpy().tobytes()


def parts(X, size, memory):
    """Cut rows into parts of a size, each with the rows before it that a score depends on, and how many those are."""
    for at in range(0, X.height, size):
        before = min(at, memory)
        yield X[at - before : at + size], before


def test_scores_do_not_depend_on_how_rows_are_cut(fitted):
    """Asking in parts of any size gives the scores of asking at once, up to a network's rounding."""
    asked = sequences(200, seed=2)
    whole = fitted.anomaly_score(asked).to_numpy()
    for size in (1, 7, 64):
        cut = [fitted.anomaly_score(part).to_numpy()[before:] for part, before in parts(asked, size, fitted.memory)]
        np.testing.assert_allclose(np.concatenate(cut), whole, rtol=1e-5, atol=1e-6)


def test_scores_do_not_depend_on_the_order_of_rows(fitted):
    """A row's score is its own, with the rows before it that it depends on, wherever they stand."""
    asked, memory = sequences(200, seed=3), fitted.memory
    order = random.Random(0).sample(range(memory, asked.height), asked.height - memory)
    moved = asked[[row for last in order for row in range(last - memory, last + 1)]]
    found = fitted.anomaly_score(moved).to_numpy()[memory :: memory + 1]
    np.testing.assert_allclose(found, fitted.anomaly_score(asked).to_numpy()[order], rtol=1e-5)


def test_a_weight_stands_for_repeated_rows(kind, teach):
    """Learning from distinct rows with weights equals learning from all rows."""
    many = sequences()
    lists = many["templates"].to_list()
    distinct = [list(one) for one in dict.fromkeys(map(tuple, lists))]
    weighted = frame(distinct, [float(lists.count(one)) for one in distinct])
    asked = sequences(80, seed=4)
    one, other = (teach(make(kind), x).anomaly_score(asked).to_numpy() for x in (many, weighted))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_weights_do_not_matter_when_scoring(fitted):
    """A row's score does not depend on how many units it stands for."""
    lists = sequences(30, seed=5)["templates"].to_list()
    plain, heavy = frame(lists), frame(lists, [float(i + 1) for i in range(30)])
    assert fitted.anomaly_score(plain).to_list() == fitted.anomaly_score(heavy).to_list()


def test_a_template_never_seen_is_strange(fitted):
    """A sequence with a template beyond the vocabulary is stranger than without, and than any usual one."""
    usual = sequences()["templates"].to_list()
    plain = fitted.anomaly_score(frame(usual)).to_numpy()
    with_new = fitted.anomaly_score(frame([[*one, NEW] for one in usual])).to_numpy()
    assert (with_new >= plain - 1e-6).all()
    assert with_new.min() > np.median(plain)


def test_new_templates_are_all_alike(fitted):
    """Which of the unseen codes a template has does not matter, where times, numbers and all else are the same."""
    codes = pl.Series([[0, 1, 9, 3, 4], [0, 1, NEW, 3, 4]], dtype=pl.List(pl.UInt32))
    one, other = fitted.anomaly_score(frame([[0, 1, 9, 3, 4]] * 2).with_columns(templates=codes)).to_list()
    assert math.isclose(one, other, rel_tol=1e-6)


def test_something_odd_scores_higher_than_what_is_usual(fitted):
    """A mangled sequence scores above the median of those learned from."""
    usual = fitted.anomaly_score(sequences()).to_numpy()
    odd = fitted.anomaly_score(frame([[7, 3, 0, 0, 0, 0, 0, 0, 0, 0, 8]])).to_numpy()
    assert odd[0] > np.median(usual)


def test_saving_and_restoring_gives_the_same_scores(kind, fitted, tmp_path):
    """State survives a folder: the scores and evidence of the restored detector are byte-identical."""
    state = fitted.state()
    write(tmp_path / "saved", state.values, state.frames, {f"{k}.onnx": v for k, v in state.onnx.items()})
    values, frames, others, _ = read(tmp_path / "saved")
    onnx = {name.removesuffix(".onnx"): data for name, data in others.items()}
    back = kind(**fitted.get_params()).restore(State(values, frames, onnx))
    asked = frame([*sequences(100, seed=6)["templates"].to_list(), [], [NEW], [0] * 30])
    assert back.anomaly_score(asked).to_numpy().tobytes() == fitted.anomaly_score(asked).to_numpy().tobytes()
    assert_frame_equal(back.evidence(asked), fitted.evidence(asked))
    assert {name for name in vars(back) if name.endswith("_")} == {n for n in vars(fitted) if n.endswith("_")}


def test_evidence_points_into_the_sequence(fitted):
    """Evidence has its schema; its event lies in the sequence and is of the template named, its share is one."""
    lists = [*sequences(60, seed=7)["templates"].to_list(), [NEW, 0, NEW], [0], [5, 5, 5, 5, 5, 5]]
    evidence = fitted.evidence(frame(lists))
    check(evidence, EVIDENCE, "evidence")
    assert evidence.height == len(lists)
    for one, row in zip(lists, evidence.iter_rows(named=True), strict=True):
        assert 0 <= row["share"] <= 1 + 1e-9
        if row["event"] is not None:
            assert one[row["event"]] == row["template"]
            assert row["seen"] >= 1
        elif row["template"] is not None:
            assert row["template"] not in one
            assert row["seen"] == 0


def test_there_are_words_for_its_evidence(fitted):
    """Whatever kind of evidence it gives, a sentence can be made of it."""
    rows = fitted.evidence(frame([[NEW, 0], [0, 1], [5] * 9, [4, 3, 2, 1, 0]])).rows(named=True)
    for row in rows:
        facts = Facts(row["kind"], "session", "a template", row["seen"], row["usual"], row["share"], trained_on=120)
        reason, expected = sentence(facts)
        assert reason.endswith(".")
        assert expected


def test_evidence_does_not_depend_on_how_rows_are_cut(fitted):
    """Evidence asked row by row is that asked at once, up to a network's rounding."""
    asked = sequences(40, seed=8)
    cut = [fitted.evidence(part)[before:] for part, before in parts(asked, 1, fitted.memory)]
    assert_frame_equal(pl.concat(cut), fitted.evidence(asked), check_exact=False, rel_tol=1e-4)


def test_flags_work_either_way(kind, teach):
    """Every parameter that is true or false is run at both values."""
    for name, default in kind().get_params().items():
        if isinstance(default, bool):
            for value in (True, False):
                made = teach(make(kind, **{name: value}), sequences())
                assert made.anomaly_score(sequences(20, seed=9)).is_finite().all()


def test_scoring_a_restored_detector_needs_no_torch(fitted, tmp_path):
    """A process that restores and scores loads neither torch nor onnx nor scikit-learn."""
    state = fitted.state()
    write(tmp_path / "saved", state.values, state.frames, {f"{k}.onnx": v for k, v in state.onnx.items()})
    frame([[0, 1, 2]]).write_parquet(tmp_path / "asked")
    program = f"""
import sys, polars as pl
from offbeat.bundle import read
from offbeat.detect import DETECTORS, State
values, frames, others, _ = read({str(tmp_path / "saved")!r})
made = DETECTORS[{fitted.name!r}](**{fitted.get_params()!r})
made.restore(State(values, frames, {{k.removesuffix(".onnx"): v for k, v in others.items()}}))
X = pl.read_parquet({str(tmp_path / "asked")!r})
made.anomaly_score(X), made.evidence(X)
heavy = {{"torch", "onnx", "sklearn", "pandas"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
