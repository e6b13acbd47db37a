"""What is promised of learning that lasts, at a small scale; ``benchmarks/releases.py`` has the rest."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from samples import shop_log

ROOT = Path(__file__).resolve().parents[1]
VIEWS = ("presence", "count", "ngram", "count-vector", "new-template", "timing", "values", "length")


@pytest.fixture(scope="module")
def bench():
    """The benchmark's functions."""
    spec = importlib.util.spec_from_file_location("releases", ROOT / "benchmarks" / "releases.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_release_costs_no_alarms_and_hides_no_faults(bench, tmp_path):
    """With a fifth of the statements worded anew, alarms and recall are those of the log without a release.

    From the first 2,000 entries on: one finding says that lines changed, false alarms stay within the budget until the
    shop adds steps of its own, and the faults put in are found.
    """
    rows = {(row["stretch"], row["log"]): row for row in bench.releases(24_000, 3, VIEWS, tmp_path)}
    stretches = list(dict.fromkeys(stretch for stretch, _ in rows))
    assert stretches[:2] == ["0 to 2,000", "2,000 to 4,000"]
    for stretch in stretches:
        plain, release = rows[stretch, "no release"], rows[stretch, "release"]
        assert (plain["lineage findings"], release["lineage findings"]) == (0, 1)
        assert release["false"] <= plain["false"] + 0.005 * plain["sessions"]
        assert release["found"] >= plain["found"] - 0.05 * plain["faults"]
        assert release["found"] >= 0.4 * release["faults"] > 0
    found = {log: sum(rows[stretch, log]["found"] for stretch in stretches) for _, log in rows}
    assert found["release, no lineage"] < found["release"] * 0.7
    for stretch in stretches[:2]:
        assert rows[stretch, "release"]["false"] <= rows[stretch, "release"]["in the budget"] + 2


@pytest.mark.slow
def test_a_step_that_is_added_hides_no_faults(bench, tmp_path):
    """With a step that 10, 30 or 100 % of the sessions take, alarms and recall are those without; it is said once."""
    rows = {(row["stretch"], row["step in"]): row for row in bench.additions(16_000, 1, VIEWS, tmp_path)}
    assert {share for _, share in rows} == {"0%", "10%", "30%", "100%"}
    for (stretch, share), row in rows.items():
        plain = rows[stretch, "0%"]
        assert row["about the step"] == (share != "0%")
        assert row["false"] <= plain["false"] + 0.005 * plain["sessions"]
        assert row["found"] >= plain["found"] - 0.05 * plain["faults"] > 0


@pytest.mark.slow
def test_a_slow_attack_is_not_learned(bench, tmp_path):
    """A model updated every day finds all of an attack to the last; one fitted anew every day has learned it."""
    rows = bench.slow_attack(2_000, 1, VIEWS[:5], tmp_path)
    assert all(row["updated: found"] == row["attacks"] for row in rows)
    assert rows[-1]["fitted anew: found"] < rows[-1]["attacks"] / 2


#: Runs the command lines on stdin, and ends what each prints with a line of its own; ``ID`` is the first finding.
DRIVER = """
import json, shlex, sys
from pathlib import Path
from offbeat.cli import main

for line in sys.stdin.read().splitlines():
    if " ID " in line:
        first = json.loads(Path("run/findings.jsonl").read_text().splitlines()[0])
        line = line.replace("ID", first["id"])
    sys.argv = ["offbeat", *shlex.split(line)]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (line, end.code)
    print("== " + line.split()[0], flush=True)
"""
COMMANDS = """
fit one.log -o model --session-by order-[0-9]+ --detector presence,lstm --param lstm.epochs=2 --param lstm.hidden=8
update model two.log
detect three.log -m model -o run --json
feedback add ID expected --scope pattern
update model three.log -o next --json
detect four.log -m model --json
replay next four.log --budget 5/1000 --json
""".strip()


def chain(folder: Path, hash_seed: str) -> tuple[bytes, list[str]]:
    """Fit, update, detect, answer and replay in a process of its own; returns what it printed, and the models."""
    folder.mkdir()
    lines = shop_log(320, odd=(41, 130, 200, 250, 300))
    for name, part in (("one", lines[:480]), ("two", lines[480:720]), ("three", lines[720:960]), ("four", lines[960:])):
        anew = [line.replace("checked stock for", "stock checked of") if name != "one" else line for line in part]
        (folder / f"{name}.log").write_text("\n".join(anew) + "\n")
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    given = {"cwd": folder, "env": env, "input": COMMANDS.encode(), "capture_output": True, "check": False}
    done = subprocess.run([sys.executable, "-c", DRIVER], **given)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout, [
        orjson.loads((folder / name / "model.json").read_bytes())["hash"] for name in ("model", "next")
    ]


@pytest.mark.slow
def test_equal_input_gives_equal_bytes_through_an_update(tmp_path):
    """The same input, answers and seed give the same models, findings and comparisons, byte by byte.

    ``PYTHONHASHSEED`` is another in each: nothing depends on the order of a set.
    """
    first, second = chain(tmp_path / "a", "1"), chain(tmp_path / "b", "2")
    found = [part.split(b"\n== ")[-1] for part in first[0].split(b"== detect\n")]
    assert b'"kind"' in found[0]
    assert b'"kind"' in found[1]
    assert b'"released"' in first[0]
    assert b'"setting"' in first[0]
    assert first == second
