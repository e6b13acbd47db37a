"""Whatever the bytes: reading never raises, and no line is lost."""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from read_helpers import ALL, adds_up

from offbeat.errors import InputError
from offbeat.read import Lines, open_logs
from offbeat.read import parse as parsing
from offbeat.read.blocks import Block, blocks
from offbeat.read.cuts import EventCut
from offbeat.read.files import Source
from offbeat.read.formats import TEXT
from offbeat.read.layout import Context, Want
from offbeat.read.layouts import LAYOUTS
from offbeat.read.sniff import make_plan
from offbeat.read.streams import Stream, Utf8

EXAMPLES = [layout.example for layout in TEXT.values()] + [
    '{"time":"2023-01-29T09:49:07Z","level":"INFO","message":"m","service":"s"}',
    '{"log":"piece","stream":"stdout","time":"2023-01-29T09:49:07Z"}',
    '{"log":"end\\n","stream":"stdout","time":"2023-01-29T09:49:07Z"}',
    '{"a": {"b": [1, {"c": null}]}}',
    '{"Event": {"System": {"EventID": 1}}}',
    "{",
    "}",
    '  "key": 1,',
    "[",
    '<e time="2023-01-29T16:42:09Z"><message>m</message></e>',
    '<log><e level="INFO"><message>m',
    "</message></e></log>",
    "Start-Date: 2023-01-29  16:42:09",
    "Commandline: apt upgrade",
    "End-Date: 2023-01-29  16:42:10",
    '<![LOG[one]LOG]!><time="16:42:09.486-60" date="01-29-2023" component="c" type="1">',
    "<![LOG[two",
    '2]LOG]!><time="16:42:09.486+300" date="01-29-2023" component="c" type="3">',
    "__CURSOR=s=1",
    "MESSAGE=hello",
    "time=2023-01-29T16:42:09Z level=info msg=x",
    "time,level,message",
    '2023-01-29T16:42:09Z,INFO,"one',
    "2023-01-29T16:42:09Z stdout P piece",
    "2023-01-29T16:42:09Z stdout F end",
    "\tat org.example.Store.write(Store.java:17)",
    "Caused by: java.lang.Error",
    "",
    "   ",
    "#Fields: date time x",
]
LINE = st.one_of(
    st.sampled_from(EXAMPLES).map(str.encode),
    st.sampled_from(EXAMPLES).flatmap(
        lambda text: st.tuples(st.integers(0, len(text)), st.binary(max_size=6)).map(
            lambda cut: text.encode()[: cut[0]] + cut[1]
        )
    ),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")),
    st.binary(max_size=30),
)
CONTENT = st.tuples(st.lists(LINE, max_size=25), st.sampled_from([b"\n", b"\r\n"])).map(lambda c: c[1].join(c[0]))
SEARCHING = not settings().derandomize
QUICK = settings(
    max_examples=settings().max_examples if SEARCHING else 25, suppress_health_check=[HealthCheck.too_slow]
)


def run(content, **options):
    """Everything of a file with this content; None where it is refused as no log."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.log"
        path.write_bytes(content)
        try:
            logs = open_logs(path, **options)
        except InputError:
            return None
        frames = list(logs.batches(ALL))
        return logs, pl.concat(frames) if frames else pl.DataFrame(schema={"span": pl.UInt32})


@QUICK
@given(CONTENT)
def test_no_line_is_lost(content):
    """Spans and skipped lines add up to the physical lines; lines come in order and do not overlap."""
    if (result := run(content)) is None:
        return
    logs, frame = result
    assert adds_up(logs, frame)
    if frame.height:
        ends = frame["line"] + frame["span"]
        assert (ends.shift(1).drop_nulls() <= frame["line"][1:]).all()
        assert ends[-1] <= logs.summary.lines + 1
        assert logs.summary.events == frame.height


@QUICK
@given(CONTENT, st.sampled_from([*LAYOUTS, "plain", "<time> <level> <x>: <message>"]))
def test_no_line_is_lost_in_a_named_format(content, name):
    """The same when the user names a format that may not fit at all."""
    if (result := run(content, format=name)) is not None:
        assert adds_up(*result)


@QUICK
@given(CONTENT)
def test_truncated_archives_never_raise(content):
    """An archive cut anywhere gives what is good of it."""
    packed = gzip.compress(content * 5)
    result = run(packed[: max(12, len(packed) - 9)])
    if result is not None:
        assert adds_up(*result)


@QUICK
@given(CONTENT, st.sampled_from([{"dedupe": True}, {"mask_key": b"k"}, {"tz": "Asia/Tokyo"}]))
def test_options_never_raise(content, options):
    """No option makes reading fail on odd content."""
    if (result := run(content, **options)) is not None:
        assert adds_up(*result)


@QUICK
@given(st.lists(LINE.map(lambda line: line.decode("utf-8", "replace")), min_size=1, max_size=20))
def test_each_column_alone_is_the_same(texts):
    """Asking for one column gives what asking for all gives."""
    try:
        logs = open_logs(Lines(texts))
    except InputError:
        return
    frames = list(logs.batches(ALL))
    if not frames:
        return
    whole = pl.concat(frames)
    for column in ALL:
        alone = pl.concat(logs.batches([column]))
        assert alone.equals(whole.select(column)), column


def in_pieces(content, plan, size):
    """Blocks of about this size, from a stream that gives as little at once and cannot be searched."""
    stream = Stream(Source("x", data=content))
    stream.length = None
    text = Utf8(stream)
    whole = text.read() + text.read()
    pieces = iter([whole[at : at + size] for at in range(0, len(whole), size)])
    text.read = lambda: next(pieces, b"")
    with mock.patch("offbeat.read.blocks._FIRST", size):
        yield from blocks(text, 0, EventCut(plan), size)


@QUICK
@given(CONTENT, st.integers(20, 400))
def test_blocks_are_the_input(content, size):
    """Blocks of any size put together are the input, and their line numbers and offsets are right."""
    try:
        plan = make_plan(Source("x", data=content))
    except InputError:
        return
    if plan is None or plan.sniffed.encoding != "utf-8":
        return
    done = b""
    for block in in_pieces(content, plan, size):
        assert content[block.offset :].startswith(block.data)
        assert block.line == 1 + done.count(b"\n")
        done += block.data
    assert done == content.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_layouts_take_anything(layout):
    """Each layout takes no lines at all, and any line of any other, without failing."""
    want = Want(frozenset({"timestamp", "level", "source", "message", "fields"}), ("pid", "a.b"))
    for lines in (pl.Series([], dtype=pl.String), pl.Series([line.encode().decode() for line in EXAMPLES])):
        frame = layout.parse(lines, want, Context(columns=(",", "time", "level", "message")))
        assert frame.height == len(lines)
        assert dict(frame.drop("placed", "mark", strict=False).schema) == want.schema()
        assert len(layout.fits(lines)) == len(lines) or lines.is_empty()


def test_block_of_orphans():
    """A block that begins with continuation lines, as after an event without end, loses none of them."""
    plan = make_plan(Source("x", data=(TEXT["hdfs"].example + "\n").encode() * 3))
    assert plan is not None
    data = b"\tat a\n\tat b\n" + TEXT["hdfs"].example.encode() + b"\n"
    parsed = parsing.parse_block(Block(0, 10, 0, data, 3), plan, Want(frozenset({"message"})))
    assert parsed.frame["line"].to_list() == [10, 12]
    assert parsed.frame["span"].to_list() == [2, 1]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_nothing_else_holds_a_blocks_bytes(tmp_path, packed):
    """Once taken, they are gone with their taker: what is read from them is as large, and lives longer."""
    data = (TEXT["hdfs"].example + "\n").encode() * 20_000
    path = tmp_path / "x.log"
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    plan = make_plan(Source(str(path), path=path))
    assert plan is not None
    done = 0
    stream = Stream(Source(str(path), path=path))
    for block in blocks(Utf8(stream), 0, EventCut(plan), 1 << 20):
        taken = block.take()
        done += len(taken)
        if done < len(data):
            assert sys.getrefcount(taken) == 2  # ours, and that of the question
        assert block.data == b""
    stream.close()
    assert done == len(data)


# Lines of formats that write a record over several, in any order.
SEVERAL = [
    [b"{", b"}", b'  "key": 1,', b'  "n": {', b"  },", b'  "message": "m"', b"[", b"]", b'{"one":1}', b"\tat x.y(Z)"],
    [b"[", b"]", b"  {", b"  }", b"  },", b'    "message": "x",', b"    {", b"    }", b"{", b"}"],
    [b"__CURSOR=s=1", b"MESSAGE=hello", b"PRIORITY=3", b"", b"", b"__REALTIME_TIMESTAMP=1", b"COREDUMP", b"no name"],
    [
        b"time,level,message",
        b"x,INFO,one",
        b'x,INFO,"one',
        b"two, three",
        b'end"',
        b'x,INFO,"a ""b"" c"',
        b"  odd",
        b'x"',
    ],
    [
        b"2023-01-29T16:42:09Z stdout P one",
        b"2023-01-29T16:42:09Z stderr F 16:42:09 WARN two",
        b"\tat x",
        b"",
        b"three",
    ],
    [b'{"log":"a","stream":"b","time":"c"}', b'{"log":"a\\n","stream":"b","time":"c"}', b"x", b"\tat y", b'{"log":"}'],
    [
        b'{"msg":"a","level":"b"}',
        b'{"msg":1.0,"level":30}',
        b'{"msg":{"a":1},"time":1e9}',
        b'{"msg":',
        b'{"text":"\\ud800"}',
    ],
]
CLUTTER = st.one_of(
    st.lists(LINE, min_size=1, max_size=25),
    st.sampled_from(SEVERAL).flatmap(
        lambda lines: st.lists(st.one_of(*[st.sampled_from(lines)] * 9, LINE), max_size=40).map(
            lambda rest: [lines[0], *rest]
        )
    ),
).map(b"\n".join)
# A header whose expression names the end of the line, and a line behind it that belongs to the event.
ENDING = (
    TEXT["kafka"].example + "\n#Fields: date time x\n" + TEXT["android"].example + "\n" + TEXT["proxifier"].example
).encode()
# A piece of a message among lines of another format, whose next line goes on with it.
PIECE = (TEXT["bgl"].example + "\n" + "2023-01-29T16:42:09Z stdout P piece").encode()


@QUICK
@given(CLUTTER, st.integers(1, 20), st.integers(300, 9000))
@example(ENDING, 30, 3000)
@example(PIECE, 30, 3000)
def test_result_does_not_depend_on_the_cut(content, times, size):
    """Blocks of any size give the events that one block gives."""
    content = (content + b"\n") * times
    source = Source("x", data=content)
    try:
        plan = make_plan(source)
    except InputError:
        return
    if plan is None:
        return
    want = Want(frozenset({"timestamp", "level", "source", "message"}))

    def events(size):
        cuts = in_pieces(content, plan, size)
        frames = [parsing.parse_block(block, plan, want).frame for block in cuts]
        return pl.concat(frames) if frames else None

    whole, parts = events(1 << 30), events(size)
    if whole is None or parts is None:
        assert whole is parts
        return
    assert parts.equals(whole)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("layout", TEXT.values(), ids=lambda layout: layout.name)
def test_every_format_is_cut_before_an_event(layout, end):
    """A block ends before the last event's header, so that the lines that follow the header stay with it."""
    line = layout.example.encode() + end
    data = line + line + b"\tgoes on" + end
    plan = make_plan(Source("x", data=data * 3), layout)
    assert plan is not None
    assert EventCut(plan)(data) == len(line)
