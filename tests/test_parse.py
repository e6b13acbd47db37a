"""parse: the golden cases, and what cannot be said as text: Parquet, models, damage, and how much is computed."""

import gzip
import io
import json
import os
import stat
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
from cli_cases import cases, check, offbeat  # noqa: F401 - a fixture
from hypothesis import given
from hypothesis import strategies as st

from offbeat import table
from offbeat.errors import OptionError
from offbeat.mine import Miner
from offbeat.mine.parts import VARIABLE
from offbeat.pipeline import Pipeline
from offbeat.read import Logs

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
KEY = r"order-\d+"


def rows(out: str) -> list[dict]:
    """The objects of JSON lines."""
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("case", cases("parse"))
def test_golden(case, offbeat, tmp_path):  # noqa: F811 - the fixture
    """The command says exactly what the case says."""
    check(case, offbeat, tmp_path)


def test_parquet_holds_what_json_says(offbeat, shop_file, tmp_path):  # noqa: F811 - a fixture
    """Both outputs have the same rows, column by column."""
    said = offbeat(f"parse shop.log --json --session-by {KEY}")
    assert offbeat(f"parse shop.log --parquet out.parquet --session-by {KEY}").out == ""
    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert tuple(frame.columns) == table.COLUMNS
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    for row, line in zip(frame.iter_rows(named=True), rows(said.out), strict=True):
        time = row["timestamp"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert row | {"timestamp": time, "fields": json.loads(row["fields"] or "{}")} == line


def test_rows_do_not_depend_on_the_size_of_parts(shop_file, tmp_path, monkeypatch):
    """Cut into parts of any size, the table is the same."""
    table.open_table(shop_file, session_by=KEY).write_parquet(tmp_path / "one.parquet")
    monkeypatch.setattr(table, "_BYTES", 1)
    monkeypatch.setattr(table, "_ROWS", 7)
    head = table.open_table(shop_file, session_by=KEY).head(5)
    table.open_table([shop_file, shop_file], session_by=KEY).write_parquet(tmp_path / "many.parquet")
    one = pl.read_parquet(tmp_path / "one.parquet")
    assert one.equals(pl.read_parquet(tmp_path / "many.parquet"))
    assert one.head(5).equals(head)


@pytest.mark.parametrize(
    ("columns", "read"),
    [
        (["timestamp", "level"], {"file", "timestamp", "level"}),
        (["fields", "file"], {"file", "fields"}),
        (["template_id"], {"file", "message"}),
        (["line", "session"], {"file", "line", "message"}),
        (["values"], {"file", "message"}),
    ],
)
def test_only_what_is_asked_for_is_read(columns, read, shop_file, tmp_path, monkeypatch):
    """The reader is asked for the columns that the output needs, and nothing else."""
    asked = []
    batches = Logs.batches
    monkeypatch.setattr(Logs, "batches", lambda self, *a, **k: asked.append(set(a[0])) or batches(self, *a, **k))
    key = KEY if "session" in columns else None
    table.open_table(shop_file, columns=columns, session_by=key).write_parquet(tmp_path / "out.parquet")
    assert asked == [read]
    assert pl.read_parquet(tmp_path / "out.parquet").columns == columns


def test_without_templates_nothing_is_mined(shop_file, tmp_path, monkeypatch):
    """Masking, the dearest step, does not run where no template is asked for."""
    monkeypatch.setattr(Miner, "shapes", None)
    wanted = table.open_table(shop_file, columns=["timestamp", "session"], session_by=KEY)
    assert wanted.write_parquet(tmp_path / "out.parquet") > 200


def test_a_failure_leaves_the_old_file_and_nothing_else(shop_file, tmp_path, monkeypatch):
    """The Parquet file is replaced in one step, and only when all is written."""
    out = tmp_path / "out" / "out.parquet"
    table.open_table(shop_file).write_parquet(out)
    before = out.read_bytes()

    def fail(self, frame):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table.Table, "_finish", fail)
    with pytest.raises(OptionError, match="No space left"):
        table.open_table(shop_file).write_parquet(out)
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_a_truncated_archive_gives_its_good_part(offbeat, shop, tmp_path):  # noqa: F811 - a fixture
    """Results of what can be read, then one sentence, and exit code 2."""
    packed = gzip.compress("".join(f"{line}\n" for line in shop * 40).encode())
    (tmp_path / "app.log.gz").write_bytes(packed[: len(packed) // 2])
    said = offbeat("parse app.log.gz --json --columns line")
    assert said.code == 2
    found = [row["line"] for row in rows(said.out)]
    assert found == list(range(1, len(found) + 1))
    assert len(found) > 100
    assert "app.log.gz is cut off at byte" in said.err.splitlines()[-1]


def test_standard_input(offbeat, shop, monkeypatch):  # noqa: F811 - a fixture
    """A log that is piped in is called ``-``."""
    pipe = io.TextIOWrapper(io.BytesIO("\n".join(shop).encode()))
    monkeypatch.setattr(sys, "stdin", pipe)
    found = rows(offbeat("parse - --json").out)
    assert {row["file"] for row in found} == {"-"}
    assert len(found) == len(shop)


def test_a_model_names_the_templates(offbeat, shop_file, tmp_path):  # noqa: F811 - a fixture
    """With a model, ids and texts are the model's, options are remembered, and a contradiction is an error."""
    pipeline = Pipeline(session_by=KEY, detectors=("presence",)).fit(str(shop_file))
    pipeline.save(tmp_path / "model")
    (tmp_path / "new.log").write_text("2026-03-02 08:00:00,100 INFO charged card for order-7: 9 cents\n")
    said = offbeat("parse new.log -m model --json")
    (row,) = rows(said.out)
    assert row["template"] == "charged card for <*>: <*> cents"
    assert row["template_id"] in pipeline.catalog.ids
    assert row["session"] == ["order-7"]
    clash = offbeat("parse new.log -m model --json --session-by nothing")
    assert clash.code == 2
    assert "contradicts the model" in clash.err


WORDS = st.text(st.sampled_from("ab1 .:=/[]\"'<>*\\\n\té"), max_size=40)


@given(st.lists(WORDS, min_size=1, max_size=12))
def test_values_are_what_stands_between_the_template(messages):
    """Put back into their template, the values give the message, but for runs of white space."""
    texts = pl.Series(messages, dtype=pl.String)
    miner = Miner()
    codes = miner.encode(Miner.shapes(texts))
    catalog = miner.learn()
    templates = catalog.frame["template"].gather(miner.templates(codes))
    found = table.variable_parts(texts, templates)
    assert len(found) == len(messages)
    for message, template, values in zip(messages, templates, found.to_list(), strict=True):
        pieces = VARIABLE.split(template)[::2]
        assert len(values) in (0, len(pieces) - 1)
        if values:
            whole = "".join(a + b for a, b in zip(pieces, [*values, ""], strict=True))
            assert whole.split() == message.lstrip("\n").split("\n")[0].split()


def test_values_of_long_and_of_several_lines():
    """Templates speak of the first line within a limit, and so do the values."""
    texts = pl.Series(["\nflush took 20 ms\n\tat Store.java:7", "flush took 3 ms", "sent 7 " + "bytes and " * 500])
    miner = Miner()
    codes = miner.encode(Miner.shapes(texts))
    templates = miner.learn().frame["template"].gather(miner.templates(codes))
    assert [values[0] for values in table.variable_parts(texts, templates)] == ["20", "3", "7"]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=1, max_size=8))
def test_json_is_json_whatever_the_log_says(tmp_path_factory, lines):
    """Each line of output is one object, and no message is changed by the encoding."""
    path = tmp_path_factory.mktemp("log") / "app.log"
    path.write_text("\n".join(["2023-01-29 16:42:09 INFO first", *lines]), encoding="utf-8", newline="\n")
    out = io.BytesIO()
    opened = table.open_table(path, format="plain", columns=["message", "fields", "line"])
    count = opened.write_json(out)
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(found) == count == opened.logs.summary.events
    direct = pl.concat(list(opened.logs.batches(["message", "line"])))
    assert [row["message"] for row in found] == direct["message"].to_list()


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("log", ["loghub_2k/OpenSSH/OpenSSH_2k.log", "web/apache_access.log.gz"])
def test_every_line_of_a_real_log_comes_back_once(log):
    """Real lines come back in order, each with a template that its message fits."""
    out = io.BytesIO()
    table.open_table(DATA / log).write_json(out)
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    numbers = [row["line"] for row in found]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= 2000
    fits = [len(row["values"]) == len(VARIABLE.split(row["template"])[1::2]) for row in found]
    assert sum(fits) >= 0.999 * len(fits)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of POSIX")
def test_parquet_goes_where_a_link_leads_and_into_a_pipe(tmp_path):
    """A link stays one, what it leads to is replaced and keeps its mode; a new file's is the umask's; a pipe is fed."""
    (tmp_path / "a.log").write_text("".join(f"2024-01-01 00:00:{i:02d} INFO x: made {i}\n" for i in range(20)))
    kept, link, pipe, made = (tmp_path / name for name in ("kept.parquet", "link.parquet", "pipe", "new.parquet"))
    kept.write_bytes(b"old")
    kept.chmod(0o640)
    link.symlink_to(kept)
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    before = os.umask(0o027)
    try:
        for path in (link, pipe, made):
            assert table.open_table(tmp_path / "a.log").write_parquet(path) == 20
    finally:
        os.umask(before)
    reader.join(60)
    assert link.is_symlink()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (kept, made)] == [0o640, 0o640]
    assert read == [kept.read_bytes()] == [made.read_bytes()]
    assert pipe.is_fifo()
    assert pl.read_parquet(kept).height == 20
