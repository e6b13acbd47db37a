"""A block's bytes to a column of lines; what had to be repaired is counted."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable
from typing import Final

import polars as pl

from offbeat.schema import pack, unpack

MAX_LINE: Final = 64 * 1024

BAD_UTF8: Final = "bytes that are not UTF-8 replaced"
COLOURS: Final = "terminal colours removed"
NULS: Final = "NUL bytes removed"
TOO_LONG: Final = "lines over 64 KiB cut"

_MARK: Final = codecs.BOM_UTF8
#: Up to so many bytes Python is faster: Polars takes half a millisecond to set out.
_SMALL: Final = 32 << 10
#: What colours text (ECMA-48, SGR and EL). Other control sequences do not belong in a log: they stay, and are shown.
COLOUR: Final = r"\x1b\[[0-9;:]*[mK]"
_COLOURS: Final = re.compile(COLOUR.encode())


def split(data: bytes, repaired: Counter[str]) -> pl.Series:
    """Lines without their ends.

    Args:
        data: whole lines; the last may lack its newline.
        repaired: counts of repaired lines by reason, added to.

    Returns:
        String, one row a physical line.
    """
    data = clean(data, repaired)
    if len(data) < _SMALL:
        rows = data.removesuffix(b"\n").split(b"\n") if data else []
        return pl.Series("line", [row.removesuffix(b"\r").decode() for row in rows], dtype=pl.String)
    if data[:1] == b"x":  # Polars takes text beginning with "x^" for a zlib stream, and there is no way to say no
        return pl.read_lines(b"\n" + data).to_series().slice(1).rechunk()
    # It comes in chunks with room for many times as many lines, 100 MB for 6 MiB of text.
    return pl.read_lines(data).to_series().rechunk()


def shorten(lines: pl.Series, repaired: Counter[str]) -> pl.Series:
    """Lines of at most 64 KiB."""
    long = (lines.str.len_bytes() > MAX_LINE).arg_true()
    if long.is_empty():
        return lines
    repaired[TOO_LONG] += len(long)
    return lines.scatter(long, lines.gather(long).str.head(MAX_LINE))


def clean(data: bytes, repaired: Counter[str]) -> bytes:
    """Valid UTF-8 without NUL bytes, terminal colours, and the byte order marks of files that were joined."""
    if b"\0" in data:
        repaired[NULS] += sum(b"\0" in line for line in data.split(b"\n"))
        data = data.replace(b"\0", b"")
    if b"\x1b" in data:
        repaired[COLOURS] += sum(_COLOURS.search(line) is not None for line in data.split(b"\n"))
        repaired += Counter()  # drops a zero
        data = _COLOURS.sub(b"", data)
    if data.isascii():
        return data
    if _MARK in data:
        data = data.replace(b"\n" + _MARK, b"\n").removeprefix(_MARK)
    try:
        data.decode()
    except UnicodeDecodeError:
        repaired[BAD_UTF8] += sum(not _valid(line) for line in data.split(b"\n"))
        return data.decode("utf-8", "replace").encode()
    return data


def by_value(texts: pl.Series, of: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Work out once for each distinct text what depends on nothing but the text.

    Args:
        texts: String, shape (n,).
        of: from distinct texts to as many results of any kind.

    Returns:
        The result of each text, shape (n,); null where the text is null.
    """
    distinct, codes = unpack(pack(texts))
    return of(distinct).gather(codes).alias(texts.name)


def _valid(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
