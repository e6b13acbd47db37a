"""Real logs: nearly every line is placed, and the message is what miners are usually given."""

from __future__ import annotations

import csv

import pytest
from read_helpers import DATA, adds_up, needs_data, read

pytestmark = needs_data

SYSTEMS = sorted(path.name for path in (DATA / "loghub_2k").glob("*/")) if DATA.is_dir() else []
FILES = (
    sorted(
        str(path.relative_to(DATA))
        for pattern in ("**/*.log", "**/*.log.gz", "formats/*")
        for path in DATA.glob(pattern)
        if path.is_file()
    )
    if DATA.is_dir()
    else []
)


@pytest.mark.parametrize("name", FILES)
def test_nearly_every_line_is_placed(name):
    """At most one line in a thousand goes unplaced, nearly all have a time, and no line is lost."""
    logs, frame = read(DATA / name, ["line", "span", "timestamp", "message"])
    assert sum(logs.summary.unplaced.values()) <= 0.001 * logs.summary.lines
    assert frame["timestamp"].null_count() <= 0.001 * frame.height
    assert frame["message"].null_count() == 0
    assert logs.sniffed[0].confidence > 0.95
    assert adds_up(logs, frame)


@pytest.mark.slow
@pytest.mark.parametrize("day", ["2023-01-29", "2023-01-30_morning"])
def test_container_logs(day):
    """All container logs are placed, with the service as source and a level nearly everywhere."""
    logs, frame = read(
        DATA / "trainticket" / f"trainticket_{day}.jsonl.gz", ["line", "span", "timestamp", "level", "source"]
    )
    assert not logs.summary.unplaced
    assert frame["timestamp"].null_count() == 0
    assert (frame["level"] == 0).sum() <= 0.001 * frame.height
    assert frame["source"].str.contains("^ts-[a-z0-9-]+-service$").all()
    assert frame["source"].n_unique() == 27
    assert adds_up(logs, frame)


@pytest.mark.parametrize("system", SYSTEMS)
def test_message_is_the_content(system):
    """The header ends where the collection's ground truth lets it end, for every line of every system."""
    folder = DATA / "loghub_2k" / system
    with (folder / f"{system}_2k.log_structured_corrected.csv").open(newline="") as file:
        contents = [row["Content"].strip() for row in csv.DictReader(file)]
    _, frame = read(folder / f"{system}_2k.log", ["message"])
    assert frame["message"].to_list() == contents


def test_scan_reads_like_any_access_log():
    """The stray quotes of the scanner's log do not keep it from being an access log."""
    logs, frame = read(DATA / "web" / "scan_acunetix.log.gz", ["message", "level"])
    assert logs.sniffed[0].layout == "access"
    assert frame["message"].str.contains(r" [0-9]{3}$").all()
    assert not frame["message"].str.contains("HTTP/1.1").any()


def test_syslog_over_new_year_is_in_order():
    """A log of nine months without years keeps its order over the turn of the year."""
    _, frame = read(DATA / "linux" / "Linux.log.gz", ["timestamp"])
    times = frame["timestamp"]
    assert 250 < (times.max() - times.min()).days < 280
    assert (times.diff().dt.total_seconds().fill_null(0) < -86_400).sum() == 0
