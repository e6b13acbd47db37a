"""Rates of alarms that are asked for are kept on what comes after training, and a log with nothing in it stays calm."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from offbeat import Pipeline, report
from offbeat.errors import OptionError
from offbeat.replay import Setting, line_of, replay
from offbeat.rules import RuleSet
from offbeat.simulate import simulate

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
VIEWS = ["presence", "count", "ngram", "count-vector", "isolation-forest", "new-template", "timing", "values", "length"]


def need(name: str) -> Path:
    """Return a file of the real data, or skip."""
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not here")
    return DATA / name


def half_by_half(lines, threshold):
    """Learn from the first half of a log, judge the second."""
    half = len(lines) // 2
    made = Pipeline(detectors=VIEWS, threshold=threshold, rules=RuleSet()).fit(lines[:half])
    return made, made.score(lines[half:])


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A simulated log without a single fault."""
    path = tmp_path_factory.mktemp("calm") / "calm.jsonl"
    simulate(path, 30_000, 11, rate=0.0)
    return path.read_text().splitlines()


@pytest.mark.slow
def test_a_simulated_log_with_nothing_in_it_stays_within_its_rate(calm):
    """As units come, the alarms stay within a factor of 1.5 of what was asked for, give or take one."""
    asked = 20
    made, run = half_by_half(calm, f"follow:{asked}/1000")
    expected = asked / 1000 * run.scores.height
    flagged = int(run.scores["is_anomaly"].sum())
    assert expected / 1.5 - 1 <= flagged <= expected * 1.5 + 1
    assert made.summary["alert_share"] <= asked / 1000


@pytest.mark.slow
def test_a_simulated_log_with_nothing_in_it_stays_calm_by_default(calm):
    """The knee's alarms on a log without a fault are few: at most the 5 % it looks at, and in few findings."""
    _, run = half_by_half(calm, None)
    assert run.alert_share <= 0.05
    assert len(run.find()) <= 0.1 * run.scores.height


@pytest.mark.parametrize("asked", [5, 20])
def test_real_normal_sessions_keep_the_rate(asked):
    """On 11,039 normal sessions of HDFS, learned from 5,583 others, alarms are within 1.5 times of what was asked."""
    table = pl.read_csv(need("hdfs/hdfs_sessions.csv.gz")).filter(pl.col("Label") == "Normal")
    units = table.select("Source", templates=pl.col("EventSequence").str.split(" "))
    mine = pl.col("Source") == "ait_train"
    made = Pipeline(detectors=["presence", "count", "ngram", "length"], threshold=f"follow:{asked}/1000", clean=True)
    run = made.fit(units.filter(mine).select("templates")).score(units.filter(~mine).select("templates"))
    assert run.asked == asked / 1000
    assert asked / 1.5 <= 1000 * run.alert_share <= asked * 1.5


def test_a_real_access_log_keeps_the_rate():
    """On the second half of a web server's log, learned from the first, too."""
    lines = gzip.decompress(need("web/apache_access.log.gz").read_bytes()).decode().splitlines()
    _, run = half_by_half(lines, "follow:10/1000")
    assert 10 / 1.5 <= 1000 * run.alert_share <= 10 * 1.5


@pytest.mark.parametrize("rate", ["follow:10/day", "follow:1/hour"])
def test_a_real_access_log_keeps_a_rate_by_time(rate):
    """So many a day or an hour come on its second half, and the report says so."""
    lines = gzip.decompress(need("web/apache_access.log.gz").read_bytes()).decode().splitlines()
    made, run = half_by_half(lines, rate)
    text = "".join(piece for line in report.head(run, made.summary, 0, 0) for piece, _ in line)
    came = run.rate.achieved(run.scores)
    assert f"{came:.3g}/{run.rate.per} came, {run.rate} asked" in text
    assert run.rate.count / 1.5 <= came <= run.rate.count * 1.5


@pytest.mark.parametrize("threshold", ["rate:30/day", "follow:2/hour"])
def test_a_rate_by_time_is_saved(calm, threshold, tmp_path):
    """A saved model decides as before; in replay such a rate is told by the units of the past; ids have no times."""
    half = len(calm) // 2
    made = Pipeline(detectors=["presence", "count"], threshold=threshold, rules=RuleSet()).fit(calm[:half])
    made.save(tmp_path / "model")
    run, again = made.score(calm[half:]), Pipeline.load(tmp_path / "model").score(calm[half:])
    assert run.scores["is_anomaly"].to_list() == again.scores["is_anomaly"].to_list()
    assert str(run.rate) == threshold.split(":")[1]
    past = replay(made, calm[half:], [Setting("now", rules=RuleSet()), Setting("then", threshold="rate:30/day")])
    assert [one.setting for one in past] == ["now", "then"]
    assert past[1].run.threshold == pytest.approx(line_of("rate:30/day", made.fitted.decision, run.scores))
    with pytest.raises(OptionError, match="needs times"):
        Pipeline(detectors=["presence"], threshold=threshold).fit([["a", "b"]] * 40)


@pytest.fixture(scope="module")
def sessions():
    """Sessions of ids, a few of them with a rare event."""
    rng = np.random.default_rng(3)
    rare = rng.random(900) < 0.02
    return [[0, *rng.integers(1, 5, 4).tolist(), 9 if odd else 5] for odd in rare]


@pytest.mark.parametrize("threshold", ["rate:10/1000", "follow:10/1000", "pot:0.01"])
def test_a_rate_is_saved_and_said(sessions, threshold, tmp_path):
    """A saved model decides as before, and the report says what was asked for beside what was expected and came."""
    made = Pipeline(detectors=["presence", "count", "length"], threshold=threshold).fit(sessions[:600])
    made.save(tmp_path / "model")
    run, again = made.score(sessions[600:]), Pipeline.load(tmp_path / "model").score(sessions[600:])
    assert run.scores["is_anomaly"].to_list() == again.scores["is_anomaly"].to_list()
    text = "".join(piece for line in report.head(run, made.summary, 0, 0) for piece, _ in line)
    assert "1.00% asked" in text
    assert "1.00% asked" not in "".join(
        piece for line in report.head(Pipeline(detectors=["presence"]).fit(sessions).cross_score(),
                                      made.summary, 0, 0) for piece, _ in line
    )  # fmt: skip
