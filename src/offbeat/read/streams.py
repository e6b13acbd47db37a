"""Bytes of one source, decompressed on the fly, in UTF-8, never more than a little at a time.

Codecs are told by the first bytes, not by the name. A damaged or truncated archive gives what is good and says where it
ends. Output per call is bounded, so that an archive that blows up a million times costs time but no memory.
"""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from offbeat.errors import InputError

if TYPE_CHECKING:
    from offbeat.read.files import Source

HEAD: Final = 64 * 1024
_BLANK: Final = b"\0 \t\r\n"
_FEED: Final = 64 * 1024
# A zstd block of four bytes may stand for 128 KiB, and its decoder has no limit on output: feed it little.
_FEED_ZSTD: Final = 1024
_OUT: Final = 1 << 20

_MAGIC: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
#: Files that are certainly no log, with what to do about them.
_FOREIGN: Final = {
    b"\x7fELF": ("an executable program", "name a log"),
    b"MZ\x90": ("a Windows program", "name a log"),
    b"\x89PNG": ("a PNG picture", "name a log"),
    b"\xff\xd8\xff": ("a JPEG picture", "name a log"),
    b"GIF8": ("a GIF picture", "name a log"),
    b"%PDF": ("a PDF document", "export it as text"),
    b"PK\x03\x04": ("a zip archive", "unpack it first"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it first"),
    b"Rar!": ("a rar archive", "unpack it first"),
    b"SQLite format 3": ("an SQLite database", "export the table as CSV or JSON lines"),
    b"PAR1": ("a Parquet file", "read it with polars and hand the frame to offbeat in Python"),
    b"ElfFile\x00": ("a binary Windows event log", "export it as JSON, for example with evtx_dump -o jsonl"),
    b"LPKSHHRH": ("a binary journal", "pipe journalctl -o json into offbeat"),
    b"\xca\xfe\xba\xbe": ("a compiled Java class", "name a log"),
}


class Stream:
    """Decompressed bytes of a source.

    Attributes:
        codec: name of the compression, empty where there is none.
        damaged: why and where the input ends too early; None where it is whole.
        lost_lines: lines left out because the damage cut them.
        consumed: compressed bytes read so far.
        length: bytes of an uncompressed source, None for an archive.
    """

    def __init__(self, source: Source, limit: int | None = None) -> None:
        self._shown = source.shown
        self._raw = _open(source)
        start = self._raw.read(16)
        self._raw.seek(0)
        self.codec = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "")
        self.damaged: str | None = None
        self.lost_lines = 0
        self.consumed = 0
        self._left = limit
        self.length = self._size(limit) if not self.codec else None
        self._decoder: Any = _decoder(self.codec) if self.codec else None
        self._pending = b""
        self._ended = False

    def _size(self, limit: int | None) -> int:
        """Bytes to read; what is appended meanwhile is left for the next time."""
        size = self._raw.seek(0, io.SEEK_END)
        self._raw.seek(0)
        return size if limit is None else min(size, limit)

    def seek(self, offset: int) -> None:
        """Go on reading at ``offset`` of an uncompressed source."""
        self._raw.seek(offset)
        if self.length is not None:
            self._left = self.length - offset

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` of an uncompressed source; fewer where it has become shorter."""
        try:
            self._raw.seek(offset)
            data = self._raw.read(size)
            while len(data) < size and (more := self._raw.read(size - len(data))):
                data += more
        except OSError as error:
            self.damaged = f"{self._shown} cannot be read beyond byte {offset:,}: {error.strerror}"
            return b""
        return data

    def read(self) -> bytes:
        """The next piece, at most about a mebibyte; empty at the end."""
        if self._left == 0:
            return b""
        try:
            piece = self._raw.read(_OUT) if self._decoder is None else self._inflate()
        except OSError as error:  # the file vanished from under a network mount, a disk error
            self.damaged = f"{self._shown} cannot be read beyond byte {self.consumed:,}: {error.strerror}"
            return b""
        if self._decoder is None:
            self.consumed += len(piece)
        if self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        return piece

    def _inflate(self) -> bytes:
        while not self._ended:
            if not self._pending and self._needs_input():
                self._pending = self._raw.read(_FEED_ZSTD if self.codec == "zstd" else _FEED)
                self.consumed += len(self._pending)
                if not self._pending:
                    self._finish("is cut off")
                    return b""
            try:
                piece = self._step()
            except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError) as error:
                self._finish(f"is damaged ({error})")
                return b""
            except Exception as error:  # zstandard's own error class, without importing it here
                if type(error).__name__ != "ZstdError":
                    raise
                self._finish(f"is damaged ({error})")
                return b""
            if self._decoder.eof:
                self._next_member()
            if piece:
                return piece
        return b""

    def _needs_input(self) -> bool:
        if self.codec == "gzip":
            return not self._decoder.unconsumed_tail
        return bool(getattr(self._decoder, "needs_input", True))

    def _step(self) -> bytes:
        feed, self._pending = self._pending, b""
        if self.codec == "zstd":
            return bytes(self._decoder.decompress(feed))
        if self.codec == "gzip":
            return bytes(self._decoder.decompress(feed or self._decoder.unconsumed_tail, _OUT))
        return bytes(self._decoder.decompress(feed, _OUT))

    def _next_member(self) -> None:
        """Archives may be several archives one after another; padding after the last one is no damage."""
        rest = self._decoder.unused_data or self._raw.read(_FEED)
        if not rest.lstrip(b"\0"):
            self._ended = True
        elif not any(rest.startswith(m) for m, c in _MAGIC.items() if c == self.codec):
            self._finish("is followed by something else")
        self._pending = rest
        self._decoder = _decoder(self.codec)

    def _finish(self, why: str) -> None:
        self._ended = True
        self.damaged = f"the {self.codec} archive {self._shown} {why} at byte {self.consumed:,}"

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


class Utf8:
    """A stream of bytes in UTF-8, whatever Unicode encoding the source has; its byte order mark is gone.

    Attributes:
        encoding: ``utf-8``, ``utf-16-le`` or ``utf-16-be``.
        skipped: bytes of the byte order mark.
        as_is: whether the bytes are handed on as they stand in the file.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        first = stream.read()
        while 0 < len(first) < 512 and (more := stream.read()):
            first += more
        self.encoding, self.skipped = _encoding(first)
        self._decoder = None if self.encoding == "utf-8" else codecs.getincrementaldecoder(self.encoding)("replace")
        # Lines may end in a carriage return alone; what replaces it is as long, so that offsets stay.
        self._returns = self._decoder is None and b"\r" in first[:-1] and b"\n" not in first
        self.as_is = self._decoder is None and not self._returns
        self._first: bytes | None = self._convert(first[self.skipped :], final=False)

    def read(self) -> bytes:
        """The next piece; empty at the end."""
        if self._first:
            piece, self._first = self._first, None
            return piece
        while raw := self.stream.read():
            if piece := self._convert(raw, final=False):
                return piece
        return self._convert(b"", final=True)

    def seek(self, offset: int) -> None:
        """Go on reading at ``offset`` of an uncompressed source in UTF-8."""
        self._first = None
        self.stream.seek(offset)

    def _convert(self, raw: bytes, *, final: bool) -> bytes:
        if self._decoder is None:
            return raw.replace(b"\r", b"\n") if self._returns else raw
        return self._decoder.decode(raw, final).encode("utf-8", "replace")


def _encoding(start: bytes) -> tuple[str, int]:
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8", 3
    if start.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le", 2
    if start.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be", 2
    sample = start[:512]
    if len(sample) >= 8 and sample[1::2].count(0) > 0.9 * len(sample[1::2]) and sample[::2].count(0) == 0:
        return "utf-16-le", 0
    if len(sample) >= 8 and sample[::2].count(0) > 0.9 * len(sample[::2]) and sample[1::2].count(0) == 0:
        return "utf-16-be", 0
    return "utf-8", 0


def _open(source: Source) -> BinaryIO:
    if source.path is None:
        return io.BytesIO(source.data or b"")
    try:
        return source.path.open("rb", buffering=0)
    except FileNotFoundError:
        raise InputError("there is no such file", where=source.shown, hint="it may have been moved meanwhile") from None
    except PermissionError:
        raise InputError(
            "may not be read by this user", where=source.shown, hint="check its permissions, or the group adm"
        ) from None
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}", where=source.shown) from None


def _decoder(codec: str) -> Any:
    if codec == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj()
    new: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.decompressobj(31),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lzma.LZMADecompressor,
    }
    return new[codec]()


def head(source: Source, size: int = HEAD) -> bytes:
    """The first decompressed bytes as UTF-8, from where there is more than blanks.

    A file that was being written when the power failed may begin with any number of NUL bytes.

    Raises:
        InputError: where an archive is damaged before there is anything.
    """
    stream = Stream(source)
    try:
        text, data = Utf8(stream), b""
        while len(data) < size and (piece := text.read()):
            data += piece if data else _from_text(piece)
        if not data and stream.damaged:
            raise InputError(stream.damaged, hint="nothing of it can be read; fetch it again")
        return data[:size]
    finally:
        stream.close()


def _from_text(data: bytes) -> bytes:
    """The bytes from the first line on that is not blank; nothing where all are."""
    text = data.lstrip(_BLANK)
    at = len(data) - len(text)
    return data[data.rfind(b"\n", 0, at) + 1 :].lstrip(b"\0") if text else b""


def tail(source: Source, size: int = HEAD) -> bytes:
    """The last decompressed bytes as UTF-8; a compressed source has to be read through for them."""
    stream = Stream(source)
    try:
        if not stream.codec and source.path is not None:
            length = stream.length or 0
            if length > 4 * size:
                return stream.read_at(length - size, size)
        text, data = Utf8(stream), b""
        while piece := text.read():
            data = (data + piece)[-size:]
        return data
    finally:
        stream.close()


def read_range(source: Source, offset: int, size: int) -> bytes:
    """``size`` bytes of an uncompressed source from ``offset``."""
    with _open(source) as raw:
        raw.seek(offset)
        return raw.read(size)


def check_text(data: bytes, shown: str) -> None:
    """Make sure that decompressed bytes can be a log.

    Raises:
        InputError: for pictures, programs, databases, archives and anything else that is mostly not text.
    """
    for magic, (what, hint) in _FOREIGN.items():
        if data.startswith(magic):
            raise InputError(f"is {what}, not a log", where=shown, hint=hint)
    for magic, codec in _MAGIC.items():
        if data.startswith(magic):
            raise InputError(f"holds a {codec} archive, not a log", where=shown, hint="unpack it first")
    if data[257:262] == b"ustar":
        raise InputError("is a tar archive, not a log", where=shown, hint="unpack it first")
    sample = data[:16_384]
    # Files that were being written when the power failed hold long runs of NUL: those say nothing about the rest.
    text = b"".join(part for part in sample.split(b"\0" * 16) if part) if b"\0" * 16 in sample else sample
    odd = sum(text.count(code) for code in (*range(9), *range(14, 27), 28, 29, 30, 31, 127))
    if len(text) and odd > 0.1 * len(text):
        raise InputError(
            "is binary, not a log", where=shown, hint="name a text file, or a .gz, .bz2, .xz or .zst of one"
        )
