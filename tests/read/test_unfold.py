"""JSON with all its records on one line."""

from __future__ import annotations

import json

import pytest
from read_helpers import adds_up, read, write

from offbeat.read.blocks import MAX_LINES

RECORDS = [
    {"eventTime": f"2023-01-29T09:49:{i:02}Z", "eventSource": "s3.amazonaws.com", "message": f'got "{{[{i}" \\'}
    for i in range(50)
]


@pytest.mark.parametrize("name", [None, "Records", "logEvents"])
@pytest.mark.parametrize("spaced", [True, False])
def test_each_record_is_an_event(name, spaced, tmp_path):
    """An array of records, bare or under a name, gives an event a record, all on the line where they stand."""
    text = json.dumps(RECORDS if name is None else {name: RECORDS}, separators=None if spaced else (",", ":"))
    logs, frame = read(write(tmp_path, text + "\n" + text))
    assert logs.sniffed[0].layout == "json"
    assert frame["message"].to_list() == [record["message"] for record in RECORDS] * 2
    assert frame["line"].to_list() == [1] * 50 + [2] * 50
    assert frame["span"].to_list() == ([1] + [0] * 49) * 2
    assert frame["source"].unique().to_list() == ["s3.amazonaws.com"]
    assert frame["timestamp"].null_count() == 0
    assert adds_up(logs, frame)


def test_records_before_the_end_of_a_cut_line(tmp_path):
    """Of an array that is cut off, the whole records are events, and what is left is kept as text."""
    last = json.dumps(RECORDS[-1])
    logs, frame = read(write(tmp_path, json.dumps(RECORDS).removesuffix(last[20:] + "]")))
    assert frame["message"].to_list() == [*(record["message"] for record in RECORDS[:-1]), last[:20]]
    assert logs.summary.unplaced == {"broken JSON": 1}
    assert adds_up(logs, frame)


def test_other_lists_stay_what_they_are(tmp_path):
    """A list of values is no list of records, and a record that holds one stays one record."""
    texts = [
        '{"msg":"a","items":[{"x":1},{"x":2}]}',
        '{"msg":"b","items":[]}',
        "[1,2]",
        '{"items":[{"x":1}],"msg":"e"}',
        '[{"msg":"c"},{"msg":"d"}]',
    ]
    _, frame = read(write(tmp_path, "\n".join(texts) + "\n"), ["message", "line"])
    assert frame["message"].to_list() == ["a", "b", "[1,2]", "e", "c", "d"]
    assert frame["line"].to_list() == [1, 2, 3, 4, 5, 5]


def test_batches_are_bounded(tmp_path):
    """However many records a line holds, no frame has more rows than promised."""
    count = MAX_LINES + 10
    path = write(tmp_path, "[" + ",".join(['{"a":1}'] * count) + "]")
    logs, frame = read(path, ["line"])
    assert frame.height == count
    assert max(batch.height for batch in logs.batches(["line"])) <= MAX_LINES
