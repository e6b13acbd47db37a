"""The simulator writes what it promises: counts, order, labels, the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest

from offbeat.errors import InputError, OptionError
from offbeat.simulate import KINDS, Simulation, simulate

LINES = 30_000
Reader = Callable[[Simulation], pl.DataFrame]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """One simulation of default settings."""
    return simulate(tmp_path_factory.mktemp("shop") / "shop.jsonl", LINES, 3)


@pytest.fixture(scope="module")
def log(done: Simulation, read: Reader) -> pl.DataFrame:
    """Its lines and labels."""
    return read(done)


def test_count_and_order(done: Simulation, log: pl.DataFrame) -> None:
    """Exactly the asked number of JSON lines comes out, in order of time, one label row each."""
    assert len(log) == done.lines == LINES
    assert log["time"].is_sorted()
    assert log["line"].to_list() == list(range(1, LINES + 1))
    assert done.start == log["time"][0].replace(tzinfo=UTC)
    assert done.end == log["time"][-1].replace(tzinfo=UTC)


def test_every_line_is_an_object_of_plain_fields(done: Simulation) -> None:
    """Each line parses by itself, carries the common fields, and leaves out the fields it has no value for."""
    optional = {"trace", "user", "client", "status", "duration_ms", "cpu", "mem"}
    for line in done.path.read_bytes().splitlines():
        record = orjson.loads(line)
        assert list(record)[:4] == ["timestamp", "level", "service", "host"]
        assert set(record) - optional == {"timestamp", "level", "service", "host", "message"}
        assert None not in record.values()
        assert "{" not in record["message"]


def test_labels_agree_with_the_summary(done: Simulation, log: pl.DataFrame) -> None:
    """Every incident of the summary is in the label file with the same lines, times and kind, and no other is."""
    marked = log.filter(pl.col("label") == 1)
    assert set(log["label"]) == {0, 1}
    assert marked.select(pl.col("kind", "incident").is_null().any()).row(0) == (False, False)
    assert log.filter(pl.col("label") == 0)["kind"].null_count() == LINES - len(marked)
    assert len(marked) == done.anomalous
    assert marked["incident"].n_unique() == len(done.incidents)
    for incident in done.incidents:
        ours = marked.filter(pl.col("incident") == incident.incident)
        assert ours["kind"].unique().to_list() == [incident.kind]
        assert (ours["line"].min(), ours["line"].max()) == (incident.first_line, incident.last_line)
        assert len(ours) == incident.lines
        assert incident.start.replace(tzinfo=None) == ours["time"].min()


@pytest.mark.parametrize(("share", "least", "most"), [(0.005, 0.003, 0.0075), (0.05, 0.035, 0.06)])
def test_rate(tmp_path: Path, share: float, least: float, most: float) -> None:
    """The share of anomalous lines comes near the asked one."""
    found = simulate(tmp_path / "a.jsonl", LINES, 5, rate=share)
    assert least < found.anomalous / LINES < most


def test_no_anomalies(tmp_path: Path) -> None:
    """With a rate of nought no line is labelled."""
    found = simulate(tmp_path / "a.jsonl", 2_000, 5, rate=0.0)
    assert (found.anomalous, found.incidents) == (0, ())


def test_kinds_come_early_and_late(tmp_path: Path) -> None:
    """Every kind occurs in the first 70 % and the rest alike, but for the one that only the end holds."""
    done = simulate(tmp_path / "a.jsonl", 120_000, 7)
    cut = int(0.7 * 120_000)
    early = {incident.kind for incident in done.incidents if incident.first_line <= cut}
    late = {incident.kind for incident in done.incidents if incident.first_line > cut}
    assert early == set(KINDS) - {"retry-storm"}
    assert late == set(KINDS)


@pytest.mark.parametrize("n", [2_000, 5_000])
@pytest.mark.parametrize("seed", range(4))
def test_short_logs_hold_the_main_kinds(tmp_path: Path, n: int, seed: int) -> None:
    """Two thousand lines hold an error spike, a brute-force login, slow responses and a silent component."""
    found = simulate(tmp_path / "a.jsonl", n, seed)
    assert {"error-spike", "brute-force", "slow-response", "silent-component"} <= set(found.kinds)


@pytest.mark.parametrize("n", [1, 2, 99, 20_001])
def test_any_number_of_lines(tmp_path: Path, n: int) -> None:
    """Any positive number of lines is written, over the edges of blocks too."""
    found = simulate(tmp_path / "a.jsonl", n, 0)
    assert found.path.read_bytes().count(b"\n") == n
    assert found.labels.read_bytes().count(b"\n") == n + 1


def test_chosen_kinds(tmp_path: Path) -> None:
    """Only the chosen kinds are injected."""
    found = simulate(tmp_path / "a.jsonl", 5_000, 1, kinds=["brute-force", "out-of-order"])
    assert set(found.kinds) == {"brute-force", "out-of-order"}


def test_same_bytes_on_every_machine(tmp_path: Path) -> None:
    """The bytes for a seed are fixed: this digest must hold on any platform and version of NumPy and Polars."""
    found = simulate(tmp_path / "a.jsonl", 25_000, 7)
    digest = hashlib.sha256(found.path.read_bytes() + found.labels.read_bytes()).hexdigest()
    assert digest == "390eb1efb495c4e9c94f726d10727825cdcb4d8844b6fb058487a5d40d127637"


def test_seed_and_options_matter(tmp_path: Path) -> None:
    """Another seed, difficulty or rate gives another log."""
    texts = {
        simulate(tmp_path / "a.jsonl", 3_000, seed, difficulty=difficulty, rate=rate).path.read_bytes()
        for seed, difficulty, rate in [(0, 0.5, 0.02), (1, 0.5, 0.02), (0, 0.4, 0.02), (0, 0.5, 0.03)]
    }
    assert len(texts) == 4


def test_gz_is_compressed_and_the_same(tmp_path: Path) -> None:
    """A path ending in .gz gets the same lines, compressed."""
    plain = simulate(tmp_path / "a.jsonl", 1_000, 2)
    packed = simulate(tmp_path / "a.jsonl.gz", 1_000, 2)
    assert gzip.decompress(packed.path.read_bytes()) == plain.path.read_bytes()
    assert packed.labels.read_bytes() == plain.labels.read_bytes()
    assert packed.labels.name == "a.jsonl.gz.labels.csv"


def test_summary_is_plain(done: Simulation) -> None:
    """The summary turns into JSON, with times in UTC with Z."""
    plain = orjson.loads(orjson.dumps(done.as_dict()))
    assert plain["start"].endswith("Z")
    assert datetime.fromisoformat(plain["incidents"][0]["start"]) == done.incidents[0].start
    assert plain["kinds"] == done.kinds


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"n": 0}, "n"),
        ({"n": -5}, "n"),
        ({"seed": -1}, "seed"),
        ({"rate": 0.5}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"difficulty": 1.1}, "difficulty"),
        ({"kinds": ["flood"]}, "kinds"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, object], where: str) -> None:
    """Each bad argument is named, and nothing is written."""
    with pytest.raises(OptionError) as caught:
        simulate(tmp_path / "a.jsonl", **({"n": 10, "seed": 1} | options))
    assert caught.value.where == where
    assert list(tmp_path.iterdir()) == []


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    """A path in a folder that is not there is an input error naming the path."""
    with pytest.raises(InputError, match="cannot write"):
        simulate(tmp_path / "none" / "a.jsonl", 10, 1)


def test_path_that_is_a_folder(tmp_path: Path) -> None:
    """A folder is not replaced by a log, and nothing is left behind."""
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(InputError):
        simulate(tmp_path / "a.jsonl", 10, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_path_that_is_no_file(tmp_path: Path) -> None:
    """The null device, or here a pipe, stays what it is."""
    pipe = tmp_path / "a.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="a device or a pipe"):
        simulate(pipe, 10, 1)
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]


def test_interrupt_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing stops half way, the files of an earlier run stay as they were and nothing else is left."""
    path = tmp_path / "a.jsonl"
    simulate(path, 50, 1)
    before = {found.name: found.read_bytes() for found in tmp_path.iterdir()}

    def stop(rows: pl.DataFrame, reworded: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("offbeat.simulate.simulator.render", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(path, 60, 1)
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == before


def test_documentation_names_every_kind_and_field(log: pl.DataFrame) -> None:
    """docs/simulator.md describes each kind of incident and each field, and no other kind."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "simulator.md").read_text()
    incidents = text.split("## Incidents")[1].split("**Look-alikes**")[0]
    assert [line.split("`")[1] for line in incidents.splitlines() if line.startswith("| `")] == list(KINDS)
    fields = text.split("| field |")[1].split("## Incidents")[0]
    assert all(f"`{name}`" in fields for name in log.columns[: log.columns.index("line")])
