"""Blocks of whole events, cut from a stream: the unit of work of one thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from offbeat.read.streams import Utf8

#: What a block costs by itself is 4 ms, with ten layouts over 20; larger ones gain
#: little more and hold more memory.
SIZE: Final = 6 << 20
MAX_LINES: Final = 262_144
#: Longer lines are cut while they stream in, so that one endless line cannot fill the memory; longer events too.
LINE_CAP: Final = 32 << 20
KEPT_OF_LONG: Final = 64 * 1024
_PART: Final = 128 << 10
_WINDOWS: Final = (64 << 10, 1 << 20)
_FIRST: Final = 256 * 1024  # a small first block shows first results soon


class Cut(Protocol):
    """Where to cut.

    Given bytes whose end, but with ``whole=False`` not necessarily whose beginning, belongs to a block, return how many
    of them end with a whole event; 0 where that cannot be told.
    """

    def __call__(self, data: bytes, *, whole: bool = True) -> int:
        """Bytes up to the cut."""


@dataclass(slots=True)
class Block:
    """Whole events.

    Attributes:
        file: index of the source.
        line: number of its first line, 1-based.
        offset: of its first byte in the decompressed stream, as UTF-8.
        data: the bytes, until they are taken; the last line may lack its newline at the end of the file.
        lines: how many lines.
        cut: whether its last line was cut for being endless.
    """

    file: int
    line: int
    offset: int
    data: bytes
    lines: int
    cut: bool = False

    def take(self) -> bytes:
        """Return the bytes, which the block no longer holds: what is read from them is as large, and lives longer."""
        data, self.data = self.data, b""
        return data


def blocks(stream: Utf8, file: int, cut: Cut, size: int = SIZE) -> Iterator[Block]:
    """Cut a stream into blocks of about ``size`` bytes and at most 262,144 lines.

    Fresh memory for a few mebibytes costs more than reading them: the cut is found in the last few kibibytes first, so
    that a block's bytes are written once.
    """
    offset = stream.skipped if stream.encoding == "utf-8" else 0
    line = 1
    total = stream.stream.length if stream.as_is else None
    if total is None:
        yield from _stream_blocks(stream, file, cut, size, line, offset, b"")
        return
    raw, wanted = stream.stream.read_at, _FIRST
    while offset + wanted < total:
        stop, end = offset + wanted, offset
        for window in _WINDOWS:
            start = max(offset, stop - window)
            if at := cut(raw(start, stop - start), whole=False):
                end = start + at
                break
        if end <= offset:
            stream.seek(offset)
            yield from _stream_blocks(stream, file, cut, size, line, offset, b"")
            return
        data = raw(offset, end - offset)
        short = len(data) < end - offset  # the file was cut short meanwhile
        pieces = _pieces(data, file, line, offset, cut)
        del data  # held by the block alone, until it is read
        for block in pieces:
            yield block
            line += block.lines
        if short:
            return
        offset, wanted = end, size
    yield from _pieces(raw(offset, total - offset), file, line, offset, cut)


def _stream_blocks(
    stream: Utf8, file: int, cut: Cut, size: int, line: int, offset: int, carry: bytes
) -> Iterator[Block]:
    """The same for streams that only go forward, and for events longer than usual."""
    wanted = _FIRST
    while True:
        parts, have = [carry], len(carry)
        while have < wanted and (piece := stream.read()):
            parts.append(piece)
            have += len(piece)
        if have < wanted:
            data = b"".join(parts)
            if stream.stream.damaged and not data.endswith(b"\n"):
                stream.stream.lost_lines += bool(data)
                data = data[: data.rfind(b"\n") + 1]
            yield from _pieces(data, file, line, offset, cut)
            return
        last = parts.pop()
        if end := cut(last, whole=False):
            data, carry = b"".join([*parts, last[:end]]), last[end:]
        else:
            data = b"".join([*parts, last])
            end = cut(data)
            if not end and len(data) >= LINE_CAP:
                end = data.rfind(b"\n") + 1
            data, carry = data[:end], data[end:]
        if not data:
            if len(carry) < LINE_CAP:
                wanted = min(len(carry) + max(size, len(carry)), LINE_CAP)
                continue
            kept, carry, dropped = _cut_long(carry, stream)
            yield Block(file, line, offset, kept, 1, cut=True)
            line, offset = line + 1, offset + dropped
            continue
        pieces = _pieces(data, file, line, offset, cut)
        del data, last, parts
        for block in pieces:
            line, offset = line + block.lines, offset + len(block.data)
            yield block
        wanted = max(size, len(carry) + 1)


def _cut_long(data: bytes, stream: Utf8) -> tuple[bytes, bytes, int]:
    """The beginning of an endless line, what follows its newline, and the length of the line."""
    kept = data[:KEPT_OF_LONG]
    kept = kept[: len(kept) - 3] + kept[-3:].decode("utf-8", "ignore").encode()
    length, rest = len(data), b""
    while piece := stream.read():
        at = piece.find(b"\n")
        if at >= 0:
            length, rest = length + at + 1, piece[at + 1 :]
            break
        length += len(piece)
    return kept + b"\n", rest, length


def count_lines(data: bytes) -> int:
    """Lines in ``data``; a last one without newline counts."""
    text = np.frombuffer(data, np.uint8)
    # Part by part: a mask as long as a block is fresh memory, which costs ten times what counting does.
    parts = (text[at : at + _PART] for at in range(0, len(text), _PART))
    newlines = sum(int(np.count_nonzero(part == 10)) for part in parts)
    return newlines + (not data.endswith(b"\n") and bool(data))


def _pieces(data: bytes, file: int, line: int, offset: int, cut: Cut) -> Iterator[Block]:
    """One block, or several where its lines are so short that they are too many."""
    while data:
        lines = count_lines(data)
        if lines <= MAX_LINES:
            block = Block(file, line, offset, data, lines)
            del data
            yield block
            return
        newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
        end = int(newlines[MAX_LINES - 1]) + 1
        end = cut(data[:end]) or end
        part = data[:end]
        lines = count_lines(part)
        yield Block(file, line, offset, part, lines)
        data, line, offset = data[end:], line + lines, offset + len(part)
