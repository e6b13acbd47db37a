"""Labels while learning: what they teach, and whom."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from samples import sequences

from offbeat.decide.decision import Decision
from offbeat.decide.threshold import best_line
from offbeat.detect import DETECTORS, Detector
from offbeat.errors import OptionError
from offbeat.evaluate.metrics import measure
from offbeat.evaluate.protocols import load
from offbeat.learn import DEFAULT, _longer, learn
from offbeat.pipeline import Pipeline


class Taught(DETECTORS["presence"]):
    """A presence view that claims to need labels, and remembers what it was shown."""

    name = "taught"
    supervised = True
    shown: list[tuple[int, int]] = []  # noqa: RUF012 - the tests empty it

    def _fit(self, data, y):
        """Remember the weights of both classes, and learn from the normal ones."""
        assert y is not None
        Taught.shown.append((int(data.weight[~y].sum()), int(data.weight[y].sum())))
        super()._fit(data.take(np.flatnonzero(~y)), None)


def fit(views, anomalous, units=None):
    """Learn from the usual sequences."""
    units = sequences() if units is None else units
    return learn(units, views, clean=False, rule=None, seed=0, anomalous=anomalous)


def test_known_anomalies_reach_only_detectors_that_learn_from_labels():
    """Every fold shows a supervised detector its share of both classes, and the others normal units only."""
    Taught.shown = []
    anomalous = np.zeros(120, dtype=bool)
    anomalous[:9] = True

    def views() -> dict[str, Detector]:
        return {"taught": Taught(), "presence": DETECTORS["presence"]()}

    learned = fit(views, anomalous)
    assert [odd for _, odd in Taught.shown] == [6, 6, 6, 9]
    assert sum(usual for usual, _ in Taught.shown[:3]) == 2 * 111
    assert learned.views["presence"].sequences_seen_ <= 111
    assert learned.decision.anchor == "taught"


@pytest.mark.parametrize("anomalous", [None, np.zeros(120, dtype=bool), np.ones(120, dtype=bool)])
def test_a_supervised_detector_without_labels_is_refused(anomalous):
    """Without labels, or with one class only, one sentence says what is missing."""
    with pytest.raises(OptionError, match="learns from labels"):
        fit(lambda: {"taught": Taught()}, anomalous)


def test_the_line_of_a_taught_view_has_the_largest_f1():
    """Among all thresholds none has a larger F1 on the labelled scores than the one chosen."""
    rng = np.random.default_rng(3)
    normal, odd, weight = rng.normal(0, 1, 300), rng.normal(2, 1, 40), rng.integers(1, 4, 300).astype(float)

    def f1(line):
        true = (odd >= line).sum()
        return 2 * true / (true + weight[normal >= line].sum() + len(odd))

    line = best_line(normal, weight, odd)
    assert f1(line) == max(f1(x) for x in np.concatenate([normal, odd]))


def test_a_taught_view_decides_by_its_labels():
    """The decision's line separates the classes that the taught view separates."""
    rng = np.random.default_rng(5)
    normal, odd = rng.normal(0, 1, 400), rng.normal(9, 1, 30)
    scores = {"presence": rng.normal(0, 1, 400), "taught": normal}
    decision = Decision.fit(scores, np.ones(400), taught={"taught": odd})
    flagged = decision({"presence": np.zeros(30), "taught": odd}) >= decision.threshold
    assert flagged.all()
    assert decision.share(decision(scores)) < 0.02


def test_a_method_keeps_its_own_boundary_where_that_does():
    """A boundary that does nearly as well as the best line is kept, and what lies on it is no anomaly."""
    normal, odd = np.array([0.0] * 95 + [0.2] * 5), np.array([0.4] + [0.9] * 200)
    best, kept = (
        Decision.fit({"taught": normal}, np.ones(100), taught={"taught": odd}, boundary=own)
        for own in (None, {"taught": 0.5})
    )
    asked = {"taught": np.array([0.2, 0.4, 0.5, 0.51])}
    assert (best(asked) >= best.threshold).tolist() == [False, True, True, True]
    assert (kept(asked) >= kept.threshold).tolist() == [False, False, False, True]


def test_a_boundary_that_labels_contradict_is_not_kept():
    """Where most known anomalies lie below the method's boundary the best line decides."""
    normal, odd = np.zeros(100), np.array([0.4] * 50 + [0.9] * 10)
    made = Decision.fit({"taught": normal}, np.ones(100), taught={"taught": odd}, boundary={"taught": 0.5})
    assert (made({"taught": np.array([0.0, 0.4])}) >= made.threshold).tolist() == [False, True]


def test_labels_of_sequences_may_be_a_series():
    """Sequences of ids take a Boolean series as labels; its anomalies are counted and left out."""
    lists = [["a", "b"]] * 30 + [["a", "z"]] * 2
    made = Pipeline(detectors=["presence"]).fit(lists, pl.Series([False] * 30 + [True] * 2))
    assert made.summary["known_anomalies"] == 2
    assert made.summary["units"] == 30
    assert bool(made.score([["a", "z"]]).scores["is_anomaly"][0])


def test_a_view_that_can_do_without_labels_learns_from_them():
    """The nearest neighbour tells known anomalies apart with labels, and learns without."""
    lists = [["a", "b"]] * 40 + [["a", "b", "b"]] * 10
    label = pl.Series([False] * 40 + [True] * 10)
    with_labels = Pipeline(detectors=["nearest-neighbour"]).fit(lists, label).score([["a", "b", "b"], ["a", "b"]])
    assert with_labels.scores["is_anomaly"].to_list() == [True, False]
    without = Pipeline(detectors=["nearest-neighbour"]).fit(lists).score([["a", "b", "b"]])
    assert without.scores["nearest-neighbour"].to_list() == [0.0]


def test_a_view_with_a_memory_sees_all_units_in_order():
    """The moving average is not given merged sequences: a level that lasts is usual for it."""
    lists = [["a"]] * 30 + [["a", "a"]] * 30
    run = Pipeline(detectors=["presence", "moving-average"]).fit(lists).score([["a"] * 6] * 40)
    scores = run.scores["moving-average"].to_numpy()
    assert scores[0] > 1
    assert scores[-1] < 1e-9


def test_windows_of_a_dirty_log_are_led_by_order():
    """On BGL, a tenth of whose training windows is anomalous, order leads and ranks far better than presence."""
    data = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    if not (data / "bgl" / "BGL_100k_structured.csv.gz").exists():
        pytest.skip("the BGL sample is not here")
    split = load("T3-free", data, lambda path, pattern: pl.DataFrame())
    without = [name for name in DEFAULT if name != "lstm"]
    run = Pipeline(detectors=without).fit(split.train.drop("label")).score(split.test.drop("label"))
    y, flagged = split.test["label"].to_numpy(), run.scores["is_anomaly"].to_numpy()
    assert run.decision.order_leads
    assert measure(y, run.scores["score"].to_numpy(), flagged).ap > 0.62
    assert flagged[~y].mean() < 0.02
    clean = Pipeline(detectors=without, clean=True).fit(split.train.filter(~pl.col("label")).drop("label"))
    assert not clean.fitted.decision.order_leads


@pytest.mark.parametrize("seed", [2, 3, 11])
def test_a_rate_is_not_exceeded_by_what_was_learned_from(seed):
    """Rare units that are alike differ by a hair out of fold; no line lies amidst them: to the model they are one."""
    rng = np.random.default_rng(seed)
    log = [["open", *rng.permutation(["read", "write"]), "close"] for _ in range(600)]
    # Of four units that are alike, some folds hold more than others.
    for name, many in (("lock", 4), ("sync", 6), ("move", 12)):
        for i in rng.choice(600, many, replace=False):
            log[i] = ["open", name, "close"]
    for share in (5, 10):
        model = Pipeline(detectors=["presence", "length"], threshold=f"rate:{share}/1000").fit(log)
        assert model.score(log).alert_share <= share / 1000


@pytest.mark.parametrize(("units", "said"), [(0, "many times"), (1, "about 20 times"), (11, "twice"), (19, "twice")])
def test_how_much_longer_a_log_must_be(units, said):
    """Too short a log is told how much more is needed."""
    assert _longer(units) == said


@pytest.mark.parametrize("seed", range(3))
def test_a_small_kind_of_sessions_stays_below_the_line_of_the_model_that_is_kept(seed):
    """One session in eleven is of another kind: no less so to what learned from all than to what learned from parts."""
    rng = np.random.default_rng(seed)
    units = [list("abc") if rng.random() < 0.91 else list("adec") for _ in range(500)]
    pipeline = Pipeline(detectors=[view for view in DEFAULT if view != "lstm"], seed=seed).fit(units[:250])
    run = pipeline.score(units[250:])
    assert run.drift is None
    assert not run.scores["is_anomaly"].any()
    assert pipeline.score([*units[250:], list("aabx")]).scores["is_anomaly"].to_list() == [False] * 250 + [True]
