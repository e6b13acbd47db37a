"""The benchmark: the same figures twice, resumed where it ended, and no failure ends more than its own row."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import polars as pl
import pytest
from samples import shop_log

from offbeat import bench
from offbeat.bench import Task, workers
from offbeat.cli import main
from offbeat.detect import DETECTORS
from offbeat.errors import OptionError
from offbeat.evaluate.labels import read_labels
from offbeat.intake import Options

ODD = (7, 23, 71, 88, 103)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a log of 120 sessions and its labels, as the working folder."""
    (tmp_path / "shop.log").write_text("\n".join(shop_log(120, ODD)) + "\n")
    keys = "".join(f"order-{1000 + n},{int(n in ODD)}\n" for n in range(120))
    (tmp_path / "labels.csv").write_text("key,label\n" + keys)
    (tmp_path / "early.csv").write_text("key,label\norder-1007,1\n")
    (tmp_path / "late.csv").write_text("key,label\norder-1071,1\n")
    (tmp_path / "others.csv").write_text("key,label\nblk_1,1\nblk_2,0\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def split(folder):
    """The log as a split: the first half of the sessions to learn from."""
    return bench.own_split(["shop.log"], read_labels("labels.csv"), Options(session_by=r"order-\d+"))


def run(command: str, capsys, monkeypatch) -> tuple[int, str, str]:
    """Run a command line; returns exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["offbeat", *shlex.split(command)])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


COMMAND = "bench shop.log --labels labels.csv --session-by 'order-\\d+' "


def test_own_files_are_split_by_time_with_what_views_read(split):
    """Sixty sessions each, in order; texts, times and numbers are there, and labels are offered."""
    assert (split.train.height, split.test.height, split.labels, split.unit) == (60, 60, "offered", "session")
    assert split.train["start"].max() < split.test["start"].min()
    assert split.test["label"].sum() == 3
    assert "received order" in split.train["templates"][0][0]
    assert split.train["timestamps"].list.len().to_list() == split.train["templates"].list.len().to_list()


def test_labels_that_name_nothing_are_told(folder, capsys, monkeypatch):
    """Labels of other sessions, and sessions without a label, are counted and said; the others are measured."""
    Path("some.csv").write_text("key,label\norder-1007,1\norder-1071,1\nblk_9,1\norder-1080,0\n")
    code, _, err = run(COMMAND.replace("labels.csv", "some.csv") + "--detectors presence -o out", capsys, monkeypatch)
    assert code == 0
    assert "1 of 4 labels name no session, 'blk_9' for example" in err
    assert "117 of 120 sessions have no label and count as normal" in err
    assert "1 of 4 labels name no session" in Path("out/report.md").read_text()


def test_a_second_run_prints_the_same_figures(folder, capsys, monkeypatch):
    """What was measured is used again, and what is measured anew is the same but for time and memory."""
    first, again = (run(COMMAND + f"--detectors presence,count -o {o} --json", capsys, monkeypatch) for o in "ab")
    assert first[0] == again[0] == 0, first[2]
    rows = [[orjson.loads(line) for line in out.splitlines()] for _, out, _ in (first, again)]
    timed = {"fit_seconds", "score_seconds", "peak_mb"}
    assert [{k: v for k, v in r.items() if k not in timed} for r in rows[0]] == [
        {k: v for k, v in r.items() if k not in timed} for r in rows[1]
    ]
    assert rows[0][0]["detector"] == "presence"
    assert rows[0][0]["ap"] == 1.0
    assert rows[0][0]["peak_mb"] > 20
    code, out, _ = run(COMMAND + "--detectors presence,count -o a --json", capsys, monkeypatch)
    assert (code, out) == (0, first[1])
    about = orjson.loads(Path("a/model.json").read_bytes())["values"]
    assert about["data_hash"]
    assert about["versions"]["polars"] == pl.__version__
    assert "| presence | all | 1.000 |" in Path("a/report.md").read_text()
    assert pl.read_parquet("a/results.parquet").height == 4


def test_one_failure_is_a_row_and_the_others_finish(split, tmp_path, monkeypatch):
    """A detector that has no time left says so in its row; a process that dies does too; others have figures."""
    tasks = bench.make_tasks(["presence", "length"], [0])
    slow = bench.run_tasks(split, tasks, tmp_path / "slow", timeout=0.01)
    assert {one.reason for one in slow} == {"took longer than 0 s (--timeout)"}
    start = workers._start

    def killed(task, units, out, first=None):
        one = start(task, units, out, first)
        if task.detector == "length":
            os.kill(one.process.pid, signal.SIGKILL)
        return one

    monkeypatch.setattr(workers, "_start", killed)
    table = bench.summarise(bench.collect(bench.run_tasks(split, tasks, tmp_path / "dead")))
    rows = {row["detector"]: row for row in table.filter(pl.col("counted") == "all").iter_rows(named=True)}
    assert rows["presence"]["ap"] == 1.0
    assert "SIGKILL" in rows["length"]["reason"]
    assert "| length | failed: its process was ended by SIGKILL" in "\n".join(bench.table(table))
    assert not list((tmp_path / "dead").glob("*.job.json"))


def test_an_interrupt_keeps_what_is_done(folder, capsys, monkeypatch):
    """After a Ctrl-C the finished results are there, nothing is left running, and the next run adds the rest."""
    command = [sys.executable, "-c", "from offbeat.cli import main; main()", *shlex.split(COMMAND)]
    detectors = "presence,count,length,ngram,count-vector"
    process = subprocess.Popen([*command, "--detectors", detectors, "-o", "out", "--jobs", "1"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(Path("out/parts").glob("*/result.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    kept = list(Path("out/parts").glob("*/result.json"))
    assert 1 <= len(kept) < 5
    assert not list(Path("out/parts").glob("*.job.json"))
    before = {path: path.stat().st_mtime_ns for path in kept}
    code, out, err = run(COMMAND + f"--detectors {detectors} -o out", capsys, monkeypatch)
    assert code == 0, err
    assert out.count("| all |") == 5
    assert {path: path.stat().st_mtime_ns for path in kept} == before


@pytest.mark.slow
def test_nothing_is_left_running_when_the_benchmark_is_killed(folder):
    """Without any chance to clear up its processes end by themselves."""
    command = [sys.executable, "-c", "from offbeat.cli import main; main()", *shlex.split(COMMAND)]
    process = subprocess.Popen([*command, "--detectors", "lstm", "-o", "out", "--jobs", "1"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(Path("out/parts").glob("*.job.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        process.communicate()
        pytest.skip("the system does not tell a process's children")
    while not (begun := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert begun
    while any(map(runs, begun)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(runs, begun))


def runs(pid: str) -> bool:
    """Whether a process is there and more than a remainder that nobody asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_damaged_result_is_measured_again(split, tmp_path):
    """A result whose scores are cut off is not used."""
    tasks = [Task("presence", 0)]
    first = bench.run_tasks(split, tasks, tmp_path)[0]
    first.scores.write_bytes(first.scores.read_bytes()[:100])
    again = bench.run_tasks(split, tasks, tmp_path)[0]
    assert again.ok
    assert again.read_scores().height == 60


def test_what_matters_is_in_the_name_of_a_result(split):
    """Other data, seeds or parameters have other names; parameters of other detectors do not matter."""
    from offbeat.bench.keys import task_key

    digest = bench.split_hash(split)
    names = {
        task_key(digest, Task("lstm", 0)),
        task_key(digest, Task("lstm", 1)),
        task_key(digest, Task("lstm", 0, {"lstm.epochs": "3"})),
        task_key("other", Task("lstm", 0)),
        task_key(digest, Task("lstm", 0, perturb=True)),
    }
    assert len(names) == 5
    assert task_key(digest, Task("presence", 0, {"lstm.epochs": "3"})) == task_key(digest, Task("presence", 0))
    changed = split.test.with_columns(label=~pl.col("label"))
    assert bench.split_hash(split) != bench.split_hash(type(split)(split.name, split.train, changed, False, split.unit))


@pytest.mark.slow
def test_a_view_of_the_whole_is_measured_as_if_it_were_alone(split, tmp_path):
    """The network that the whole fits anyway is not fitted twice, and its figures are those of a fit of its own."""
    params = {"lstm.epochs": 4, "lstm.hidden": 8, "lstm.embedding": 4}
    (task,) = bench.make_tasks([bench.WHOLE, "lstm"], [3], params)
    assert task.also == ("lstm",)
    both = bench.run_task(split, task)
    alone = bench.run_task(split, Task("lstm", 3, params), folds=3)["lstm"]
    assert both["lstm"].scores.equals(alone.scores)
    timed = {"fit_seconds", "score_seconds"}
    assert [{k: v for k, v in row.items() if k not in timed} for row in both["lstm"].rows] == [
        {k: v for k, v in row.items() if k not in timed} for row in alone.rows
    ]
    assert 0 < both["lstm"].rows[0]["fit_seconds"] <= both[bench.WHOLE].rows[0]["fit_seconds"]


@pytest.mark.slow
def test_a_network_is_calibrated_with_its_first_seed(split, tmp_path):
    """Other seeds take over calibration and threshold; where the first fails, they say so."""
    params = {"lstm.epochs": 3, "lstm.hidden": 8, "lstm.embedding": 4}
    tasks = bench.make_tasks(["lstm"], [4, 5], params)
    assert [(task.seed, task.after) for task in tasks] == [(4, None), (5, 4)]
    first, second = bench.run_tasks(split, tasks, tmp_path / "a")
    assert first.ok
    assert second.ok
    assert first.rows[0]["stated_share"] == second.rows[0]["stated_share"]
    assert first.rows[0]["ap"] != second.rows[0]["ap"]
    here = bench.run_task(split, tasks[0])["lstm"]
    again = bench.run_task(split, tasks[1], decision=here.decision)["lstm"]
    assert again.scores.equals(second.read_scores())
    broken = bench.make_tasks(["lstm"], [4, 5], params | {"lstm.learning_rate": -1.0})
    reasons = [one.reason for one in bench.run_tasks(split, broken, tmp_path / "b")]
    assert reasons[1] == "it failed with seed 4, which it takes its threshold from"


def test_when_time_is_up_first_seeds_are_there(split, tmp_path):
    """Nothing more is begun, what was measured counts, and a detector without any figure says why."""
    tasks = bench.make_tasks(["presence", "isolation-forest"], [0, 1, 2])
    one = bench.collect(bench.run_tasks(split, tasks, tmp_path, within=0.0, jobs=1))
    assert one.filter(pl.col("counted") == "all").select("detector", "seed", "reason").rows() == [
        ("presence", 0, None),
        *(("isolation-forest", seed, "there was no time left to begin it (--within)") for seed in (0, 1, 2)),
    ]
    both = bench.collect(bench.run_tasks(split, tasks, tmp_path, within=0.0, jobs=1))
    assert both.filter(pl.col("counted") == "all").select("detector", "seed", "reason").rows() == [
        ("presence", 0, None),
        ("isolation-forest", 0, None),
    ]


def test_altered_lines_are_measured_too(folder, capsys, monkeypatch):
    """With --perturb the report has a row a way, and more altered lines do not help presence."""
    code, _, err = run(COMMAND + "--detectors presence -o out --perturb", capsys, monkeypatch)
    assert code == 0, err
    table = pl.read_parquet("out/results.parquet")
    altered = bench.perturbed(table).filter(pl.col("perturbed") == "reworded").sort("share")
    assert altered["share"].to_list() == [0.0, 0.05, 0.1, 0.2]
    assert altered["f1"][0] == 1.0
    assert altered["f1"][3] < altered["f1"][0]
    assert "| presence | reordered | 1.000 | 1.000 | 1.000 | 1.000 |" in Path("out/report.md").read_text()


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("bench T1-free --detectors presence", "offbeat: bench T1-free: needs the folder of its data (--data DIR)"),
        ("bench T1-free --data none", "offbeat: none: there is no such folder ("),
        ("bench T2 --data .", "hdfs/hdfs_sessions.csv.gz: the protocol's data are not here"),
        ("bench T9", "offbeat: bench: 'T9' is no protocol (T1-clean,"),
        (COMMAND.replace("labels.csv", "others.csv"), "others.csv: none of its keys is a unit's: 'blk_1' for example"),
        (COMMAND.replace("labels.csv", "early.csv"), "early.csv: the test part holds only normal units, so"),
        (COMMAND + "--detectors presense", "offbeat: --detectors: there is no detector 'presense' (all, or some of:"),
        (COMMAND + "--timeout soon", "offbeat: --timeout: 'soon' is no stretch of time (90s, 15m or 2h)"),
        (COMMAND + "--param presence.layers=2", "--param: no detector in use has a parameter 'presence.layers'"),
        (COMMAND + "-o shop.log", "offbeat: shop.log: is a file; a folder is written here"),
    ],
    ids=lambda value: value[:40],
)  # fmt: skip
def test_mistakes_are_one_clear_sentence(command, error, folder, capsys, monkeypatch):
    """Exit code 2, nothing on stdout, and one sentence that says what and where."""
    code, out, err = run(command, capsys, monkeypatch)
    assert (code, out) == (2, "")
    assert error in err
    assert err.count("\n") == 1


def test_learning_from_labels_needs_both_kinds(split):
    """A detector that learns from labels is refused where they are hidden or all alike."""
    taught = next(name for name, kind in DETECTORS.items() if kind.supervised)
    hidden = type(split)("T1-free", split.train, split.test, False, "session")
    with pytest.raises(OptionError, match="learns from labels, and T1-free hides them"):
        bench.check_labels([Task(taught, 0)], hidden)
    normal = type(split)("x", split.train.filter(~pl.col("label")), split.test, False, "session", "offered")
    with pytest.raises(OptionError, match="the training part holds only normal units"):
        bench.check_labels([Task(taught, 0)], normal)
