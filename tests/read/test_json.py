# ruff: noqa: E501 - log lines are as long as they are
"""JSON logs of many kinds, and other formats of named values."""

from __future__ import annotations

import gzip

import orjson
import polars as pl
import pytest
from read_helpers import DATA, adds_up, needs_data, read, stamps, write

from offbeat.read import open_logs
from offbeat.read.json_columns import keys_of
from offbeat.read.records import flatten, synthesise


def lines(*records):
    """Records as JSON lines."""
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


# record, time, level, source, message
RECORDS = [
    (
        {"time": "2023-01-29T16:42:09Z", "level": "WARN", "service": "orders", "message": "late"},
        "2023-01-29T16:42:09.000000", 13, "orders", "late",
    ),
    (  # Elastic common schema, nested and with dots in the key
        {"@timestamp": "2023-01-29T16:42:09.123Z", "log": {"level": "error"}, "service": {"name": "pay"}, "message": "no"},
        "2023-01-29T16:42:09.123000", 17, "pay", "no",
    ),
    (
        {"@timestamp": "2023-01-29T16:42:09.123Z", "log.level": "error", "service.name": "pay", "message": "no"},
        "2023-01-29T16:42:09.123000", 17, "pay", "no",
    ),
    (  # pino and bunyan
        {"level": 40, "time": 1675010529123, "pid": 7, "hostname": "web-1", "msg": "slow"},
        "2023-01-29T16:42:09.123000", 13, "web-1", "slow",
    ),
    (  # MongoDB
        {"t": {"$date": "2023-01-29T16:42:09.123+00:00"}, "s": "W", "c": "NETWORK", "id": 22, "ctx": "l", "msg": "closed"},
        "2023-01-29T16:42:09.123000", 13, "NETWORK", "closed",
    ),
    (  # journald
        {"__REALTIME_TIMESTAMP": "1675010529123456", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "sshd", "MESSAGE": "bad"},
        "2023-01-29T16:42:09.123456", 17, "sshd", "bad",
    ),
    (  # journald, where a message is not clean text
        {"__REALTIME_TIMESTAMP": "1675010529123456", "PRIORITY": "6", "_COMM": "x", "MESSAGE": [104, 105, 255]},
        "2023-01-29T16:42:09.123456", 9, "x", "hi�",
    ),
    (  # OpenTelemetry
        {"timeUnixNano": "1675010529123456789", "severityNumber": 18, "severityText": "", "body": {"stringValue": "b"}},
        "2023-01-29T16:42:09.123456", 18, None, "b",
    ),
    (  # Google Cloud
        {"timestamp": "2023-01-29T16:42:09Z", "severity": "CRITICAL", "textPayload": "gone", "logName": "x"},
        "2023-01-29T16:42:09.000000", 18, None, "gone",
    ),
    (  # Serilog
        {"@t": "2023-01-29T16:42:09.1230000Z", "@mt": "order {Id}", "@l": "Fatal"},
        "2023-01-29T16:42:09.123000", 21, None, "order {Id}",
    ),
    (  # GELF
        {"version": "1.1", "host": "h", "short_message": "m", "timestamp": 1675010529.5, "level": 4},
        "2023-01-29T16:42:09.500000", 13, "h", "m",
    ),
    (  # Python's json-logging
        {"asctime": "2023-01-29 16:42:09,123", "levelname": "ERROR", "name": "app.db", "message": "x"},
        "2023-01-29T16:42:09.123000", 17, "app.db", "x",
    ),
    (  # no message: the fields are the message
        {"ts": 1675010529.0, "_path": "conn", "id.orig_h": "10.0.0.1", "note": "two words", "n": {"a": 1}},
        "2023-01-29T16:42:09.000000", 0, "conn", 'id.orig_h=10.0.0.1 note="two words" n.a=1',
    ),
    (  # a pod without its hashes, and the header inside the log
        {
            "time": "2023-01-29T09:49:07.701292067Z", "pod": "ts-travel2-service-5c66d57d58-6mp2b", "container": "server",
            "log": "17:49:07.701 INFO  t.s.TravelServiceImpl#366 TraceID: 3a2c SpanID: b015 [getTickets][none]",
        },
        "2023-01-29T09:49:07.701292", 9, "ts-travel2-service", "[getTickets][none]",
    ),
    (  # Docker
        {"log": "2023-01-29 16:42:09,486 ERROR org.example.Db - gone\n", "stream": "stderr", "time": "2023-01-29T16:42:10Z"},
        "2023-01-29T16:42:10.000000", 17, "org.example.Db", "gone",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", RECORDS, ids=lambda case: "-".join(list(case[0])[:3]))
def test_usual_names(case, tmp_path):
    """Time, level, source and message are found under the names that the common loggers give them."""
    record, *want = case
    logs, frame = read(write(tmp_path, lines(record, record)))
    assert logs.sniffed[0].layout == "json"
    assert [stamps(frame)[0], *frame.select("level", "source", "message").row(0)] == want
    assert orjson.loads(frame["fields"][0]) == flatten(record)
    assert adds_up(logs, frame)


@pytest.mark.parametrize("case", RECORDS, ids=lambda case: "-".join(list(case[0])[:3]))
def test_columns_alone_are_the_same(case, tmp_path):
    """The quick reader for few columns gives what the general one gives."""
    path = write(tmp_path, lines(case[0]) * 3)
    _, whole = read(path)
    for column in ("timestamp", "level", "source", "message"):
        assert read(path, [column])[1].equals(whole.select(column)), column


def test_mixed_records(tmp_path):
    """Records with other keys than most, broken ones and text among them are each read for what they are."""
    usual = {"time": "2023-01-29T16:42:09Z", "message": "usual", "service": "a"}
    odd = [
        b'{"time":"2023-01-29T16:42:10Z","msg":"other","severity":"error","app":"b"}\n',
        b'{"time":"2023-01-29T16:42:11Z","message":"cut of\n',
        b"2023-01-29 16:42:12 WARN plain text among them\n",
        b'{"time":1675010533,"message":7,"service":{"name":"nested"}}\n',
        b'  {"time":"2023-01-29T16:42:14Z","message":"indented"}\n',
        b"[1,2]\n",
        b"\n",
    ]
    path = write(tmp_path, lines(usual) * 20 + b"".join(odd) + lines(usual))
    logs, frame = read(path)
    quick = read(path, ["timestamp", "level", "source", "message"])[1]
    assert quick.equals(frame.select("timestamp", "level", "source", "message"))
    assert frame["message"][20:].to_list() == [
        "other", '{"time":"2023-01-29T16:42:11Z","message":"cut of', "plain text among them", "7", "indented", "[1,2]", "usual",
    ]  # fmt: skip
    assert frame["level"][20:23].to_list() == [17, 0, 13]
    assert frame["source"][23] == "nested"
    assert dict(logs.summary.unplaced) == {"broken JSON": 1, "no known format": 1}
    assert adds_up(logs, frame)


def test_keys_are_only_fixed_where_all_agree():
    """The quick reader is only used where every record of the sample has the same plain keys."""
    record = {"time": "t", "message": "m", "service": "s"}
    assert keys_of([record, record]) == {"time": "time", "message": "message", "source": "service"}
    assert keys_of([record, {"time": "t", "msg": "m"}]) is None
    assert keys_of([{**record, "time": 5}]) is None


def test_single_fields(tmp_path):
    """Fields can be asked for one by one, nested ones by their path."""
    record = {"message": "m", "id": 7, "trace": {"id": "abc"}, "ok": True, "list": [1, "a"]}
    logs = open_logs(write(tmp_path, lines(record)))
    names = ["id", "trace.id", "ok", "list", "absent"]
    frame = pl.concat(logs.batches(["message"], names))
    assert frame.columns == ["message", *(f"fields.{name}" for name in names)]
    assert frame.row(0) == ("m", "7", "abc", "true", '[1,"a"]', None)


def test_field_kinds(tmp_path):
    """Sniffing says which fields are numbers, categories, identities or text."""
    records = [
        {"message": f"m {i}", "ms": i, "kind": "ab"[i % 2], "trace_id": f"{i:032x}", "note": f"word {i}"}
        for i in range(40)
    ]
    fields = open_logs(write(tmp_path, lines(*records))).sniffed[0].fields
    assert {name: fields[name] for name in ("ms", "kind", "trace_id", "note")} == {
        "ms": "number", "kind": "category", "trace_id": "id", "note": "text",
    }  # fmt: skip


def test_docker_pieces_are_joined(tmp_path):
    """Docker splits long lines; the pieces are one event."""
    pieces = [
        {"log": text, "stream": "stdout", "time": f"2023-01-29T16:42:0{i}Z"}
        for i, text in enumerate(("a", "b", "c\n", "d\n"))
    ]
    logs, frame = read(write(tmp_path, lines(*pieces)))
    assert frame["message"].to_list() == ["abc", "d"]
    assert frame["line"].to_list() == [1, 4]
    assert frame["span"].to_list() == [3, 1]
    assert adds_up(logs, frame)


def test_cri_pieces_and_inner_headers(tmp_path):
    """Kubernetes' partial lines are joined, and the application's own header is read."""
    text = (
        "2023-01-29T16:42:09.1Z stdout F 2023-01-29 16:42:09,100 WARN org.example.Store - slow\n"
        "2023-01-29T16:42:09.2Z stdout P 2023-01-29 16:42:09,200 INFO org.example.Store - first \n"
        "2023-01-29T16:42:09.3Z stdout F second\n"
        "2023-01-29T16:42:09.4Z stdout F 2023-01-29 16:42:09,400 INFO org.example.Store - third\n"
    )
    logs, frame = read(write(tmp_path, text))
    assert frame["message"].to_list() == ["slow", "first second", "third"]
    assert frame["level"].to_list() == [13, 9, 9]
    assert frame["source"].to_list() == ["org.example.Store"] * 3
    assert frame["span"].to_list() == [1, 2, 1]
    assert adds_up(logs, frame)


WINDOWS = {
    "Event": {
        "#attributes": {"xmlns": "x"},
        "System": {
            "Provider": {"#attributes": {"Name": "Microsoft-Windows-Sysmon"}},
            "EventID": 11,
            "Level": 4,
            "TimeCreated": {"#attributes": {"SystemTime": "2025-10-24T23:34:34.640670Z"}},
            "EventRecordID": 14961,
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "Computer": "dc.example",
        },
        "EventData": {"RuleName": "-", "Image": "C:\\AnyDesk.exe"},
    }
}


@pytest.mark.parametrize("style", ["lines", "pretty", "array"])
def test_windows_events(style, tmp_path):
    """Windows events as JSON lines, as documents one after another, or as one array, by the names that Sigma uses."""
    if style == "lines":
        text = lines(WINDOWS, WINDOWS)
    elif style == "pretty":
        text = (
            orjson.dumps(WINDOWS, option=orjson.OPT_INDENT_2)
            + b"\n"
            + orjson.dumps(WINDOWS, option=orjson.OPT_INDENT_2)
        )
    else:
        text = orjson.dumps([WINDOWS, WINDOWS], option=orjson.OPT_INDENT_2)
    logs, frame = read(write(tmp_path, text))
    assert frame.height == 2
    assert stamps(frame) == ["2025-10-24T23:34:34.640670"] * 2
    assert frame.select("level", "source").row(0) == (9, "Microsoft-Windows-Sysmon")
    fields = orjson.loads(frame["fields"][0])
    assert fields["EventID"] == 11
    assert fields["Image"] == "C:\\AnyDesk.exe"
    assert "EventID=11" in frame["message"][0]
    assert adds_up(logs, frame)


def test_pretty_documents_over_many_blocks(tmp_path):
    """Documents are not torn where the input is cut into blocks."""
    document = orjson.dumps({"message": "m", "pad": "x" * 500, "n": [1, 2]}, option=orjson.OPT_INDENT_2) + b"\n"
    logs, frame = read(write(tmp_path, document * 3000))
    assert frame.height == 3000
    assert frame["span"].unique().to_list() == [document.count(b"\n")]
    assert adds_up(logs, frame)


def test_csv(tmp_path):
    """A table under a header: quoted values may hold separators and newlines."""
    text = 'time,level,service,message\n2023-01-29T16:42:09Z,INFO,a,"one, two"\n2023-01-29T16:42:10Z,ERROR,b,"three\nfour"\n'
    logs, frame = read(write(tmp_path, text))
    assert logs.sniffed[0].layout == "csv"
    assert frame["message"].to_list() == ["one, two", "three\nfour"]
    assert frame["level"].to_list() == [9, 17]
    assert frame["line"].to_list() == [2, 3]
    assert frame["span"].to_list() == [1, 2]
    assert adds_up(logs, frame)


def test_a_stray_quote_costs_its_line(tmp_path):
    """A quote that nobody closes keeps no other row from being read, nor does one that closes too late."""
    rows = [f"2023-01-29T16:42:{second:02},INFO,row {second}" for second in range(10)]
    rows[2] += '"'
    rows[6] = '2023-01-29T16:42:06,INFO,"row 6'
    logs, frame = read(write(tmp_path, "time,level,message\n" + "\n".join(rows) + "\n"))
    read_well = frame.filter(pl.col("timestamp").is_not_null())
    assert read_well["message"].to_list() == [f"row {second}" + '"' * (second == 2) for second in range(10)]
    assert adds_up(logs, frame)


def test_w3c(tmp_path):
    """W3C extended tables name their columns in a comment."""
    text = (
        "#Software: IIS\n#Fields: date time cs-method cs-uri-stem sc-status\n"
        "2023-01-29 16:42:09 GET /a 200\n2023-01-29 16:42:10 GET /b 500\n"
    )
    logs, frame = read(write(tmp_path, text))
    assert stamps(frame) == ["2023-01-29T16:42:09.000000", "2023-01-29T16:42:10.000000"]
    assert frame["message"].to_list() == ["GET /a 200", "GET /b 500"]
    assert frame["level"].to_list() == [9, 17]
    assert adds_up(logs, frame)


def test_journal_export(tmp_path):
    """Journald's export format: one event an entry, its blank lines counted."""
    text = (
        "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1675010529123456\nPRIORITY=4\nSYSLOG_IDENTIFIER=app\nMESSAGE=hello\n\n"
        "__CURSOR=s=2\n__REALTIME_TIMESTAMP=1675010530123456\nPRIORITY=6\nMESSAGE=bye\n\n"
    )
    logs, frame = read(write(tmp_path, text))
    assert logs.sniffed[0].layout == "journal-export"
    assert frame.select("level", "source", "message").rows() == [(13, "app", "hello"), (9, None, "bye")]
    assert stamps(frame)[0] == "2023-01-29T16:42:09.123456"
    assert frame["span"].to_list() == [5, 4]
    assert adds_up(logs, frame)


def test_many_columns_and_deep_nesting(tmp_path):
    """A record of a hundred thousand keys and one nested ten thousand deep are events like others."""
    wide = {"message": "wide", **{f"k{i}": i for i in range(100_000)}}
    deep = b'{"message":"deep","a":' + b"[" * 10_000 + b"]" * 10_000 + b"}\n"
    logs, frame = read(write(tmp_path, lines({"message": "m"}, wide) + deep + lines({"message": "n"})))
    assert frame.height == 4
    assert frame["message"][1] == "wide"
    assert len(orjson.loads(frame["fields"][1])) <= 512
    assert frame["message"][3] == "n"
    assert adds_up(logs, frame)


def test_nesting_that_can_be_read_but_not_written(tmp_path):
    """Between the depths that JSON is read and written at, 1,024 and 254, nothing is lost but what lies that deep."""
    deep = b"[" * 300 + b"]" * 300
    inner = b'{"message":"in","a":' + deep + b"}"
    logs, frame = read(write(tmp_path, lines({"message": "m"}) + inner + b'\n{"message":' + deep + b',"b":1}\n'))
    assert frame["message"].to_list() == ["m", "in", "..."]
    assert orjson.loads(frame["fields"][1]) == {"message": "in", "a": "..."}
    assert adds_up(logs, frame)
    array = b'[{"message":"first"},' + inner + b"]\n"
    assert read(write(tmp_path, array, "b.json"))[1]["message"].to_list() == ["first", "in"]


def test_synthesised_message_is_stable():
    """Keys keep the record's order; time, level and source are left out."""
    assert synthesise({"b": 2, "time": "x", "a": {"c": None, "d": "e f"}, "level": "INFO"}) == 'b=2 a.d="e f"'


ODD = [
    '{"time":"2023-01-29T16:42:09Z","level":"INFO","message":"text","service":"a"}',
    '{"time":1675010529.5,"level":30,"message":1.0,"service":7}',
    '{"time":"1675010529","level":"30","message":"1e5","service":"true"}',
    '{"time":null,"level":"","message":"no level","service":null}',
    '{"message":{"a":1.0},"msg":"nested","time":"2023-01-29T16:42:09Z","level":["x"],"service":"b"}',
    '{"message":[104,105],"time":"2023-01-29T16:42:09Z","level":"INFO","service":"b"}',
    r'{"time":"2023-01-29T16:42:09Z","level":"INFO","message":"half \ud83d","service":"c"}',
    r'{"time":"2023-01-29T16:42:09Z","level":"INFO","message":"a \ud83d\ude00 \\ud83d","service":"c"}',
    r'{"time":"2023-01-29T16:42:09Z","level":"INFO","message":"other","service":"\ude00"}',
    '{"time":"2023-01-29T16:42:09Z","level":"INFO","message":"cut o',
    "not a record",
]


@pytest.mark.parametrize("odd", [None, *range(1, len(ODD))])
def test_a_record_is_read_by_itself(odd, tmp_path):
    """The quick and the general way give the same, whatever stands beside a record, and however many columns."""
    head = [ODD[0]] * 400  # what is found out about the file goes by these
    texts = head + (ODD if odd is None else [ODD[odd], ODD[0]])
    path = write(tmp_path, "\n".join(texts) + "\n")
    columns = ["timestamp", "level", "source", "message"]
    _, quick = read(path, columns)
    _, general = read(path, [*columns, "fields"])
    assert quick.equals(general.drop("fields"))
    if odd is None:
        assert "half \ufffd" in quick["message"].to_list()
        assert "a 😀 \\ud83d" in quick["message"].to_list()


@pytest.mark.parametrize("key", ["level", r"lev\u0065l", r"severity\u005ftext", "log.level"])
def test_a_level_where_the_file_shows_none(key, tmp_path):
    """One record among many that names its level is heard, be the name written with escaped letters."""
    plain = '{"time":"2023-01-29T16:42:09Z","message":"text","service":"a"}'
    odd = plain.replace('"service"', f'"{key}":"ERROR","service"')
    _, frame = read(write(tmp_path, "\n".join([plain] * 400 + [odd]) + "\n"), ["timestamp", "level", "message"])
    assert frame["level"].to_list() == [0] * 400 + [17]


@needs_data
def test_windows_events_of_the_rule_collection():
    """Every exported event of the Sigma collection is read, with its time and number."""
    for path in sorted((DATA / "sigma" / "regression").glob("*/event.json")):
        logs, frame = read(path)
        documents = path.read_text(encoding="utf-8-sig").count('"EventRecordID"')
        assert frame.height == documents, path.parent.name
        assert frame["timestamp"].null_count() == 0, path.parent.name
        assert all("EventID" in orjson.loads(fields) for fields in frame["fields"]), path.parent.name
        assert adds_up(logs, frame)


@needs_data
def test_trainticket_both_ways(tmp_path):
    """The quick reader and the general one agree on real container logs; sources are services."""
    with gzip.open(DATA / "trainticket" / "trainticket_2023-01-30_morning.jsonl.gz") as file:
        path = write(tmp_path, b"".join(file.readlines()[:3000]))
    columns = ["timestamp", "level", "source", "message"]
    quick, general = read(path, columns)[1], read(path, [*columns, "fields"])[1]
    assert quick.equals(general.drop("fields"))
    assert quick["timestamp"].null_count() == 0
    assert "ts-travel2-service" in quick["source"]
    assert not quick["message"].str.contains("TraceID").any()
