"""The protocols: splits as PROTOCOLS say, on the real data where they are there, and on a simulated log."""

import zlib
from pathlib import Path

import polars as pl
import pytest

from offbeat import bench
from offbeat.bench.founding import log_in, simulated_split
from offbeat.detect import DETECTORS
from offbeat.errors import InputError
from offbeat.evaluate.protocols import load

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def _no_reader(path: Path, pattern: str) -> pl.DataFrame:
    raise AssertionError("no raw log is read")


def need(name: str) -> None:
    """Skip where a file of the shared data is absent."""
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not at ../shared/data")


def test_t2_sup_takes_a_third_of_the_anomalies_to_learn_from():
    """The blocks whose hash is divisible by three are learned from, with their labels; no block is in both parts."""
    need("hdfs/hdfs_sessions.csv.gz")
    one = load("T2-sup", DATA, _no_reader)
    assert (one.labels, one.clean, one.train.height - int(one.train["label"].sum())) == ("known", True, 5583)
    assert all(zlib.crc32(key.encode()) % 3 == 0 for key in one.train.filter("label")["key"])
    assert not any(zlib.crc32(key.encode()) % 3 == 0 for key in one.test.filter("label")["key"])
    assert one.train.filter("label").height + one.test.filter("label").height == 16838
    assert one.test["weight"].sum() == pytest.approx(50.1 * 11039 + one.test.filter("label").height)


def test_t3_has_times_of_windows():
    """Windows of twenty lines in order of time, half to learn from; clean leaves the anomalous ones out."""
    need("bgl/BGL_100k_structured.csv.gz")
    free, clean = (load(name, DATA, _no_reader) for name in ("T3-free", "T3-clean"))
    assert (free.train.height, free.test.height, int(free.test["label"].sum())) == (2500, 2500, 180)
    assert clean.train.height == 2162
    assert free.train["start"].is_sorted()
    assert free.test["start"][0] >= free.train["end"][-1]


@pytest.mark.slow
def test_t1_is_read_from_the_raw_log():
    """Sessions by block in order of their starts, with texts and times; T1-sup knows the labels."""
    need("hdfs/HDFS_2pct.log.gz")
    one = bench.get_split("T1-sup", str(DATA))
    assert (one.train.height, one.test.height, int(one.test["label"].sum())) == (5750, 5751, 138)
    assert (one.labels, int(one.train["label"].sum())) == ("known", 212)
    assert {"timestamps", "sources"} < set(one.train.columns)
    assert " " in one.train["templates"][0][0]


def test_t5_is_simulated_once_and_split_by_time(tmp_path):
    """Windows of a hundred, 70, 15 and 15 % in order; a window is anomalous if one of its entries is."""
    one = simulated_split("T5", tmp_path, entries=20_000)
    assert [part.height for part in (one.train, one.valid, one.test)] == [140, 30, 30]
    assert one.train["start"][-1] <= one.valid["start"][0] <= one.test["start"][0]
    assert one.labels == "offered"
    labels = pl.read_csv(f"{log_in(tmp_path, 20_000)}.labels.csv", infer_schema_length=None)
    every = [labels["label"][i : i + 100].max() == 1 for i in range(0, 20_000, 100)]
    assert pl.concat([one.train, one.valid, one.test])["label"].to_list() == every
    assert one.test.filter("label")["incident"].null_count() == 0
    before = log_in(tmp_path, 20_000).stat().st_mtime_ns
    entries = simulated_split("T5-entry", tmp_path, entries=20_000)
    assert log_in(tmp_path, 20_000).stat().st_mtime_ns == before
    assert [part.height for part in (entries.train, entries.valid, entries.test)] == [14_000, 3_000, 3_000]
    assert entries.train["templates"].list.len().unique().to_list() == [1]
    assert int(pl.concat([entries.train, entries.valid, entries.test])["label"].sum()) == labels["label"].sum()


def test_labels_of_another_log_are_refused(tmp_path):
    """A simulated log whose labels were cut short is not measured on."""
    simulated_split("T5", tmp_path, entries=2_000)
    labels = Path(f"{log_in(tmp_path, 2_000)}.labels.csv")
    labels.write_text("\n".join(labels.read_text().splitlines()[:100]) + "\n")
    with pytest.raises(InputError, match="has 99 rows for 2,000 entries"):
        simulated_split("T5", tmp_path, entries=2_000)


def test_a_folder_that_is_not_there_is_said_also_where_none_is_needed(tmp_path):
    """T5 needs no data; who names a folder for it means one that exists."""
    with pytest.raises(InputError, match="there is no such folder"):
        bench.named_split("T5", str(tmp_path / "nowhere"), tmp_path)


def test_detectors_measure_on_times_and_numbers_of_a_simulated_log(tmp_path):
    """What reads times and numbers has its input on T5, and what learns from labels gets them."""
    one = simulated_split("T5", tmp_path, entries=30_000)
    taught = [name for name, kind in DETECTORS.items() if kind.supervised and not kind.trains_with]
    results = bench.run_bench(one, ["timing", "values", *taught], [0])
    assert results["status"].unique().to_list() == ["ok"]
    assert set(results["detector"]) == {"timing", "values", *taught}
    assert results.filter(pl.col("counted") == "all")["incidents"].min() >= 1
