"""Template quality on real logs with a known truth, where the shared data is present."""

import importlib.util
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".." / "shared" / "data"

SPEC = importlib.util.spec_from_file_location("templates_benchmark", ROOT / "benchmarks" / "templates.py")
assert SPEC is not None
assert SPEC.loader is not None
BENCHMARK = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(BENCHMARK)


def test_the_metrics_are_those_of_a_worked_example():
    """Of four lines in two true groups, one split and one right with the right text: GA .5, FTA 2*1/(3+2)."""
    truth = pl.Series(["a <*>", "a <*>", "b", "b"])
    accuracy, f1 = BENCHMARK.quality(truth, pl.Series(["a <num>", "a <num>", "b", "b x"]))
    assert (accuracy, f1) == (0.5, pytest.approx(0.4))
    assert BENCHMARK.quality(truth, truth) == (1.0, 1.0)


def test_templates_of_ten_systems():
    """One configuration for all: mean GA and FTA well above what is asked, and no system far below."""
    paths = sorted((DATA / "loghub_2k").glob("*/*_structured_corrected.csv"))
    if not paths:
        pytest.skip("the shared data is absent")
    figures = []
    for path in paths:
        frame = pl.read_csv(path, infer_schema_length=0)
        figures.append(BENCHMARK.quality(frame["EventTemplate"], BENCHMARK.offbeat(frame["Content"].fill_null(""))))
    assert sum(ga for ga, _ in figures) / len(figures) >= 0.98
    assert sum(fta for _, fta in figures) / len(figures) >= 0.80
    assert min(ga for ga, _ in figures) >= 0.95


def test_the_hdfs_log_has_about_its_true_templates():
    """222,579 lines leave some dozens of shapes and about the 29 to 46 templates that HDFS has."""
    path = DATA / "hdfs" / "HDFS_2pct.log.gz"
    if not path.exists():
        pytest.skip("the shared data is absent")
    lines = pl.read_csv(path, has_header=False, separator="\x01", quote_char=None, new_columns=["line"])["line"]
    mined = BENCHMARK.offbeat(lines.str.replace(r"^\S+ \S+ \S+ \S+ \S+ ", ""))
    assert 25 <= mined.n_unique() <= 46
