"""The front door: name what to read, get frames of EVENTS."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import numpy as np
import polars as pl

from offbeat.errors import InputError, OptionError
from offbeat.read import blocks as cutting
from offbeat.read import layout, lines, order, streams, times
from offbeat.read.cuts import EventCut
from offbeat.read.files import Lines, Source, expand
from offbeat.read.mask import masker
from offbeat.read.parse import Parsed, parse_block
from offbeat.read.pattern import layout_of
from offbeat.read.sniff import Plan, Sniffed, make_plan
from offbeat.read.summary import ReadSummary
from offbeat.schema import EVENTS

_WORKERS: Final = 2
_PREFETCH: Final = 2  # more under way was no faster, and held 40 MB more
CUT_ARCHIVE: Final = "cut off with the archive"
DUPLICATE: Final = "duplicates"
_T = TypeVar("_T")
_R = TypeVar("_R")
Then = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class LogText:
    """An event as it stands in the file.

    Attributes:
        offset: of its first byte in the decompressed stream.
        text: all its lines, joined by newlines.
    """

    offset: int
    text: str


def open_logs(
    inputs: str | Path | Sequence[str | Path] | Lines,
    *,
    format: str | None = None,  # noqa: A002 - the command line's name for it
    tz: str | None = None,
    dedupe: bool = False,
    mask_key: bytes | None = None,
    stdin: BinaryIO | None = None,
    merge: bool = False,
) -> Logs:
    """Find the files, find out their formats, and get ready to read them.

    Args:
        inputs: files, folders, globs, ``-`` for standard input, or :class:`Lines`; compressed files by content; rotated
            sets oldest first.
        format: name of a format, a pattern like ``<time> <level> <message>``, or None to find it from the first lines.
        tz: zone of time stamps that name none; UTC where not given.
        dedupe: drop events equal to an earlier one of the same file in time and text.
        mask_key: replace mail, card, token, password and addresses by hashes under this key.
        stdin: stream to read for ``-`` instead of the process's own.
        merge: yield the events of several files in order of time instead of file after file.

    Raises:
        InputError: where an input is absent, unreadable, no text, or there is nothing in any of them.
        OptionError: where ``format`` or ``tz`` cannot be understood.
    """
    zone = times.check_zone(tz)
    named = layout_of(format) if format is not None else None
    sources, notes = expand(inputs, stdin)
    kept: list[tuple[Source, Plan]] = []
    for source in sources:
        plan = make_plan(source, named, zone=zone, plain=format is not None and named is None)
        if plan is None:
            notes.append(f"{source.shown}: is empty")
            continue
        kept.append((source, plan))
    if not kept:
        where = sources[0].shown if len(sources) == 1 else f"{len(sources)} files"
        raise InputError("is empty" if len(sources) == 1 else "are all empty", where=where, hint="nothing to read")
    if len(kept) > 65_535:
        raise OptionError(f"{len(kept):,} files are too many at once", where="inputs", hint="at most 65,535")
    return Logs(kept, notes, dedupe=dedupe, mask_key=mask_key, merge=merge)


class Logs:
    """An input ready to be read, as often as wanted.

    Attributes:
        files: shown names; EVENTS.file indexes them.
        sniffed: what was understood of each file.
        summary: counts of the latest pass.
    """

    def __init__(
        self,
        files: Sequence[tuple[Source, Plan]],
        notes: Sequence[str] = (),
        *,
        dedupe: bool = False,
        mask_key: bytes | None = None,
        merge: bool = False,
    ) -> None:
        self._sources = [source for source, _ in files]
        self._plans = [plan for _, plan in files]
        self._cuts = [EventCut(plan) for plan in self._plans]
        self.files: tuple[str, ...] = tuple(source.shown for source in self._sources)
        self.sniffed: tuple[Sniffed, ...] = tuple(plan.sniffed for plan in self._plans)
        self.summary = ReadSummary(notes=list(notes))
        self._dedupe = dedupe
        self._merge = merge and len(files) > 1
        self._mask = masker(mask_key) if mask_key is not None else None
        # Where blocks begin, (line, offset) in order, a few bytes for each block; and how long a file was at first.
        self._index: list[list[tuple[int, int]]] = [[] for _ in files]
        self._length: list[int | None] = [None] * len(files)

    def batches(
        self, columns: Collection[str] | None = None, fields: Sequence[str] = (), then: Then | None = None
    ) -> Iterator[pl.DataFrame]:
        """Frames of events in input order, at most 262,144 rows each.

        Args:
            columns: names of EVENTS wanted, and ``fields`` for a JSON object of all fields; None means EVENTS. Only
                what is asked for is computed.
            fields: single fields wanted, each as a column ``fields.NAME`` (String).
            then: a stateless, thread-safe step run on each frame in the worker threads.

        Raises:
            OptionError: for a column that is none of EVENTS.
            InputError: where a file has gone since it was opened.
        """
        chosen = list(EVENTS) if columns is None else [name for name in (*EVENTS, "fields") if name in set(columns)]
        unknown = set(columns or ()) - {*EVENTS, "fields"}
        if unknown:
            raise OptionError(
                f"there is no column {sorted(unknown)[0]!r}", where="columns", hint=f"use some of {', '.join(EVENTS)}"
            )
        hidden = {"timestamp"} if self._merge else set()
        want = layout.Want(layout.needed({*chosen, *hidden}), tuple(fields))
        chosen += [f"fields.{name}" for name in fields]
        self.summary.reset()
        return self._run(want, chosen, then)

    def _run(self, want: layout.Want, chosen: list[str], then: Then | None) -> Iterator[pl.DataFrame]:
        def finish(frame: pl.DataFrame) -> pl.DataFrame:
            frame = frame.select(chosen)
            return then(frame) if then is not None else frame

        with ThreadPoolExecutor(_WORKERS, "offbeat-read") as pool:
            try:
                if not self._dedupe and not self._merge:
                    for parsed in self._parsed(range(len(self.files)), want, pool, finish):
                        yield from self._count(parsed)
                    return
                yield from _map(pool, finish, self._ordered(want, pool), _PREFETCH)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _count(self, parsed: Parsed) -> Iterator[pl.DataFrame]:
        summary = self.summary
        summary.lines += parsed.lines
        summary.bytes += parsed.bytes
        summary.events += parsed.events
        summary.skipped += parsed.skipped
        summary.repaired += parsed.repaired
        summary.unplaced += parsed.unplaced
        if parsed.frame.height > cutting.MAX_LINES:  # one line may hold any number of records
            yield from parsed.frame.iter_slices(cutting.MAX_LINES)
        elif parsed.frame.height or parsed.events:
            yield parsed.frame

    def _ordered(self, want: layout.Want, pool: ThreadPoolExecutor) -> Iterator[pl.DataFrame]:
        """Frames after the steps that need all events before them: dropping duplicates, merging by time."""
        if not self._merge:
            yield from self._distinct(range(len(self.files)), want, pool)
            return
        streams_ = [self._distinct(range(i, i + 1), want, pool) for i in range(len(self.files))]
        yield from order.merge(streams_)

    def _distinct(self, files: range, want: layout.Want, pool: ThreadPoolExecutor) -> Iterator[pl.DataFrame]:
        seen = order.Seen()
        for parsed in self._parsed(files, want, pool, None):
            if self._dedupe:
                parsed.frame, dropped, held = seen.drop(parsed.frame)
                self.summary.duplicates += dropped
                parsed.events -= dropped
                if held:
                    parsed.skipped[DUPLICATE] += held
            yield from self._count(parsed)

    def _parsed(
        self, files: range, want: layout.Want, pool: ThreadPoolExecutor, finish: Then | None
    ) -> Iterator[Parsed]:
        def work(block: cutting.Block) -> Parsed:
            parsed = parse_block(block, self._plans[block.file], want, self._mask, hashed=self._dedupe)
            frame = parsed.frame.with_columns(pl.lit(block.file, pl.UInt16).alias("file"))
            parsed.events = frame.height
            parsed.frame = finish(frame) if finish is not None else frame
            return parsed

        yield from _map(pool, work, self._blocks(files), 1 if self._merge else _PREFETCH)

    def _blocks(self, files: Iterable[int]) -> Iterator[cutting.Block]:
        for file in files:
            stream = streams.Stream(self._sources[file], self._length[file])
            try:
                text = streams.Utf8(stream)
                index: list[tuple[int, int]] = []
                for block in cutting.blocks(text, file, self._cuts[file]):
                    index.append((block.line, block.offset))
                    yield block
                self._index[file] = index
                if not stream.codec and text.as_is and self._length[file] is None:
                    self._length[file] = stream.length
                if stream.damaged:
                    self.summary.truncated.append(stream.damaged)
                    self.summary.lines += stream.lost_lines
                    if stream.lost_lines:
                        self.summary.skipped[CUT_ARCHIVE] += stream.lost_lines
            finally:
                stream.close()

    def text(self, refs: Iterable[tuple[int, int, int]]) -> dict[tuple[int, int], LogText]:
        """Original text of events.

        Args:
            refs: (file, line, span) of each.

        Returns:
            By (file, line): the byte offset in the decompressed stream and the text, masked where masking is on.
            References to lines that do not exist are left out.
        """
        by_file: dict[int, dict[int, int]] = {}
        for file, line, span in refs:
            by_file.setdefault(file, {})[line] = max(1, span)
        found: dict[tuple[int, int], LogText] = {}
        for file, wanted in by_file.items():
            for line, text in self._texts(file, dict(sorted(wanted.items()))):
                found[file, line] = text
        return found

    def _texts(self, file: int, wanted: dict[int, int]) -> Iterator[tuple[int, LogText]]:
        index, length = self._index[file], self._length[file]
        if index and length is not None:
            yield from self._by_index(file, wanted, index, length)
            return
        last = max(wanted)
        stream = streams.Stream(self._sources[file], length)
        try:
            text = streams.Utf8(stream)
            offset = text.skipped
            for block in cutting.blocks(text, file, self._cuts[file]):
                wide = None if text.encoding == "utf-8" else text.encoding
                start = block.offset if wide is None else offset
                yield from _pick(block.data, block.line, start, wanted, self._mask, wide)
                if wide is not None:
                    offset += len(block.data.decode("utf-8", "replace").encode(wide))
                if block.line + block.lines > last:
                    return
        finally:
            stream.close()

    def _by_index(
        self, file: int, wanted: dict[int, int], index: list[tuple[int, int]], length: int
    ) -> Iterator[tuple[int, LogText]]:
        """Read only the blocks that hold wanted lines; blocks hold whole events."""
        groups: dict[int, dict[int, int]] = {}
        for line, span in wanted.items():
            groups.setdefault(max(0, bisect.bisect_right(index, (line, 1 << 62)) - 1), {})[line] = span
        for at, lines_ in groups.items():
            line, offset = index[at]
            end = index[at + 1][1] if at + 1 < len(index) else length
            data = streams.read_range(self._sources[file], offset, min(end - offset, 2 * cutting.LINE_CAP))
            yield from _pick(data, line, offset, lines_, self._mask, None)


def _pick(
    data: bytes,
    first: int,
    offset: int,
    wanted: dict[int, int],
    mask: Callable[[pl.Series], pl.Series] | None,
    encoding: str | None,
) -> Iterator[tuple[int, LogText]]:
    """The wanted lines among those of one block."""
    starts = np.concatenate([[0], np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1])
    count = len(starts) - (starts[-1] == len(data))
    for line, span in wanted.items():
        at = line - first
        if not 0 <= at < count:
            continue
        begin = int(starts[at])
        end = int(starts[at + span]) if at + span < len(starts) else len(data)
        rows = [row.rstrip(b"\r")[: lines.MAX_LINE] for row in data[begin:end].removesuffix(b"\n").split(b"\n")]
        texts = pl.Series([row.decode("utf-8", "replace") for row in rows], dtype=pl.String)
        if mask is not None:
            texts = mask(texts)
        before = begin if encoding is None else len(data[:begin].decode("utf-8", "replace").encode(encoding))
        yield line, LogText(offset + before, "\n".join(texts.to_list()))


def _map(pool: ThreadPoolExecutor, work: Callable[[_T], _R], items: Iterable[_T], ahead: int) -> Iterator[_R]:
    """Results in order, with at most ``ahead`` items under way."""
    waiting: deque[Future[_R]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
