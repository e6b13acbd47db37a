"""Lines in, events out: the usual formats of many systems, as data in tests/golden/formats."""

from __future__ import annotations

import datetime as dt
import os
import tomllib
from pathlib import Path

import pytest
from read_helpers import adds_up, read, write

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "formats"
CASES = [
    pytest.param(case, id=case["name"])
    for path in sorted(GOLDEN.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]
#: When the files were last written to, which says what year is meant where a stamp names none.
WRITTEN = dt.datetime(2026, 11, 22, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize("case", CASES)
def test_events(case, tmp_path):
    """Lines become as many events as there are, none is left over, and time, level, source and message are right."""
    path = write(tmp_path, case["text"])
    os.utime(path, (WRITTEN, WRITTEN))
    logs, frame = read(path)
    assert frame.height == case["events"]
    assert adds_up(logs, frame)
    assert not logs.summary.unplaced
    for want in case["expect"]:
        row = frame.row(want["event"] % frame.height, named=True)
        if "time" in want:
            assert row["timestamp"] == dt.datetime.fromisoformat(want["time"])
        for role in ("level", "source"):
            if role in want:
                assert row[role] == want[role]
        assert row["message"].startswith(want.get("message", ""))
