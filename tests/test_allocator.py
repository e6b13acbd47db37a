"""How Polars' allocator is set up: by offbeat, unless the user did."""

import os
import subprocess
import sys

import pytest

from offbeat import allocator

NAME = "_RJEM_MALLOC_CONF"


def left_by_polars() -> str:
    """What Polars writes into the environment of a program that imports it, for those that this one starts."""
    bare = {name: value for name, value in os.environ.items() if name != NAME}
    code = f"import os, polars; print(os.environ.get({NAME!r}, ''))"
    return subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("times", [0, 1, 2])
def test_what_polars_leaves_behind_is_not_the_users(monkeypatch, times):
    """A program that a program with Polars started, or one that such a one started, sets the allocator up."""
    monkeypatch.setenv(NAME, ",".join([left_by_polars().strip()] * times))
    allocator.set_up()
    assert "narenas:" in os.environ[NAME]


def test_what_the_user_says_stays(monkeypatch):
    """Be it alone or behind Polars' own."""
    for given in ("narenas:7", left_by_polars().strip() + ",dirty_decay_ms:0"):
        monkeypatch.setenv(NAME, given)
        allocator.set_up()
        assert os.environ[NAME] == given


def test_the_c_library_is_limited_too(monkeypatch: pytest.MonkeyPatch):
    """Its arenas are as few as Polars'; where the user says how many, that stays."""
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(allocator, "_of_c", lambda name: lambda *given: asked.append((name, *given)))
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    allocator.set_up()
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    allocator.set_up()
    assert asked == [("mallopt", -8, max(1, (os.cpu_count() or 1) // 2))]
