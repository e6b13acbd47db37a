"""A trained model as a folder: model.json, Parquet and ONNX. Nothing in it is executable, every byte is checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from offbeat.errors import ModelError, OptionError

#: Raised whenever an older program could not read what this one writes.
VERSION: Final = 1
_MAIN: Final = "model.json"
_WHAT: Final = "offbeat model"


def write(
    path: str | Path, values: Mapping[str, Any], frames: Mapping[str, pl.DataFrame], onnx: Mapping[str, bytes]
) -> None:
    """Write a model folder in one step: either the whole of it is there afterwards, or what was there before.

    Args:
        path: the folder; one that exists is replaced if offbeat wrote it.
        values: plain values for model.json.
        frames: tables by name, written as ``NAME.parquet``.
        onnx: networks by name, written as ``NAME.onnx``.

    Raises:
        OptionError: the path is a file, or a folder that offbeat did not write.
        ModelError: the folder cannot be written.
    """
    path = Path(path)
    refuse_foreign(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            new = Path(folder) / "new"
            new.mkdir()
            hashes = {}
            for name, frame in frames.items():
                frame.write_parquet(new / f"{name}.parquet", compression="zstd")
            for name, data in onnx.items():
                (new / f"{name}.onnx").write_bytes(data)
            for file in sorted(new.iterdir()):
                hashes[file.name] = _hash(file.read_bytes())
            body = {"what": _WHAT, "version": VERSION, "files": hashes, "model": dict(values)}
            body["hash"] = _hash(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))
            text = orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
            (new / _MAIN).write_bytes(text + b"\n")
            if path.exists():
                path.replace(Path(folder) / "old")
            new.replace(path)
    except OSError as problem:
        raise ModelError(f"cannot be written: {problem.strerror}", where=str(path)) from None


def refuse_foreign(path: Path) -> None:
    """Raise OptionError where writing to ``path`` would replace something that offbeat did not write."""
    if path.is_dir():
        main = path / _MAIN
        if any(path.iterdir()) and not (
            main.is_file() and _WHAT.encode() in main.read_bytes()[-4096:] + main.read_bytes()[:4096]
        ):
            raise OptionError(
                "this folder was not written by offbeat and is left alone", where=str(path), hint="name another folder"
            )
    elif path.exists():
        raise OptionError("is a file; a model is a folder", where=str(path), hint="name another path")


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, pl.DataFrame], dict[str, bytes], str]:
    """Read a model folder and check every byte.

    Returns:
        Values, frames by name, networks by name, and the model's hash.

    Raises:
        ModelError: absent, not a model, of another version, incomplete, or changed since it was written.
    """
    path = Path(path)
    main = path / _MAIN
    if not path.exists():
        raise ModelError("there is no model here", where=str(path), hint="learn one: offbeat fit FILES -o " + str(path))
    if not main.is_file():
        raise ModelError(f"is not an offbeat model: it has no {_MAIN}", where=str(path))
    try:
        body = orjson.loads(main.read_bytes())
        known = body.pop("hash")
        if body["what"] != _WHAT:
            raise KeyError("what")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError("is not an offbeat model, or is damaged", where=str(main), hint="learn it again") from None
    if body["version"] != VERSION:
        raise ModelError(
            f"has version {body['version']}, and this offbeat reads version {VERSION}",
            where=str(main),
            hint="learn it again with this offbeat",
        )
    if _hash(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)) != known:
        raise ModelError("was changed since it was written", where=str(main), hint="learn it again, or restore a copy")
    frames, onnx = {}, {}
    for name, digest in body["files"].items():
        file = path / Path(name).name
        try:
            data = file.read_bytes()
        except OSError:
            raise ModelError("a file of the model is missing", where=str(file), hint="learn it again") from None
        if _hash(data) != digest:
            raise ModelError("was changed since it was written", where=str(file), hint="learn it again")
        if file.suffix == ".parquet":
            frames[file.stem] = pl.read_parquet(data)
        else:
            onnx[file.stem] = data
    return body["model"], frames, onnx, known


def replace_file(path: str | Path, data: bytes) -> None:
    """Write a file in one step, replacing one that exists."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        if path.exists():
            shutil.copymode(path, name)
        else:
            Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _hash(data: bytes) -> str:
    return hashlib.blake2s(data, digest_size=16).hexdigest()
