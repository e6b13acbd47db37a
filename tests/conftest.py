"""Settings and fixtures for all tests."""

import os

# Two torch threads on two busy cores were measured 40 times slower than one; set before torch or numpy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import pytest
from hypothesis import settings
from samples import shop_log

# The machine may be busy with other work, so time is no measure of correctness. The examples are the same in every run
# on purpose: a red run then says something about the change at hand. Searching for new ones is a job of its own, done
# with `pytest --hypothesis-profile search --hypothesis-seed N` (the plain profile heeds no seed).
settings.register_profile("offbeat", derandomize=True, deadline=None, max_examples=40)
settings.register_profile("search", derandomize=False, deadline=None, max_examples=1000)
settings.load_profile("offbeat")


@pytest.fixture(scope="session")
def shop() -> list[str]:
    """The lines of 60 sessions, of which one is odd."""
    return shop_log()


@pytest.fixture
def shop_file(tmp_path: Path, shop: list[str]) -> Path:
    """The same as a file."""
    path = tmp_path / "shop.log"
    path.write_text("\n".join(shop) + "\n", encoding="utf-8")
    return path
