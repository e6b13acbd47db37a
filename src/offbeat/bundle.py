"""A trained model as a folder: model.json, Parquet and ONNX. Nothing in it is executable, every byte is checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from offbeat.errors import ModelError, OptionError

#: Raised whenever an older program could not read what this one writes.
VERSION: Final = 1
_MAIN: Final = "model.json"
#: What a folder holds; a model is not taken for a run.
MODEL: Final = "offbeat model"
RUN: Final = "offbeat run"
BENCH: Final = "offbeat benchmark"
STUDY: Final = "offbeat study"
#: What taking up contents raises that are whole, and yet not what this offbeat writes.
FOREIGN: Final = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError),
    pl.exceptions.PolarsError,
)
#: How to come by each.
_HINTS: Final[Mapping[str, str]] = {
    MODEL: "offbeat fit FILES -o {} writes one",
    RUN: "offbeat detect FILES -o {} writes one",
    BENCH: "offbeat bench … -o {} writes one",
    STUDY: "offbeat tune … -o {} writes one",
}


def write(
    path: str | Path,
    values: Mapping[str, Any],
    frames: Mapping[str, pl.DataFrame],
    others: Mapping[str, bytes],
    what: str = MODEL,
) -> None:
    """Write a folder in one step: either the whole of it is there afterwards, or what was there before.

    Args:
        path: the folder; one that exists is replaced if offbeat wrote it.
        values: plain values for model.json.
        frames: tables by name, written as ``NAME.parquet``.
        others: further files by their full names, as ``network.onnx``.
        what: MODEL, RUN, BENCH or STUDY.

    Raises:
        OptionError: the path is a file, or a folder that offbeat did not write.
        ModelError: the folder cannot be written.
    """
    path = Path(path)
    refuse_foreign(path)
    try:
        beside = _real(path).parent
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=beside, prefix=f".{path.name}.") as folder:
            new = Path(folder) / "new"
            new.mkdir()
            for name, frame in frames.items():
                frame.write_parquet(new / f"{name}.parquet", compression="zstd")
            for name, data in others.items():
                (new / name).write_bytes(data)
            (new / _MAIN).write_bytes(_main(new, values, what))
            _swap(new, _real(path), Path(folder) / "old")
    except OSError as problem:
        raise ModelError(f"cannot be written: {problem.strerror}", where=str(path)) from None


def _main(folder: Path, values: Mapping[str, Any], what: str) -> bytes:
    """Return what model.json says of a folder whose files are there."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name != _MAIN]
    hashes = {file.name: _hash(file.read_bytes()) for file in files}
    body = {"what": what, "version": VERSION, "files": hashes, "values": dict(values)}
    body["hash"] = _hash(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def open_folder(path: str | Path, what: str) -> Path:
    """Return a folder to work in over several runs: one of that kind as it is, or an empty one in the place of another.

    Raises:
        OptionError: the path is a file, or a folder that offbeat did not write.
        ModelError: the folder cannot be written.
    """
    path = Path(path)
    refuse_foreign(path)
    if not _is_ours(path / _MAIN, (what,)):
        write(path, {}, {}, {}, what=what)
    return path


def values_of(path: Path, what: str) -> dict[str, Any]:
    """Return the values that a folder of a kind holds, without a look at its files; raises ModelError if damaged."""
    try:
        body = orjson.loads((path / _MAIN).read_bytes())
        if body["what"] != what:
            raise KeyError("what")
        return dict(body["values"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"is not an {what}, or is damaged", where=str(path / _MAIN), hint="remove it") from None


def seal(path: Path, values: Mapping[str, Any], what: str) -> None:
    """Bring model.json of a folder that ``open_folder`` gave up to date with the files in it; folders do not count."""
    replace_file(path / _MAIN, _main(path, values, what))


def _swap(new: Path, path: Path, aside: Path) -> None:
    """Put ``new`` in the place of ``path``; should that fail, what was there is put back."""
    if not path.exists():
        new.replace(path)
        return
    shutil.copymode(path, new)
    path.replace(aside)
    try:
        new.replace(path)
    except BaseException:
        aside.replace(path)
        raise


def refuse_foreign(path: Path) -> None:
    """Raise OptionError where writing to ``path`` would replace something that offbeat did not write."""
    if path.is_dir():
        if any(path.iterdir()) and not _is_ours(path / _MAIN):
            raise OptionError(
                "this folder was not written by offbeat and is left alone", where=str(path), hint="name another folder"
            )
    elif path.exists():
        raise OptionError("is a file; a folder is written here", where=str(path), hint="name another path")


def hash_of(path: str | Path) -> str | None:
    """Return the hash of a folder as it says itself, without a look at its files; None where there is none."""
    try:
        found = orjson.loads((Path(path) / _MAIN).read_bytes())["hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)


def is_a(path: str | Path, what: str) -> bool:
    """Return whether a folder is, by what it says of itself, one of a kind: MODEL, RUN, BENCH or STUDY."""
    return _is_ours(Path(path) / _MAIN, (what,))


def _is_ours(main: Path, kinds: tuple[str, ...] = (MODEL, RUN, BENCH, STUDY)) -> bool:
    try:
        return orjson.loads(main.read_bytes())["what"] in kinds
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read(path: str | Path, what: str = MODEL) -> tuple[dict[str, Any], dict[str, pl.DataFrame], dict[str, bytes], str]:
    """Read a folder and check every byte.

    Returns:
        Values, frames by name, other files by full name, and the folder's hash.

    Raises:
        ModelError: absent, not a model, of another version, incomplete, or changed since it was written.
    """
    path = Path(path)
    main = path / _MAIN
    if not path.exists():
        raise ModelError(f"there is no {what} here", where=str(path), hint=_HINTS[what].format(path))
    if not main.is_file():
        raise ModelError(f"is not an {what}: it has no {_MAIN}", where=str(path), hint=_HINTS[what].format("FOLDER"))
    try:
        body = orjson.loads(main.read_bytes())
        known = body.pop("hash")
        kind = body["what"]
        if kind not in (MODEL, RUN, BENCH, STUDY):
            raise KeyError("what")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"is not an {what}, or is damaged", where=str(main), hint="learn it again") from None
    if kind != what:
        raise ModelError(
            f"is an {kind}, and an {what} is asked for", where=str(path), hint=_HINTS[what].format("FOLDER")
        )
    if body.get("version") != VERSION:
        raise ModelError(
            f"has version {body.get('version')}, and this offbeat reads version {VERSION}",
            where=str(main),
            hint="learn it again with this offbeat",
        )
    if not _is_whole(body, known):
        raise ModelError("was changed since it was written", where=str(main), hint="learn it again, or restore a copy")
    frames, others = {}, {}
    for name, data in _files(path, body):
        if name.endswith(".parquet"):
            frames[name.removesuffix(".parquet")] = _table(data, path / name)
        else:
            others[name] = data
    return body["values"], frames, others, known


def _is_whole(body: Mapping[str, Any], known: Any) -> bool:
    """Whether model.json is what was written, by its hash."""
    try:
        return bool(_hash(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)) == known)
    except TypeError:  # more deeply nested than anything that is written
        return False


def _files(path: Path, body: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield name and checked bytes of each file; raises ModelError where one is absent, changed, or elsewhere."""
    listed = body.get("files")
    if not isinstance(listed, dict) or not isinstance(body.get("values"), dict):
        raise ModelError("is damaged", where=str(path / _MAIN), hint="learn it again")
    for name, digest in listed.items():
        # A crafted model must not make offbeat read what lies elsewhere.
        if name != Path(name).name or name == ".." or "\0" in name:
            raise ModelError(f"names a file outside the model: {name!r}", where=str(path / _MAIN))
        file = path / name
        try:
            # Neither a pipe, which would wait for ever, nor a device, which may have no end.
            data = file.read_bytes() if file.is_file() else None
        except OSError:
            data = None
        if data is None:
            raise ModelError("a file of the model is missing", where=str(file), hint="learn it again") from None
        if _hash(data) != digest:
            raise ModelError("was changed since it was written", where=str(file), hint="learn it again")
        yield name, data


def _table(data: bytes, file: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(data)
    except (pl.exceptions.PolarsError, OSError):
        raise ModelError("is no table", where=str(file), hint="learn it again") from None


def replace_file(path: str | Path, data: bytes) -> None:
    """Write a file in one step; see ``replacing``.

    Raises:
        OptionError: it cannot be written.
    """
    try:
        with replacing(path) as new:
            new.write_bytes(data)
    except OSError as problem:
        raise OptionError(f"cannot be written: {problem.strerror}", where=str(path)) from None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield where to write what takes the place of a file, whose mode it takes over, once the block has ended well.

    What a link leads to is replaced, not the link; what is no file, as ``/dev/null`` or a named pipe, is written to.
    The folder around the new file is there for the block alone, on the same disk, and may hold what else it needs.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    real, other = _real(path), path.exists() and not path.is_file()
    if not other:
        real.parent.mkdir(parents=True, exist_ok=True)
    # A folder, not a file of tempfile's: those are for their owner alone; a new file's mode is for the umask to say.
    with tempfile.TemporaryDirectory(dir=None if other else real.parent, prefix=".offbeat-") as folder:
        new = Path(folder) / "new"
        yield new
        if other:
            with new.open("rb") as made, path.open("wb") as out:
                shutil.copyfileobj(made, out)
            return
        if real.exists():
            shutil.copymode(real, new)
        new.replace(real)


def _real(path: Path) -> Path:
    """Where a path leads to in the end, be there something or not; ``Path.resolve`` would raise for links in a ring."""
    return Path(os.path.realpath(path))


def _hash(data: bytes) -> str:
    return hashlib.blake2s(data, digest_size=16).hexdigest()
