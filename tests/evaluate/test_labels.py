"""Label files of several shapes are read, and units get the labels of their keys or lines."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.errors import InputError, OffbeatError
from offbeat.evaluate import Labels, read_labels

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def written(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    """A label file with the given text."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def units(*spans: tuple[int, int, int]) -> pl.DataFrame:
    """Units as (file, first line, last line)."""
    return pl.DataFrame(
        spans, schema={"file": pl.UInt16, "first_line": pl.UInt32, "last_line": pl.UInt32}, orient="row"
    )


@pytest.mark.parametrize(
    "text",
    [
        "key,label\na,Normal\nb,Anomaly\n",
        "BlockId,Label\na,0\nb,1\n",
        "\ufeffSession ID,Is_Anomaly,more\na,False,x\nb,True,y\n",
        "more,label,unit\nx,-,a\ny,APPREAD,b\n",
        "id,label\r\na,no\r\nb,yes\r\n",
        'KEY,LABEL\n"a",""\n"b"," anomaly "\n',
        "key,label,line\na,0,7\nb,1,8\n",
        "key,label\na,0\nb,0\nb,1\n",
    ],
)
def test_keys(tmp_path: Path, text: str) -> None:
    """Header names, words for normal, quotes, line ends, order and further columns may vary."""
    labels = read_labels(written(tmp_path, text))
    assert labels.by_line is None
    assert dict(labels.by_key.iter_rows()) == {"a": False, "b": True}
    assert (labels.rows, labels.anomalies, labels.one_class) == (2, 1, False)


@pytest.mark.parametrize("word", ["0", "-", "normal", "Normal", "NORMAL", "false", "no", "", " 0 ", "0.0"])
def test_words_for_normal(tmp_path: Path, word: str) -> None:
    """These words mean normal; one-class files are allowed and say so."""
    labels = read_labels(written(tmp_path, f"key,label\na,{word}\nb,{word}\n"))
    assert (labels.anomalies, labels.one_class) == (0, True)


def test_lines(tmp_path: Path) -> None:
    """Lines are read with and without the file they are in."""
    labels = read_labels(written(tmp_path, "LineId,Label\n3,-\n4,FATAL\n"))
    assert labels.by_line.rows() == [(None, 3, False), (None, 4, True)]
    labels = read_labels(written(tmp_path, "file,line,label,kind\na.log,3,1,slow\nb.log,3,0,\n"))
    assert labels.by_line.rows() == [("a.log", 3, True), ("b.log", 3, False)]


def test_compressed(tmp_path: Path) -> None:
    """A gzip file reads like a plain one, whatever its name."""
    packed = gzip.compress(b"key,label\na,1\n")
    for name in ("labels.csv.gz", "labels"):
        assert read_labels(written(tmp_path, packed, name)).anomalies == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("key,label\n", "no rows"),
        ("a,b,c\n1,2,3\n", "header is not understood: a, b, c"),
        ("blk_1,Normal\nblk_2,Anomaly\n", "header is not understood"),
        ("key\na\n", "header is not understood"),
        ("line,label\nseven,1\n", "labels.csv:2: 'seven' is not a line number"),
        ("line,label\n1,0\n0,1\n", "labels.csv:3: '0' is not a line number"),
        (gzip.compress(b"key,label\n" + bytes(range(256)) * 99, mtime=0)[:60], "labels.csv"),
        (bytes(range(256)) * 20, "labels.csv"),
    ],
)
def test_bad_files(tmp_path: Path, text: str | bytes, says: str) -> None:
    """Each way in which a file is no label file gives one sentence with the place."""
    with pytest.raises(InputError) as caught:
        read_labels(written(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    """A file that is not there, and a folder, are named."""
    with pytest.raises(InputError, match="no such label file"):
        read_labels(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_labels(tmp_path)


def test_name_with_wildcards(tmp_path: Path) -> None:
    """A file's name is taken as it is, not as a pattern."""
    assert read_labels(written(tmp_path, "key,label\na,1\n", "l[1]*.csv")).rows == 1


def test_units_by_key(tmp_path: Path) -> None:
    """Units get their keys' labels; unknown and unlabelled ones are counted and taken as normal."""
    labels = read_labels(written(tmp_path, "key,label\na,1\nb,0\nx,1\ny,0\n"))
    found = labels.of_units(pl.DataFrame({"key": ["c", "b", "a", "a"]}))
    assert found.anomaly.to_list() == [False, False, True, True]
    assert (found.unknown, found.unlabelled) == (2, 1)


def test_units_by_line(tmp_path: Path) -> None:
    """A window is anomalous if one of its lines is, ends included; lines in no window are counted."""
    labels = read_labels(written(tmp_path, "line,label\n1,0\n10,1\n20,1\n21,0\n35,1\n"))
    found = labels.of_units(units((0, 1, 9), (0, 10, 11), (0, 12, 20), (0, 21, 22), (0, 23, 30)))
    assert found.anomaly.to_list() == [False, True, True, False, False]
    assert (found.unknown, found.unlabelled) == (1, 1)


def test_units_by_events(tmp_path: Path) -> None:
    """Sessions whose lines interleave are labelled by their own lines only, spans of several lines included."""
    labels = read_labels(written(tmp_path, "line,label\n2,1\n6,1\n"))
    events = pl.DataFrame(
        {"unit": [0, 1, 0, 2, 1], "file": [0] * 5, "line": [1, 2, 3, 4, 8], "span": [1, 1, 1, 4, 1]},
        schema_overrides={"unit": pl.UInt32, "file": pl.UInt16, "line": pl.UInt32, "span": pl.UInt16},
    )
    assert labels.of_units(units(*[(0, 1, 9)] * 3), ["a.log"], events).anomaly.to_list() == [False, True, True]
    without = labels.of_units(units(*[(0, 1, 9)] * 3), ["a.log"], events.drop("span"))
    assert without.anomaly.to_list() == [False, True, False]
    assert without.unknown == 1


def test_several_inputs(tmp_path: Path) -> None:
    """With several inputs the file tells lines apart: by its path, or by the end of it that fits one input only."""
    inputs = ["/logs/a/app.log", "/logs/b/app.log", "/logs/web.log"]
    labels = read_labels(
        written(tmp_path, "file,line,label\n/logs/a/app.log,1,1\nb/app.log,2,1\n/old/web.log,3,1\napp.log,4,1\n")
    )
    found = labels.of_units(units((0, 1, 4), (1, 1, 1), (1, 2, 4), (2, 3, 3), (2, 4, 4)), inputs)
    assert found.anomaly.to_list() == [True, False, True, True, False]
    assert found.unknown == 1  # app.log could be either


def test_lines_without_file_among_several_inputs(tmp_path: Path) -> None:
    """Line numbers alone do not do for two inputs, and names that fit no input are an error."""
    labels = read_labels(written(tmp_path, "line,label\n1,1\n"))
    with pytest.raises(InputError, match="which of the 2 inputs"):
        labels.of_units(units((0, 1, 1)), ["a.log", "b.log"])
    labels = read_labels(written(tmp_path, "file,line,label\nz.log,1,1\n"))
    with pytest.raises(InputError, match=r"no input is named 'z\.log'"):
        labels.of_units(units((0, 1, 1)), ["a.log"])


def test_units_over_several_files_need_events(tmp_path: Path) -> None:
    """A window that begins in one file and ends in another cannot be labelled by its first and last line."""
    labels = read_labels(written(tmp_path, "line,label\n1,1\n"))
    with pytest.raises(OffbeatError, match="spans several files"):
        labels.of_units(units((0, 90, 3)))


@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30), st.integers(1, 3)), max_size=30),
)
def test_lines_against_a_plain_loop(rows: list[tuple[int, bool]], events: list[tuple[int, int, int]]) -> None:
    """Any labels and events give what looking up every line of every event gives."""
    table: dict[int, bool] = {}
    for line, bad in rows:
        table[line] = table.get(line, False) or bad
    frame = pl.DataFrame({"line": list(table), "anomaly": list(table.values())}).with_columns(
        file=pl.lit(None, pl.String)
    )
    held = pl.DataFrame(events, schema={"unit": pl.UInt32, "line": pl.UInt32, "span": pl.UInt16}, orient="row")
    found = Labels(Path("x"), None, frame).of_units(
        units(*[(0, 1, 1)] * 5), ["a"], held.with_columns(file=pl.lit(0, pl.UInt16))
    )
    lines = [{n for unit, line, span in events if unit == u for n in range(line, line + span)} for u in range(5)]
    assert found.anomaly.to_list() == [any(table.get(line, False) for line in own) for own in lines]
    assert found.unlabelled == sum(not own & set(table) for own in lines)
    assert found.unknown == len(set(table) - set().union(*lines))


def test_a_million_lines_quickly(tmp_path: Path) -> None:
    """Large label files are read and matched without a loop over lines."""
    size = 300_000
    label = np.arange(size) % 1000 == 7
    text = "\n".join(["line,label", *(f"{i + 1},{int(bad)}" for i, bad in enumerate(label))])
    labels = read_labels(written(tmp_path, text))
    windows = units(*[(0, first + 1, first + 100) for first in range(0, size, 100)])
    assert labels.of_units(windows).anomaly.sum() == label.sum()


@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not here")
def test_labels_of_a_public_set() -> None:
    """The block labels of the HDFS sample are read: 11,501 blocks, 350 of them anomalous."""
    labels = read_labels(DATA / "hdfs" / "anomaly_label.csv.gz")
    assert (labels.rows, labels.anomalies) == (11_501, 350)
