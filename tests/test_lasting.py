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
        assert rows[stretch, "release, no lineage"]["found"] < release["found"] / 2
    for stretch in stretches[:2]:
        assert rows[stretch, "release"]["false"] <= rows[stretch, "release"]["in the budget"] + 2


@pytest.mark.slow
def test_a_slow_attack_is_not_learned(bench, tmp_path):
    """A model updated every day finds all of an attack to the last; one fitted anew every day has learned it."""
    rows = bench.slow_attack(2_000, 1, VIEWS[:5], tmp_path)
    assert all(row["updated: found"] == row["attacks"] for row in rows)
    assert rows[-1]["fitted anew: found"] < rows[-1]["attacks"] / 2


def chain(folder: Path, hash_seed: str) -> tuple[bytes, str]:
    """Fit, update and detect in processes of their own; returns what detect printed, and the hash of the model."""
    folder.mkdir()
    lines = shop_log(240, odd=(41, 130, 200))
    for name, part in (("one", lines[:480]), ("two", lines[480:720]), ("three", lines[720:])):
        anew = [line.replace("checked stock for", "stock checked of") if name != "one" else line for line in part]
        (folder / f"{name}.log").write_text("\n".join(anew) + "\n")
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}

    def run(*arguments: str) -> bytes:
        command = [sys.executable, "-c", "from offbeat.cli import main; main()", *arguments]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    quick = ("--detector", "presence,values,lstm", "--param", "lstm.epochs=2", "--param", "lstm.hidden=8")
    run("fit", "one.log", "-o", "model", "--session-by", r"order-\d+", *quick)
    run("update", "model", "two.log")
    found = run("detect", "three.log", "-m", "model", "--json")
    return found, orjson.loads((folder / "model" / "model.json").read_bytes())["hash"]


@pytest.mark.slow
def test_equal_input_gives_equal_bytes_through_an_update(tmp_path):
    """Fit, update and detect: the same input and seed give the same model and the same findings, byte by byte."""
    first, second = chain(tmp_path / "a", "1"), chain(tmp_path / "b", "2")
    assert first[0]
    assert first == second
