"""Records and stack traces within lines of another format: containers, syslog, shippers."""

from __future__ import annotations

import json

import polars as pl
import pytest
from read_helpers import ALL, adds_up, read, stamps, write

from offbeat.read import open_logs, sniff

ORDER = '{"level":"warn","msg":"order 17 slow","trace_id":"b1946ac92492d2347c6235b4d2611184"}'
JOB = '{"level":"error","msg":"job 18 failed","trace_id":"c1946ac92492d2347c6235b4d2611184"}'
#: Lines around a record, and who wrote it as far as the line says.
HOLDERS = {
    "cri": ("2024-03-05T10:15:30.123456789Z stdout F {}", None),
    "kubectl --timestamps": ("2024-03-05T10:15:30.123456789Z {}", None),
    "syslog": ("Mar  5 10:15:30 web1 shop[4712]: {}", "shop"),
    "syslog-5424": ("<14>1 2024-03-05T10:15:30.123456Z web1 shop 4712 - - {}", "shop"),
    "compose": ("shop-1    | {}", "shop-1"),
    "kubectl --prefix": ("[pod/shop-0/api] {}", "shop-0"),
    "stern": ("shop-0 api {}", "shop-0"),
    "pm2": ("0|shop     | {}", "shop"),
    "level": ("2024-03-05 10:15:30,123 INFO {}", None),
}
TRACE = (
    "2024-03-05 10:15:30,123 ERROR [main] com.example.Shop - order 17 failed",
    "java.lang.OutOfMemoryError: Java heap space",
    "\tat com.example.Shop.main(Shop.java:17)",
    "2024-03-05 10:15:31,123 INFO [main] com.example.Shop - order 18 accepted",
)


def docker(text: str, time: str = "2024-03-05T10:15:30.123456789Z") -> str:
    """A line as Docker's json-file driver keeps it."""
    return json.dumps({"log": text + "\n", "stream": "stdout", "time": time})


@pytest.mark.parametrize("holder", HOLDERS)
def test_records_behind_a_header(tmp_path, holder):
    """A record behind a header has its own level, message and fields, and of the header what it lacks."""
    pattern, writer = HOLDERS[holder]
    path = write(tmp_path, "".join(pattern.replace("{}", record) + "\n" for record in (ORDER, JOB) * 3))
    logs = open_logs(path)
    frame = pl.concat(list(logs.batches(ALL, ["trace_id"])))
    assert frame["message"].to_list() == ["order 17 slow", "job 18 failed"] * 3
    assert frame["level"].to_list() == [13, 17] * 3
    assert frame["source"].to_list() == [writer] * 6
    assert frame["fields.trace_id"][0] == "b1946ac92492d2347c6235b4d2611184"
    assert (frame["timestamp"].null_count() == 0) == ("10:15:30" in pattern)
    assert adds_up(logs, frame)
    assert not logs.summary.unplaced


def test_records_own_time_counts(tmp_path):
    """A record that says when it was written is believed before the header."""
    line = '2024-03-05T10:15:31Z stdout F {"ts":"2024-03-05T10:15:30.5Z","msg":"order 17 accepted"}\n'
    _, frame = read(write(tmp_path, line * 3))
    assert stamps(frame)[0] == "2024-03-05T10:15:30.500000"


@pytest.mark.parametrize("key", ["log", "message", "MESSAGE", "textPayload"])
def test_records_in_a_value(tmp_path, key):
    """A record that a shipper keeps as the text of one of its own is taken out, with what stands beside it."""
    lines = [
        json.dumps({"@timestamp": "2024-03-05T10:15:30Z", key: text, "kubernetes": {"pod_name": "api-5f6d8b7c9-x2b4q"}})
        for text in (ORDER, JOB, "plain text")
    ]
    logs, frame = read(write(tmp_path, "\n".join(lines) + "\n"))
    assert frame["message"].to_list() == ["order 17 slow", "job 18 failed", "plain text"]
    assert frame["level"].to_list()[:2] == [13, 17]
    assert frame["source"].to_list() == ["api"] * 3
    assert adds_up(logs, frame)


def test_docker(tmp_path):
    """Docker's records hold those of the application, access logs, and text; each is read as what it is."""
    access = '192.0.2.7 - - [05/Mar/2024:10:15:30 +0000] "GET /x HTTP/1.1" 502 153 "-" "curl/8.0"'
    lines = [docker(ORDER), docker(access), docker("listening on port 80")]
    _, frame = read(write(tmp_path, "\n".join(lines * 2) + "\n"))
    assert frame["message"].to_list() == ["order 17 slow", "GET /x 502", "listening on port 80"] * 2
    assert frame["level"].to_list() == [13, 17, 0] * 2
    assert frame["timestamp"].null_count() == 0


@pytest.mark.parametrize("keep", [docker, "2024-03-05T10:15:30.123456789Z stderr F {}".format])
def test_stack_traces_of_containers(tmp_path, keep):
    """Lines of a stack trace belong to the event before, and keep no header of the runtime's."""
    logs, frame = read(write(tmp_path, "".join(keep(line) + "\n" for line in TRACE)))
    assert frame["message"].to_list() == ["\n".join(("order 17 failed", *TRACE[1:3])), "order 18 accepted"]
    assert frame["level"].to_list() == [17, 9]
    assert frame["line"].to_list() == [1, 4]
    assert adds_up(logs, frame)


def test_what_is_no_record_stays(tmp_path):
    """Braces that are no JSON, and pieces of a record, are text as before."""
    lines = ["2024-03-05T10:15:30.1Z stdout F {broken", '2024-03-05T10:15:31.1Z stdout F got {"a": 1} and {"b"}'] * 3
    _, frame = read(write(tmp_path, "\n".join(lines) + "\n"))
    assert frame["message"].to_list() == ["{broken", 'got {"a": 1} and {"b"}'] * 3


def test_lines_cut_from_blocks_are_the_same(tmp_path):
    """Every line is in one event, however many there are, and lines that are shown are those of the file."""
    at = "2024-03-05T10:15:30.123456789Z"
    line = f"{at} stdout F {ORDER}\n{at} stderr F \tat a.B.c(B.java:1)\n"
    logs, frame = read(write(tmp_path, line * 3000))
    assert frame.height == 3000
    assert adds_up(logs, frame)
    assert logs.text([(0, 5999, 1)])[0, 5999].text == line.splitlines()[0]


@pytest.mark.parametrize(
    "name",
    [
        f"containers/web-6d4cf56db6-abcde_shop_nginx-{'0a' * 32}.log",
        "pods/shop_web-6d4cf56db6-abcde_b1946ac9-2492-4f1b-8a8a-123456789abc/nginx/0.log",
    ],
)
def test_pods_by_their_file(tmp_path, name):
    """On a node the file's name says which pod wrote it; deployments are named without the pod's hashes."""
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("2024-03-05T10:15:30.123456789Z stdout F ready\n" * 3)
    assert read(path)[1]["source"].to_list() == ["web"] * 3


@pytest.mark.parametrize(
    "record",
    [
        '{"time_local":"05/Mar/2024:10:15:30 +0000","remote_addr":"::1","request":"GET /x HTTP/1.1","status":"502"}',
        '{"start_time":"2024-03-05T10:15:30.1Z","method":"GET","path":"/x","response_code":502,"duration":4}',
        '{"time":"2024-03-05T10:15:30Z","method":"GET","uri":"/x","status":502,"error":"","latency_human":"12.3µs"}',
        '{"msec":"1709633730.123","http":{"request":{"method":"GET"},"response":{"status_code":502}},"uri":"/x"}',
    ],
)
def test_requests_without_a_message(tmp_path, record):
    """JSON access logs say what others say: method, path and status, with the level of the status."""
    _, frame = read(write(tmp_path, f"{record}\n{record.replace('502', '200')}\n"))
    assert frame["message"].to_list() == ["GET /x 502", "GET /x 200"]
    assert frame["level"].to_list() == [17, 9]
    assert frame["timestamp"].null_count() == 0
    levels = read(write(tmp_path, f"{record}\n", "b.log"), ["level"])[1]
    assert levels["level"].to_list() == [17]


def test_empty_values_say_nothing(tmp_path):
    """A field that is there and empty, as an error's, is no error."""
    _, frame = read(write(tmp_path, '{"time":"2024-03-05T10:15:30Z","job":"backup","error":"","failed":""}\n' * 3))
    assert frame["message"][0] == "job=backup"
    assert frame["level"].to_list() == [0] * 3


def test_what_is_told(tmp_path):
    """Records within lines are told as the JSON they are, with their fields."""
    told = sniff(write(tmp_path, f"2024-03-05T10:15:30.123456789Z stdout F {ORDER}\n" * 3))
    assert told.layout == "json"
    assert told.fields["trace_id"] == "id"


def test_nesting_that_can_be_read_but_not_written(tmp_path):
    """A record within one that is nested beyond what can be written stays the text that it is."""
    deep = '{"message":"in","a":' + "[" * 300 + "]" * 300 + "}"
    records = [
        {"log": text + "\n", "stream": "stdout", "time": "2023-01-29T16:42:09Z"} for text in (deep, '{"msg":"b"}')
    ]
    logs, frame = read(write(tmp_path, "".join(json.dumps(record) + "\n" for record in records * 20)))
    assert frame["message"].to_list() == [deep, "b"] * 20
    assert adds_up(logs, frame)
