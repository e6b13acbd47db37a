"""Finding files, decompressing them, and one clear sentence for whatever is no log."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import threading
import zlib

import polars as pl
import pytest
import zstandard
from read_helpers import adds_up, read, write

from offbeat.errors import InputError, OptionError
from offbeat.read import Lines, open_logs, sniff

LINE = "2023-01-29 16:42:09 INFO org.example.Store - flushed {}\n"


def log(n, start=0):
    """N lines, numbered."""
    return "".join(LINE.format(i) for i in range(start, start + n)).encode()


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.ZstdCompressor().compress}


@pytest.mark.parametrize("codec", PACK)
def test_compressed_by_content(codec, tmp_path):
    """Compressed files are told by their bytes, whatever they are called, and several archives in one file go on."""
    path = write(tmp_path, PACK[codec](log(500)) + PACK[codec](log(500, 500)), "misnamed.log")
    logs, frame = read(path)
    assert frame["message"].to_list() == [f"flushed {i}" for i in range(1000)]
    assert logs.text([(0, 700, 1)])[0, 700].text == LINE.format(699).rstrip()
    assert adds_up(logs, frame)


@pytest.mark.parametrize("codec", PACK)
def test_truncated_archive(codec, tmp_path):
    """The good part of a cut archive is read, and the summary names file and byte."""
    packed = PACK[codec](os.urandom(0) + log(60_000))
    logs, frame = read(write(tmp_path, packed[: len(packed) * 3 // 4]))
    assert len(logs.summary.truncated) == 1
    assert "a.log" in logs.summary.truncated[0]
    assert "at byte" in logs.summary.truncated[0]
    assert adds_up(logs, frame)
    if frame.height:  # bzip2 and xz give nothing of a block that is not whole
        assert frame["message"].to_list() == [f"flushed {i}" for i in range(frame.height)]
    if codec == "gz":
        assert frame.height > 30_000


def test_damaged_archive(tmp_path):
    """An archive with a wrong byte in its middle gives what stands before it."""
    packed = bytearray(gzip.compress(log(60_000)))
    packed[len(packed) // 2] ^= 0xFF
    logs, frame = read(write(tmp_path, bytes(packed)))
    assert "is damaged" in logs.summary.truncated[0]
    assert frame.height > 1000
    assert adds_up(logs, frame)


@pytest.mark.parametrize("codec", PACK)
def test_archive_of_which_nothing_is_left(codec, tmp_path):
    """An archive damaged at its very beginning is called damaged, not empty."""
    with pytest.raises(InputError, match=r"at byte .*nothing of it can be read"):
        open_logs(write(tmp_path, PACK[codec](log(5))[: 10 if codec == "gz" else 30]))


def test_archive_in_an_archive(tmp_path):
    """What was compressed twice is no log until it is unpacked once."""
    with pytest.raises(InputError, match="holds a gzip archive"):
        open_logs(write(tmp_path, gzip.compress(gzip.compress(log(5)))))


def test_bomb_takes_little_memory(tmp_path):
    """A gigabyte of one letter in a megabyte of archive is one cut line, not a gigabyte of memory."""
    import resource

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"a" * (1 << 20)
    packed = log(3)
    bomb = (
        packer.compress(packed)
        + b"".join(packer.compress(zeros) for _ in range(300))
        + packer.compress(b"\n" + log(2, 3))
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    logs, frame = read(write(tmp_path, bomb + packer.flush()))
    assert frame["message"].to_list()[:3] == ["flushed 0", "flushed 1", "flushed 2"]
    assert frame["message"].to_list()[-2:] == ["flushed 3", "flushed 4"]
    assert frame["message"].str.len_bytes().max() <= 2 * 64 * 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
    assert logs.summary.repaired["endless lines cut"] == 1
    assert adds_up(logs, frame)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(100), "executable program"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG picture"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"PAR1" + bytes(100), "Parquet"),
        (b"ElfFile\x00" + bytes(100), "evtx_dump"),
        (bytes(range(256)) * 20, "is binary"),
        (b"x" * 257 + b"ustar" + bytes(200), "tar archive"),
        (b"", "is empty"),
        (b"\n\n  \n", "is empty"),
    ],
)
def test_no_log(content, says, tmp_path):
    """Each kind of file that is no log is refused in one sentence that says what it is and where."""
    path = write(tmp_path, content)
    for opened in (open_logs, sniff):
        with pytest.raises(InputError, match=says) as error:
            opened(path)
        assert str(path) in str(error.value)
        assert error.value.exit_code == 2


def test_missing_file_and_did_you_mean(tmp_path):
    """A missing file is named, with the one that was probably meant."""
    write(tmp_path, log(1), "server.log")
    with pytest.raises(InputError, match=r"there is no such file.*did you mean .*server\.log"):
        open_logs(tmp_path / "sever.log")
    with pytest.raises(InputError, match="no file matches"):
        open_logs(str(tmp_path / "*.txt"))
    with pytest.raises(InputError, match="nothing to read"):
        open_logs([])


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_no_permission(tmp_path):
    """A file that may not be read is named."""
    path = write(tmp_path, log(1))
    path.chmod(0)
    with pytest.raises(InputError, match="may not be read"):
        open_logs(path)


def test_no_permission_is_one_sentence(tmp_path, monkeypatch):
    """The same for everyone, by letting the operating system refuse."""
    path = write(tmp_path, log(1))

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(InputError, match="may not be read by this user"):
        open_logs(path)


def test_folder(tmp_path):
    """A folder means the logs in it; pictures, empty and hidden files are passed over, with a note where it matters."""
    (tmp_path / "sub").mkdir()
    write(tmp_path, log(2), "a.log")
    write(tmp_path / "sub", gzip.compress(log(3)), "b.log.gz")
    write(tmp_path, b"\x89PNG\r\n\x1a\n" + bytes(100), "c.png")
    write(tmp_path, b"", "d.log")
    write(tmp_path, log(1), ".hidden")
    logs, frame = read(tmp_path)
    assert [name.rpartition("/")[2] for name in logs.files] == ["a.log", "b.log.gz"]
    assert frame["file"].to_list() == [0, 0, 1, 1, 1]
    assert any("c.png" in note for note in logs.summary.notes)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="the folder holds no log"):
        open_logs(tmp_path / "none")


def test_rotated_set_oldest_first(tmp_path):
    """However a rotated set is named, it is read from the oldest to the newest, and nothing twice."""
    write(tmp_path, gzip.compress(log(1, 0)), "app.log.10.gz")
    write(tmp_path, gzip.compress(log(1, 1)), "app.log.2.gz")
    write(tmp_path, log(1, 2), "app.log.1")
    write(tmp_path, gzip.compress(log(1, 2)), "app.log.1.gz")  # the rotation was just compressing it
    write(tmp_path, log(1, 3), "app.log")
    want = [f"flushed {i}" for i in range(4)]
    for inputs in (
        [tmp_path],
        [str(tmp_path / "app.log*")],
        sorted(tmp_path.iterdir()),
        [tmp_path / "app.log", tmp_path],
    ):
        assert read(inputs)[1]["message"].to_list() == want


def test_dated_rotation(tmp_path):
    """Rotation by date sorts by date, the live file last."""
    for i, name in enumerate(("app-20230128.log", "app-20230129.log", "app.log")):
        write(tmp_path, log(1, i), name)
    for i, name in enumerate(("syslog-20230128.gz", "syslog-20230129", "syslog")):
        write(tmp_path, gzip.compress(log(1, i)), name)
    messages = read(tmp_path)[1]["message"].to_list()
    assert messages == ["flushed 0", "flushed 1", "flushed 2"] * 2


def test_order_of_other_files_is_the_users(tmp_path):
    """Files that are no rotated set are read as they were named."""
    paths = [write(tmp_path, log(1, i), name) for i, name in enumerate(("z.log", "a.log", "m.log"))]
    assert read(paths)[1]["message"].to_list() == ["flushed 0", "flushed 1", "flushed 2"]


def test_standard_input(tmp_path):
    """Standard input is read like a file, and as often as wanted."""
    logs = open_logs("-", stdin=io.BytesIO(gzip.compress(log(5))))
    assert logs.files == ("-",)
    assert read(logs)[1].equals(read(logs)[1])


def test_standard_input_that_finds_no_room(tmp_path, monkeypatch):
    """Where the temporary folder is full, the sentence names it and says what to do."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    class Endless(io.RawIOBase):
        def read(self, size=-1):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"No space left on device.*TMPDIR") as caught:
        open_logs("-", stdin=Endless())
    assert str(tmp_path) in str(caught.value)


def test_names_that_are_not_utf8(tmp_path):
    """A name is bytes on disk: one that is no text is read, and shown as text."""
    folder = tmp_path / "logs"
    folder.mkdir()
    with open(os.fsencode(folder) + b"/odd\xff.log", "wb") as out:  # noqa: PTH123 - Path takes no bytes
        out.write(log(2))
    for given in (folder, folder / os.fsdecode(b"odd\xff.log"), str(folder / "odd*")):
        logs, frame = read(open_logs(given))
        assert frame.height == 2
        assert logs.files[0].encode().endswith(b"odd?.log")


def test_the_home_of_nobody(tmp_path):
    """A name that begins like somebody's home, of whom nobody knows, is a missing file like others."""
    with pytest.raises(InputError, match="there is no such file"):
        open_logs("~nobody-of-this-name/app.log")


def test_lines_of_python():
    """Lines can be handed in as a list; each item is one line, whatever it holds."""
    logs, frame = read(open_logs(Lines(["2023-01-29 16:42:09 INFO a", "2023-01-29 16:42:10 WARN b\nc", "x\0y\ud800"])))
    assert frame["level"].to_list()[:2] == [9, 13]
    assert logs.summary.lines == 3
    assert logs.text([(0, 1, 1)])[0, 1].text == "2023-01-29 16:42:09 INFO a"


def test_file_that_grows_or_vanishes(tmp_path):
    """A second pass gives what the first gave, though the file has grown; one that is gone is named."""
    path = write(tmp_path, log(10))
    logs, first = read(path)
    with path.open("ab") as file:
        file.write(log(10, 10))
    assert read(logs)[1].equals(first)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        read(logs)


def test_file_that_shrinks(tmp_path):
    """A file cut short between two passes gives what is left."""
    path = write(tmp_path, log(10))
    logs, _ = read(path)
    path.write_bytes(log(4))
    assert read(logs)[1].height == 4


def test_text_of_events(tmp_path):
    """The original text is found by file and line, with its offset in the decompressed stream."""
    data = (
        log(100_000)
        + b"2023-01-29 16:42:09 ERROR org.example.Store - broken\njava.lang.Error: x\n\tat a.b(C.java:1)\n"
        + log(2)
    )
    for name, content in (("a.log", data), ("b.log.gz", gzip.compress(data, 1))):
        logs, frame = read(write(tmp_path, content, name), ["file", "line", "span"])
        assert frame.height == 100_003
        found = logs.text([(0, 1, 1), (0, 100_001, 3), (0, 60_000, 1), (0, 100_005, 1), (0, 9_999_999, 1)])
        assert sorted(line for _, line in found) == [1, 60_000, 100_001, 100_005]
        for (_, line), text in found.items():
            assert data[text.offset :].startswith(text.text.encode()), line
        assert found[0, 100_001].text.count("\n") == 2


def test_text_before_any_pass(tmp_path):
    """Text can be asked for without reading the events first."""
    path = write(tmp_path, log(10))
    assert open_logs(path).text([(0, 3, 1)])[0, 3].text == LINE.format(2).rstrip()


def test_utf16(tmp_path):
    """UTF-16 with a byte order mark reads like UTF-8, and offsets are in the file's own bytes."""
    text = "2023-01-29 16:42:09 INFO größer\r\n2023-01-29 16:42:10 WARN – zwei\r\n"
    for encoding in ("utf-16", "utf-16-le", "utf-8-sig", "utf-16-be"):
        data = text.encode(encoding)
        logs, frame = read(write(tmp_path, data))
        assert frame["message"].to_list() == ["größer", "– zwei"], encoding
        second = logs.text([(0, 2, 1)])[0, 2]
        width = "utf-8" if encoding == "utf-8-sig" else "utf-16-be" if encoding == "utf-16-be" else "utf-16-le"
        assert data[second.offset :].decode(width).startswith("2023-01-29 16:42:10"), encoding


def test_unknown_column(tmp_path):
    """A column that does not exist is refused by name."""
    with pytest.raises(OptionError, match="no column 'colour'"):
        open_logs(write(tmp_path, log(1))).batches(["colour"])


def test_then_runs_on_every_frame_in_order(tmp_path):
    """The caller's step sees every frame once, and results come in order; its errors come through."""
    logs = open_logs(write(tmp_path, log(150_000)))
    sizes = list(logs.batches(["message"], then=lambda frame: frame.tail(1)))
    assert len(sizes) > 1
    assert pl.concat(sizes)["message"].to_list()[-1] == "flushed 149999"

    def fail(_frame):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        list(logs.batches(["message"], then=fail))


def test_stopping_early_is_clean(tmp_path):
    """Whoever stops after the first frame leaves nothing running."""
    import threading

    batches = open_logs(write(tmp_path, log(150_000))).batches(["message"])
    next(batches)
    batches.close()
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("offbeat-read") and thread.is_alive()
    ]


def test_batches_are_bounded(tmp_path):
    """Very short lines come in frames of at most 262,144 rows."""
    logs = open_logs(write(tmp_path, b"a\n" * 700_000))
    heights = [frame.height for frame in logs.batches(["line"])]
    assert sum(heights) == 700_000
    assert max(heights) <= 262_144


def test_a_named_pipe_is_read_as_standard_input_is(tmp_path):
    """What a shell puts in place of ``<(zcat old.gz)`` can be read but once: it is kept for the second pass."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"one\ntwo\n",))
    writer.start()
    logs, frame = read(pipe)
    writer.join()
    assert frame["message"].to_list() == ["one", "two"]
    assert read(logs)[1]["message"].to_list() == ["one", "two"]


def test_a_device_is_no_log():
    """A device that never ends is refused in a sentence."""
    with pytest.raises(InputError, match="is a device"):
        open_logs("/dev/zero")


def test_a_link_that_leads_nowhere(tmp_path):
    """It is refused without proposing itself."""
    (tmp_path / "app.log").symlink_to("nowhere")
    with pytest.raises(InputError) as caught:
        open_logs(tmp_path / "app.log")
    assert "did you mean" not in str(caught.value)


def test_lines_that_end_in_a_carriage_return_alone(tmp_path):
    """They are lines as any, with their numbers and offsets."""
    path = write(
        tmp_path, b"2024-03-05 10:15:30 INFO one\r2024-03-05 10:15:31 INFO two\r2024-03-05 10:15:32 WARN three"
    )
    logs, frame = read(path)
    assert frame["message"].to_list() == ["one", "two", "three"]
    assert frame["line"].to_list() == [1, 2, 3]
    text = logs.text([(0, 2, 1)])[0, 2]
    assert (text.offset, text.text) == (29, "2024-03-05 10:15:31 INFO two")
