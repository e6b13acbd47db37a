"""A model as a folder: every byte is checked, nothing in it runs, and it is written in one step."""

import os
import shutil
import threading
from pathlib import Path

import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from offbeat import bundle
from offbeat.errors import ModelError, OptionError

VALUES = {"name": "a model", "list": [1, 2.5, None, True], "nested": {"ä": "“ö”"}}
FRAMES = {
    "table": pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]}),
    "lists": pl.DataFrame({"l": [[1], [], [2, 3]]}),
}
OTHERS = {"network.onnx": bytes(range(256)), "findings.jsonl": b'{"a":1}\n'}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model as written."""
    bundle.write(tmp_path / "model", VALUES, FRAMES, OTHERS)
    return tmp_path / "model"


def rewrite(model: Path, change) -> None:
    """Change model.json as an attacker would: with a hash that fits."""
    body = orjson.loads((model / "model.json").read_bytes())
    body.pop("hash")
    change(body)
    body["hash"] = bundle._hash(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))
    (model / "model.json").write_bytes(orjson.dumps(body))


def test_what_was_written_is_read(model):
    """Values, tables and further files come back, with the folder's hash."""
    values, frames, others, digest = bundle.read(model)
    assert values == VALUES
    assert others == OTHERS
    assert set(frames) == set(FRAMES)
    for name, frame in frames.items():
        assert_frame_equal(frame, FRAMES[name])
    assert digest


def test_a_model_holds_plain_files_only(model):
    """JSON, Parquet and what was handed in; nothing hidden and nothing executable."""
    assert {p.name for p in model.iterdir()} == {"model.json", "table.parquet", "lists.parquet", *OTHERS}
    assert not any(p.stat().st_mode & 0o111 for p in model.iterdir())
    assert [p.name for p in model.parent.iterdir()] == ["model"]


def test_the_same_contents_have_the_same_bytes(model, tmp_path):
    """Written twice, every file is byte-identical, so that models can be compared."""
    bundle.write(tmp_path / "again", VALUES, FRAMES, OTHERS)
    for file in model.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


@pytest.mark.parametrize("name", ["model.json", "table.parquet", "lists.parquet", "network.onnx", "findings.jsonl"])
@pytest.mark.parametrize("where", [0.0, 0.5, 0.99])
def test_a_changed_byte_is_noticed(model, name, where):
    """Whichever byte of whichever file is changed, the model is refused and the file named."""
    data = bytearray((model / name).read_bytes())
    data[int(where * (len(data) - 1))] ^= 1
    (model / name).write_bytes(data)
    with pytest.raises(ModelError) as caught:
        bundle.read(model)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["model.json", "table.parquet", "network.onnx"])
def test_a_missing_file_is_noticed(model, name):
    """A file that has gone is named."""
    (model / name).unlink()
    with pytest.raises(ModelError, match=name):
        bundle.read(model)


@pytest.mark.parametrize("name", ["model.json", "network.onnx"])
def test_a_file_cut_short_is_noticed(model, name):
    """So is one that lost its end."""
    data = (model / name).read_bytes()
    (model / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=name):
        bundle.read(model)


@pytest.mark.parametrize("version", [0, 2, 99, "1", None])
def test_another_version_is_refused(model, version):
    """The sentence says both versions and what to do."""
    rewrite(model, lambda body: body.update(version=version))
    with pytest.raises(ModelError, match="version") as caught:
        bundle.read(model)
    assert f"version {bundle.VERSION}" in str(caught.value)
    assert "learn it again" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "17", '"x"', '{"hash": "a"}', '{"hash": "a", "what": "offbeat model"}', "\0\0"]
)
def test_another_model_json_is_refused(model, text):
    """Whatever else model.json holds, one of offbeat's errors is raised."""
    (model / "model.json").write_text(text)
    with pytest.raises(ModelError, match=r"model\.json"):
        bundle.read(model)


@pytest.mark.parametrize("files", [None, [], {"a.parquet": None}, 5])
def test_a_list_of_files_that_is_none_is_refused(model, files):
    """Even under a hash that fits, a broken list of files is no crash."""
    rewrite(model, lambda body: body.update(files=files))
    with pytest.raises(ModelError):
        bundle.read(model)


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/hostname", "sub/network.onnx", "..", ".", "", "a\0b", "./x"])
def test_names_that_leave_the_folder_are_refused(model, name):
    """A crafted model cannot make offbeat read a file outside its folder."""
    (model.parent / "secret.txt").write_bytes(b"secret")
    (model / "secret.txt").write_bytes(b"secret")
    rewrite(model, lambda body: body["files"].update({name: bundle._hash(b"secret")}))
    with pytest.raises(ModelError):
        bundle.read(model)


def test_a_file_that_is_no_table_is_refused(model):
    """A damaged Parquet file under a hash that fits is refused like any other damage."""
    (model / "table.parquet").write_bytes(b"not parquet")
    rewrite(model, lambda body: body["files"].update({"table.parquet": bundle._hash(b"not parquet")}))
    with pytest.raises(ModelError, match=r"table\.parquet"):
        bundle.read(model)


def test_what_is_not_there_is_said(tmp_path):
    """An absent path, an empty folder and a file are refused, with what would write one."""
    with pytest.raises(ModelError, match="offbeat fit FILES -o"):
        bundle.read(tmp_path / "absent")
    with pytest.raises(ModelError, match=r"model\.json"):
        bundle.read(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="file"):
        bundle.read(tmp_path / "file")


def test_a_run_is_no_model(tmp_path):
    """What a folder holds is checked, both ways."""
    bundle.write(tmp_path / "run", {}, {}, {}, what=bundle.RUN)
    with pytest.raises(ModelError, match="an offbeat model is asked for"):
        bundle.read(tmp_path / "run")
    assert bundle.read(tmp_path / "run", what=bundle.RUN)[0] == {}


def test_a_model_is_replaced_whole(model):
    """Writing over a model leaves nothing of the old one."""
    bundle.write(model, {"new": 1}, {}, {})
    assert bundle.read(model)[0] == {"new": 1}
    assert [p.name for p in model.iterdir()] == ["model.json"]
    assert [p.name for p in model.parent.iterdir()] == ["model"]


def test_an_empty_folder_is_filled(tmp_path):
    """An empty folder may have been made for it; missing parents are made."""
    (tmp_path / "model").mkdir()
    bundle.write(tmp_path / "model", VALUES, {}, {})
    bundle.write(tmp_path / "a" / "b" / "model", VALUES, {}, {})
    assert bundle.read(tmp_path / "a" / "b" / "model")[0] == VALUES


@pytest.mark.parametrize("text", [None, "{}", '{"what": "someone\'s model"}', "not json"])
def test_a_foreign_folder_is_refused(tmp_path, text):
    """A folder that offbeat did not write is left exactly as it was."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "precious.txt").write_text("keep")
    if text is not None:
        (folder / "model.json").write_text(text)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(OptionError, match="not written by offbeat"):
        bundle.write(folder, VALUES, FRAMES, OTHERS)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    """Where a file is, no folder is written."""
    (tmp_path / "model").write_text("a file")
    with pytest.raises(OptionError, match="is a file"):
        bundle.write(tmp_path / "model", VALUES, {}, {})
    assert (tmp_path / "model").read_text() == "a file"


def test_a_parent_that_is_a_file_is_said(tmp_path):
    """A place that cannot be is one clear error."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="cannot be written"):
        bundle.write(tmp_path / "file" / "model", VALUES, {}, {})


@pytest.mark.parametrize("step", ["write_parquet", "write_bytes", "replace"])
def test_a_failure_midway_leaves_the_old_model(model, monkeypatch, step):
    """Whichever step fails, what was there before is whole, and nothing half-written is beside it."""
    before = {p.name: p.read_bytes() for p in model.iterdir()}
    calls = []

    def fails(self, *args, **kwargs):
        if step == "replace" and len(calls) == 0:  # the old model moves aside; the new one then cannot take its place
            calls.append(1)
            return original(self, *args, **kwargs)
        if step == "replace" and len(calls) > 1:
            return original(self, *args, **kwargs)
        calls.append(1)
        raise OSError(28, "No space left on device")

    owner = pl.DataFrame if step == "write_parquet" else Path
    original = getattr(owner, step)
    monkeypatch.setattr(owner, step, fails)
    with pytest.raises(ModelError, match="No space left"):
        bundle.write(model, {"new": 1}, FRAMES, OTHERS)
    monkeypatch.undo()
    assert calls
    assert {p.name: p.read_bytes() for p in model.iterdir()} == before
    assert [p.name for p in model.parent.iterdir()] == ["model"]


def test_a_model_can_be_moved(model, tmp_path):
    """A model holds no path: a copy elsewhere reads the same."""
    shutil.copytree(model, tmp_path / "copy")
    assert bundle.read(tmp_path / "copy")[3] == bundle.read(model)[3]


def test_a_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    """A single output file keeps its mode when replaced, and its old contents when writing fails."""
    out = tmp_path / "sub" / "out.bin"
    bundle.replace_file(out, b"one")
    out.chmod(0o600)
    bundle.replace_file(out, b"two")
    assert out.read_bytes() == b"two"
    assert out.stat().st_mode & 0o777 == 0o600

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OptionError, match="No space left"):
        bundle.replace_file(out, b"three")
    assert out.read_bytes() == b"two"
    assert [p.name for p in out.parent.iterdir()] == ["out.bin"]


def test_a_file_has_the_mode_that_the_user_asks_for(tmp_path):
    """Who keeps new files to himself by umask does so with reports and scores, too."""
    before = os.umask(0o077)
    try:
        bundle.replace_file(tmp_path / "own", b"x")
        os.umask(0o022)
        bundle.replace_file(tmp_path / "common", b"x")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("own", "common")] == [0o600, 0o644]


def test_a_link_stays_a_link(tmp_path, model):
    """What a link leads to is replaced, be it a file or a model, or made where it is not there yet."""
    for name in ("there", "new"):
        (tmp_path / f"{name}.link").symlink_to(f"{name}.bin")
    (tmp_path / "there.bin").write_bytes(b"one")
    for name in ("there", "new"):
        bundle.replace_file(tmp_path / f"{name}.link", b"two")
        assert (tmp_path / f"{name}.link").is_symlink()
        assert (tmp_path / f"{name}.bin").read_bytes() == b"two"
    (tmp_path / "current").symlink_to("model")
    model.chmod(0o700)
    bundle.write(tmp_path / "current", {"other": 1}, {}, {})
    assert (tmp_path / "current").is_symlink()
    assert bundle.read(model)[0] == {"other": 1}
    assert model.stat().st_mode & 0o777 == 0o700


def test_a_pipe_is_written_to(tmp_path):
    """What is no file, as the null device is none, is written to and not replaced by one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    read: list[bytes] = []
    reader.start()
    bundle.replace_file(pipe, b"page")
    reader.join()
    assert read == [b"page"]
    assert pipe.is_fifo()


def test_a_crafted_model_is_refused_in_a_sentence(model):
    """Values nested beyond measure, a pipe and a device in a file's place end nothing but the reading of the model."""
    text = (model / "model.json").read_bytes()
    (model / "model.json").write_bytes(text.replace(b'"values":', b'"deep":' + b"[" * 300 + b"]" * 300 + b',"values":'))
    with pytest.raises(ModelError, match="was changed"):
        bundle.read(model)
    (model / "model.json").write_bytes(text)
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (model / "network.onnx").unlink()
        make(model / "network.onnx")
        with pytest.raises(ModelError, match="missing"):
            bundle.read(model)
