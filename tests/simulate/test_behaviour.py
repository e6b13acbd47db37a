"""What the simulated shop does: its rhythm, its releases, and what each kind of incident looks like in the lines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from offbeat.simulate import Simulation, simulate
from offbeat.simulate.chance import Chance
from offbeat.simulate.rhythm import SLOT, Rhythm
from offbeat.simulate.shop import BASE_FLOWS, FAILING, FLOWS, TEMPLATES

LINES = 60_000
Reader = Callable[[Simulation], pl.DataFrame]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory, read: Reader) -> pl.DataFrame:
    """Lines and labels of one simulation with many incidents."""
    return read(simulate(tmp_path_factory.mktemp("shop") / "shop.jsonl", LINES, 11, rate=0.03))


def of(log: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The labelled lines of a kind."""
    found = log.filter(pl.col("kind") == kind)
    assert found.height, f"there is no {kind}"
    return found


def best_f1(score: np.ndarray, label: np.ndarray) -> float:
    """The best F1 over all thresholds of a score with few values."""
    found = []
    for threshold in np.unique(score):
        alarm = score >= threshold
        found.append(2 * (alarm & label).sum() / (alarm.sum() + label.sum()))
    return max(found)


def test_level_is_a_poor_detector(log: pl.DataFrame) -> None:
    """No threshold on the level finds the anomalies: most are at INFO, and normal lines warn and fail too."""
    rank = log["level"].replace_strict({"INFO": 0, "WARN": 1, "ERROR": 2}).to_numpy()
    label = log["label"].to_numpy() == 1
    assert best_f1(rank, label) < 0.35
    assert (log.filter(pl.col("label") == 1)["level"] == "ERROR").mean() < 0.2
    assert log.filter((pl.col("label") == 0) & (pl.col("level") == "ERROR")).height > 20


def test_error_spike(log: pl.DataFrame) -> None:
    """An error spike's lines are handlers that failed and answers with status 500, within minutes of a rollout."""
    spike = of(log, "error-spike")
    assert spike.filter(pl.col("message").str.contains("handler failed") | (pl.col("status") == 500)).height == len(
        spike
    )
    rollouts = log.filter(pl.col("message").str.starts_with("rollout of") & pl.col("message").str.ends_with("started"))
    for start in spike.group_by("incident").agg(pl.col("time").min())["time"]:
        ages = (pl.Series([start]) - rollouts.filter(pl.col("time") <= start)["time"].max()).dt.total_seconds()
        assert ages[0] < 1200


def test_brute_force(log: pl.DataFrame) -> None:
    """A brute-force attack is at least five refused logins from no more than four addresses."""
    for _, attack in of(log, "brute-force").group_by("incident"):
        refused = attack.filter(pl.col("message").str.contains("wrong password"))
        assert len(refused) >= 5
        assert attack["client"].drop_nulls().n_unique() <= 4


@pytest.mark.parametrize("kind", ["slow-response", "degradation"])
def test_slow(log: pl.DataFrame, kind: str) -> None:
    """Labelled answers of a service that is slow, suddenly or little by little, take longer than normal ones do."""
    assert set(of(log, kind)["level"]) <= {"INFO", "WARN"}
    assert of(log, kind)["duration_ms"].null_count() == 0
    normal = log.filter(pl.col("label") == 0).group_by("service").agg(usual=pl.col("duration_ms").median())
    found = of(log, kind).join(normal, on="service")
    assert (found["duration_ms"] / found["usual"]).median() > 1.5


def test_degradation_is_gradual(log: pl.DataFrame) -> None:
    """The later lines of a degradation are slower than its earlier ones."""
    found = of(log, "degradation").with_columns(
        late=pl.col("line").rank("ordinal").over("incident", "service") / pl.len().over("incident", "service") > 0.5
    )
    mean = dict(found.group_by("late").agg(pl.col("duration_ms").median()).iter_rows())
    assert mean[True] > mean[False]


def test_silent_component(log: pl.DataFrame) -> None:
    """The requests of a silent component hold fewer lines than others, and none of the labelled lines is its own."""
    for _, gap in of(log, "silent-component").group_by("incident"):
        traces = log.filter(pl.col("trace").is_in(gap["trace"].implode()))
        assert gap["trace"].n_unique() == len(gap)
        assert traces["service"].n_unique() < 9
        assert gap["level"].unique().to_list() != ["ERROR"]


def test_out_of_order(log: pl.DataFrame) -> None:
    """Steps out of order come in pairs, within checkouts, and their messages are ordinary ones."""
    for _, pair in of(log, "out-of-order").group_by("trace"):
        assert len(pair) == 2
    normal = set(log.filter(pl.col("label") == 0)["message"].str.replace_all(r"\S*\d\S*", ""))
    assert set(of(log, "out-of-order")["message"].str.replace_all(r"\S*\d\S*", "")) <= normal


def test_retry_storm(log: pl.DataFrame) -> None:
    """In a retry storm the labelled lines repeat a line of the same trace, in the last part of the log only."""
    storm = of(log, "retry-storm")
    assert storm["line"].min() > 0.7 * LINES
    for (trace,), lines in storm.group_by("trace"):
        whole = log.filter(pl.col("trace") == trace)["message"]
        for message in lines["message"]:
            shape = message.rsplit(" in ", 1)[0]
            assert whole.str.starts_with(shape).sum() >= 2


def test_resource_exhaustion(log: pl.DataFrame) -> None:
    """A filling heap shows in memory figures above the usual ones."""
    usual = log.filter(pl.col("label") == 0)["mem"].quantile(0.9)
    assert of(log, "resource-exhaustion")["mem"].median() > usual


def test_unusual_access(log: pl.DataFrame) -> None:
    """Unusual access comes from one address an incident, as whole requests."""
    for _, access in of(log, "unusual-access").group_by("incident"):
        assert access["client"].drop_nulls().n_unique() == 1
        traces = log.filter(pl.col("trace").is_in(access["trace"].implode()))
        assert len(traces) == len(access)


def test_easy_is_easier(tmp_path_factory: pytest.TempPathFactory, read: Reader) -> None:
    """Slow answers stand out more at low difficulty."""
    ratios = []
    for difficulty in (0.0, 1.0):
        path = tmp_path_factory.mktemp("d") / "a.jsonl"
        found = read(simulate(path, 30_000, 2, difficulty=difficulty, kinds=["slow-response"]))
        timed = found.filter(pl.col("message").str.starts_with("answered"))
        by = dict(timed.group_by("label").agg(pl.col("duration_ms").median()).iter_rows())
        ratios.append(by[1] / by[0])
    assert ratios[0] > 1.3 * ratios[1]


def test_releases_add_statements(log: pl.DataFrame) -> None:
    """A statement that a release adds is never seen in the first part of the log and often in the last."""
    part = len(log) // 10
    shapes = log["message"].str.replace_all(r"\S*\d\S*", "").str.replace_all(" for .*| to .*| of .*", "")
    first, last = shapes[:part], shapes[-part:]
    added = set(last.value_counts().filter(pl.col("count") > 5)["message"]) - set(first)
    assert added


def test_rhythm_of_day_and_week() -> None:
    """Nights are quiet, evenings busy, Saturdays busier than Sundays, and maintenance nearly stops the traffic."""
    rhythm = Rhythm(1_000_000, Chance(0, 1), sales=0.0)
    seconds = np.arange(len(rhythm)) * SLOT
    hour = rhythm.hour(seconds).astype(int)
    weekday = ((seconds / 3600 + 6) // 24 % 7).astype(int)
    by_hour = [rhythm.requests[hour == h].mean() for h in range(24)]
    assert by_hour[20] > 6 * by_hour[3]
    assert rhythm.requests[weekday == 5].mean() > 1.4 * rhythm.requests[weekday == 6].mean()
    assert rhythm.maintenance.any()
    assert rhythm.load[rhythm.maintenance].max() < 0.2


def test_when_inverts_the_expected_lines() -> None:
    """The time by which a line is expected lies in the slot that holds it."""
    rhythm = Rhythm(50_000, Chance(0, 1), sales=1.0)
    for line in (0.0, 1.0, 777.7, 49_999.0):
        slot = int(rhythm.when(line) / SLOT)
        assert rhythm.lines[slot] <= line <= rhythm.lines[slot + 1]


def test_flows_are_whole() -> None:
    """Each flow starts and ends at the gateway, and a failing form ends with an error and status 500."""
    for flow in FLOWS:
        assert flow.service[0] == flow.service[flow.done] == 0
    for index in FAILING[FAILING >= 0]:
        assert index >= BASE_FLOWS
        *_, error, answer = FLOWS[index].template
        assert (TEMPLATES[error].level, TEMPLATES[answer].status) == ("ERROR", 500)


def test_delays_have_a_long_tail() -> None:
    """About one response in a hundred takes more than three times its typical time, and none more than 14 times."""
    drawn = Chance(0, 9).delay(200_000)
    assert 0.005 < (drawn > 3.0).mean() < 0.02
    assert drawn.max() < 14.0
