"""Lines in, templates out: the cases are data in tests/golden/templates."""

import tomllib
from pathlib import Path

import polars as pl
import pytest

from offbeat.mine import Miner

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "templates"
CASES = [
    pytest.param(case, id=f"{path.stem}-{number}")
    for path in sorted(GOLDEN.glob("*.toml"))
    for number, case in enumerate(tomllib.loads(path.read_text(encoding="utf-8"))["case"])
]


@pytest.mark.parametrize("case", CASES)
def test_templates_of_the_lines(case):
    """The templates of the lines are the expected ones, commonest first."""
    miner = Miner()
    miner.encode(Miner.shapes(pl.Series(case["lines"].strip("\n").split("\n"))))
    catalog = miner.learn()
    assert catalog.texts == case["templates"], case["why"]
    assert sum(catalog.counts) == len(case["lines"].strip("\n").split("\n"))
