"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from offbeat.read import Logs, open_logs

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is absent")
ALL = ["file", "line", "span", "timestamp", "level", "source", "message", "fields"]


def write(folder: Path, content: str | bytes, name: str = "a.log") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(
    path: Path | list[Path] | Logs, columns: list[str] | None = None, **options: object
) -> tuple[Logs, pl.DataFrame]:
    """The opened input and all its events."""
    logs = path if isinstance(path, Logs) else open_logs(path, **options)
    frames = list(logs.batches(columns or ALL))
    return logs, pl.concat(frames) if frames else pl.DataFrame()


def stamps(frame: pl.DataFrame) -> list[str | None]:
    """Times as ISO 8601 in UTC, to the microsecond."""
    return frame["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_list()


def adds_up(logs: Logs, frame: pl.DataFrame) -> bool:
    """Whether every physical line is in one event or counted as skipped."""
    return int(frame["span"].sum() if frame.height else 0) + sum(logs.summary.skipped.values()) == logs.summary.lines
