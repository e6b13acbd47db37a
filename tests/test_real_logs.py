"""What a person on call would see on logs that nobody prepared."""

import gzip
import re
from datetime import datetime
from pathlib import Path

import pytest

from offbeat.pipeline import Pipeline
from offbeat.read import Lines

WEB = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "web"
STAMP = re.compile(r"\[([^\]]+)\]")


def lines_of(name: str) -> list[str]:
    """Return the lines of a packed web log, without quotes around them."""
    with gzip.open(WEB / name, "rt", errors="replace") as file:
        return [line.strip().removeprefix('"') for line in file]


@pytest.mark.slow
@pytest.mark.skipif(not WEB.is_dir(), reason="the web logs are not at ../shared/data")
def test_a_scanner_among_visitors_comes_first_and_hardly_anything_else():
    """300 lines of a scan spread through half of an access log: it is among the first three, and few others are."""
    log, scan = lines_of("apache_access.log.gz"), lines_of("scan_acunetix.log.gz")
    scan.sort(key=lambda line: datetime.strptime(STAMP.search(line)[1], "%d/%b/%Y:%H:%M:%S %z"))
    scan = scan[::21][:300]
    first, second = log[: len(log) // 2], log[len(log) // 2 :]
    step = len(second) // len(scan)
    mixed = []
    for i, line in enumerate(second):
        mixed.append(line)
        if i % step == 0 and i // step < len(scan):
            mixed.append(STAMP.sub(STAMP.search(line)[0], scan[i // step], count=1))
    found = Pipeline().fit(Lines(first)).score(Lines(mixed)).find()
    scanner = scan[0].split()[0]
    about = [scanner in (f.session, *f.sources) for f in found]
    assert any(about[:3])
    assert about.count(False) <= 5
