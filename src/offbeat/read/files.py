"""What the user named, as a list of files to read: folders, globs, rotated sets, nothing twice."""

from __future__ import annotations

import glob
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from offbeat.errors import InputError
from offbeat.read import streams

_COMPRESSED: Final = re.compile(r"\.(?:gz|bz2|xz|zst|zstd|lzma)$", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"\.(?P<n>[0-9]{1,4})$")
_DATED: Final = re.compile(r"[.-](?P<date>[0-9]{4}-?[0-9]{2}-?[0-9]{2}(?:[-T_.]?[0-9]{2,6})?)$")
_LIVE: Final = "\uffff"  # sorts the file still being written behind its dated predecessors


class Lines(list[str]):
    """Lines handed in by a Python user instead of files; each is one line."""


@dataclass(frozen=True)
class Source:
    """One stream of bytes to read.

    Attributes:
        shown: the name in reports, as the user wrote it; ``-`` is standard input.
        path: where its bytes are; None where ``data`` holds them.
        data: the bytes themselves.
    """

    shown: str
    path: Path | None = None
    data: bytes | None = None


def expand(inputs: str | Path | Sequence[str | Path] | Lines, stdin: BinaryIO | None) -> tuple[list[Source], list[str]]:
    """All files that ``inputs`` name, in reading order.

    Returns:
        The sources, and one sentence for each file that was passed over.

    Raises:
        InputError: where there is nothing to read.
    """
    if isinstance(inputs, Lines):
        text = "\n".join(line.replace("\n", " ").replace("\r", " ") for line in inputs)
        return [Source("lines", data=text.encode("utf-8", "replace"))], []
    named = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    if not named:
        raise InputError("there is nothing to read", hint="name a file, a folder or - for standard input")
    found: list[Source] = []
    notes: list[str] = []
    for name in named:
        found.extend(_expand_one(str(name), stdin, notes))
    found = [replace(source, shown=_as_text(source.shown)) for source in _in_order(_once(found, notes))]
    return found, [_as_text(note) for note in notes]


def _as_text(name: str) -> str:
    """A name that can be written wherever it is shown; on disk a name is bytes, which need not be UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _expand_one(name: str, stdin: BinaryIO | None, notes: list[str]) -> list[Source]:
    if name == "-":
        return [Source("-", path=_spool(stdin))]
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # there is no such user, or no home; the shell would leave the name as it is
        path = Path(name)
    try:
        if path.is_dir():
            return _folder(path, name, notes)
        if path.is_fifo():
            with path.open("rb") as pipe:
                return [Source(name, path=_spool(pipe))]
        if path.is_char_device() and name != os.devnull:
            raise InputError("is a device, not a log", where=name, hint="name a file, or - for standard input")
        if path.exists():
            return [Source(name, path=path)]
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=name) from None
    matches = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(name) else []  # noqa: PTH207 - absolute too
    if matches:
        files = [Path(match) for match in matches if Path(match).is_file()]
        return [Source(str(file), path=file) for file in files if _readable(file, notes)]
    if glob.has_magic(name):
        raise InputError("no file matches", where=name, hint="quote the pattern if the shell changed it")
    raise InputError("there is no such file", where=name, hint=_near(path))


def _near(path: Path) -> str:
    """A hint naming the file that was probably meant."""
    import difflib

    parent = path.parent
    try:
        names = [entry.name for entry in parent.iterdir() if entry.exists()]  # a link may lead nowhere
    except OSError:
        return f"the folder {parent} does not exist either" if not parent.exists() else "check the path"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {parent / close[0]}?" if close else "check the path"


def _folder(path: Path, name: str, notes: list[str]) -> list[Source]:
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file())
    except OSError as error:
        raise InputError(f"the folder cannot be listed: {error.strerror}", where=name) from None
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    readable = [file for file in files if _readable(file, notes)]
    if not readable:
        raise InputError("the folder holds no log", where=name, hint="name a folder with text files in it")
    return [Source(str(file), path=file) for file in readable]


def _readable(file: Path, notes: list[str]) -> bool:
    """Whether a file found by walking or globbing is worth reading; a file named outright is an error instead."""
    try:
        if file.stat().st_size == 0:
            return False
        streams.check_text(streams.head(Source(str(file), path=file)), str(file))
    except InputError as error:
        notes.append(f"{error.where}: {error.what}")
        return False
    except OSError as error:
        notes.append(f"{file}: {error.strerror}")
        return False
    return True


def _spool(stdin: BinaryIO | None) -> Path:
    """Standard input, or a named pipe, in a temporary file, since learning reads twice; it goes when we do.

    Raises:
        InputError: there is no room for it.
    """
    import atexit
    import sys

    stream = stdin if stdin is not None else sys.stdin.buffer
    try:
        with tempfile.NamedTemporaryFile(prefix="offbeat-", suffix=".stdin", delete=False) as spool:
            path = Path(spool.name)
            # Before there is a byte in it: what stops us while we read must not leave half a log behind.
            atexit.register(path.unlink, missing_ok=True)
            while chunk := stream.read(1 << 20):
                spool.write(chunk)
    except OSError as error:
        what = f"cannot be kept for a second pass: {error.strerror}"
        raise InputError(what, where=tempfile.gettempdir(), hint="name a folder with more room by TMPDIR") from None
    return path


def _once(sources: Iterable[Source], notes: list[str]) -> list[Source]:
    """Drop what is named twice: the same file, or a file beside its own compressed copy."""
    seen: set[object] = set()
    kept: list[Source] = []
    for source in sources:
        if source.path is None:
            kept.append(source)
            continue
        key = _identity(source.path)
        if key in seen:
            continue
        seen.add(key)
        kept.append(source)
    by_name = {os.path.abspath(s.path): s for s in kept if s.path is not None}  # noqa: PTH100 - no symlink resolution
    result = []
    for source in kept:
        twin = by_name.get(_COMPRESSED.sub("", os.path.abspath(source.path))) if source.path else None  # noqa: PTH100 - links are not followed
        if twin is not None and twin is not source and streams.head(source) == streams.head(twin):
            notes.append(f"{source.shown}: is the compressed copy of {twin.shown}, read once")
            continue
        result.append(source)
    return result


def _identity(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return str(path)
    return (status.st_dev, status.st_ino)


def _in_order(sources: list[Source]) -> list[Source]:
    """Put rotated sets oldest first, at the place of their first member; everything else stays as it was named."""
    sets: dict[str, list[tuple[tuple[int, str], Source]]] = {}
    for source in sources:
        base, age = _rotation(source.shown) if source.path else (source.shown, (0, _LIVE))
        sets.setdefault(base, []).append((age, source))
    ordered: list[Source] = []
    for members in sets.values():
        ordered.extend(source for _, source in sorted(members, key=lambda member: member[0]))
    return ordered


def _rotation(name: str) -> tuple[str, tuple[int, str]]:
    """The live file's name and what sorts this member by age, oldest first."""
    bare = _COMPRESSED.sub("", name)
    if match := _NUMBERED.search(bare):
        return bare[: match.start()], (-int(match["n"]), "")
    if match := _DATED.search(bare):
        return bare[: match.start()], (0, match["date"])
    stem, dot, suffix = bare.rpartition(".")
    if dot and (match := _DATED.search(stem)):
        return stem[: match.start()] + dot + suffix, (0, match["date"])
    return bare, (0, _LIVE)
