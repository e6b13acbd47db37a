"""parse: one row an event with its template, as Parquet or JSON lines, at the speed of the reader.

One pass reads, masks and counts shapes; what has to be kept of each event goes to parts on disk, with the shape's code
where its template will stand. When everything was read, the templates are learned, and the parts are written again with
codes turned into names. So memory does not grow with the file, and only the columns asked for are ever computed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl

from offbeat import bundle
from offbeat.errors import OptionError
from offbeat.group import Key, parse_key
from offbeat.mine import Catalog, Limits, Miner
from offbeat.mine.mask import CUT
from offbeat.mine.parts import RUN, extract
from offbeat.read import Logs, open_logs

Progress = Callable[[str], None]

#: What ``parse`` gives, in this order; ``session`` only where a key is given.
COLUMNS: Final = (
    *("file", "line", "timestamp", "level", "source", "message"),
    *("template_id", "template", "values", "fields", "session"),
)
_TEMPLATE: Final = {"template_id", "template", "values"}
_STORED: Final = ("file", "line", "timestamp", "level", "source", "message", "fields")
#: Rows of a part on disk, and of a row group. Larger ones were no faster and hold more memory.
_ROWS: Final = 65_536
#: A part is also closed at so many bytes, for events may be 64 KiB each.
_BYTES: Final = 64 << 20
_DIGITS: Final = "digits of a second"
_NONE: Final = pl.lit([], pl.List(pl.String))
#: Digits of a second's fraction to the format of a time, by the finest unit that the log has.
_FORMATS: Final = {0: "%Y-%m-%dT%H:%M:%SZ", 3: "%Y-%m-%dT%H:%M:%S%.3fZ", 6: "%Y-%m-%dT%H:%M:%S%.6fZ"}


def check_columns(names: Collection[str] | None, *, session: bool) -> tuple[str, ...]:
    """Return the columns to give, in the order asked for; all where None.

    Args:
        names: names out of COLUMNS.
        session: whether a session key is given.

    Raises:
        OptionError: a name is none of COLUMNS, is there twice, or is ``session`` without a key.
    """
    if names is None:
        return COLUMNS if session else COLUMNS[:-1]
    known = ", ".join(COLUMNS)
    for name in names:
        if name not in COLUMNS:
            raise OptionError(f"there is no column {name!r}", where="--columns", hint=f"there are {known}")
    if len(set(names)) < len(names) or not names:
        raise OptionError("each column is named once, and one at least", where="--columns", hint=f"there are {known}")
    if "session" in names and not session:
        raise OptionError("session needs a key", where="--columns", hint="give --session-by FIELD or a pattern")
    return tuple(names)


def open_table(
    files: str | Path | Sequence[str | Path],
    *,
    columns: Collection[str] | None = None,
    format: str | None = None,  # noqa: A002 - the command line's name for it
    session_by: str | None = None,
    tz: str | None = None,
    dedupe: bool = False,
    mask_key: bytes | None = None,
    catalog: Catalog | None = None,
    progress: Progress | None = None,
) -> Table:
    """Get ready to read logs as a table.

    Args:
        files: files, folders, globs or ``-``.
        columns: some of COLUMNS; None means all.
        format: name or pattern of the format; found from the first lines where None.
        session_by: a field or a regular expression; adds the column ``session``.
        tz: zone of time stamps that name none.
        dedupe: drop events equal to an earlier one.
        mask_key: replace personal data by hashes under this key.
        catalog: templates of a model to match; None learns them from the files.
        progress: called with a few words on what is being done.

    Raises:
        InputError: an input cannot be read, or holds nothing.
        OptionError: an option cannot be understood, or a column is unknown.
    """
    chosen = check_columns(columns, session=session_by is not None)
    logs = open_logs(files, format=format, tz=tz, dedupe=dedupe, mask_key=mask_key)
    names = {name: kind for sniffed in logs.sniffed for name, kind in sniffed.fields.items()}
    key = parse_key(session_by, names) if session_by is not None else None
    return Table(logs, chosen, key, catalog, progress or (lambda _: None))


@dataclass
class _Parts:
    """What the first pass left on disk."""

    paths: list[Path] = field(default_factory=list)
    rows: int = 0
    fractions: dict[int, int] = field(default_factory=dict)  # by file: digits that its times need


class Table:
    """Logs as a table of events; made by ``open_table``.

    Attributes:
        logs: the logs; ``logs.summary`` holds the counts once they were read.
        columns: what each row holds.
        catalog: the templates, once they were read.
    """

    def __init__(
        self, logs: Logs, columns: tuple[str, ...], key: Key | None, catalog: Catalog | None, progress: Progress
    ) -> None:
        self.logs = logs
        self.columns = columns
        self.catalog = catalog
        self._key = key
        self._progress = progress
        self._miner = Miner() if catalog is None else None

    def write_parquet(self, path: str | Path) -> int:
        """Write the table as Parquet, in one step: a file that exists is replaced when all is written.

        ``level`` is UInt8 (OpenTelemetry), ``timestamp`` in microseconds UTC, ``fields`` a JSON object as text,
        ``values`` and ``session`` lists of text.

        Returns:
            The number of rows.

        Raises:
            OptionError: the path is a folder, or nothing can be written there.
        """
        path = Path(path)
        if path.is_dir():
            raise OptionError("is a folder; a Parquet file is written here", where=str(path), hint="name a file")
        try:
            with bundle.replacing(path) as new:
                parts = self._read(new.parent)
                self._sink(parts, new)
        except OSError as problem:
            why = problem.strerror or str(problem)
            raise OptionError(f"cannot be written: {why}", where=problem.filename or str(path)) from None
        return parts.rows

    def write_json(self, out: BinaryIO, limit: int | None = None) -> int:
        """Write the table as JSON lines, in input order; times as precise as each file's log. Returns the rows."""
        with tempfile.TemporaryDirectory(prefix="offbeat-") as folder:
            parts = self._read(Path(folder), limit, precision=True)
            for path in parts.paths:
                frame = pl.read_ipc(path)
                digits = frame["file"].replace_strict(parts.fractions, default=0, return_dtype=pl.UInt8)
                rows = self._finish(frame).with_columns(digits.alias(_DIGITS))
                for part in rows.iter_slices(_ROWS // 8):  # the text of a part is several times as large
                    out.write(_json_lines(part))
        return parts.rows

    def head(self, limit: int) -> pl.DataFrame:
        """Return the first rows, with templates learned from all of them."""
        with tempfile.TemporaryDirectory(prefix="offbeat-") as folder:
            parts = self._read(Path(folder), limit)
            frames = [self._finish(pl.read_ipc(path)) for path in parts.paths]
        return pl.concat(frames) if frames else pl.DataFrame({name: [] for name in self.columns})

    def _read(self, folder: Path, limit: int | None = None, *, precision: bool = False) -> _Parts:
        """Read everything once, keep in ``folder`` what the rows need, and learn the templates.

        Args:
            folder: where the parts go.
            limit: rows to keep; templates are learned from all.
            precision: also find out how precise the times of each file are.
        """
        mined = bool(_TEMPLATE & set(self.columns))
        stored = [name for name in _STORED if name in self.columns or (name == "message" and "values" in self.columns)]
        wanted = {"file", *stored} | ({"message"} if mined else set())
        fields = []
        if self._key is not None and "session" in self.columns:
            wanted.add(self._key.column or "message")
            if self._key.column and self._key.column.startswith("fields."):
                fields = [self._key.name]
                wanted.discard(self._key.column)

        def prepare(frame: pl.DataFrame) -> pl.DataFrame:
            keys = [self._key.lists().alias("session")] if self._key and "session" in self.columns else []
            shapes = [Miner.shapes(frame["message"]).alias("code")] if mined else []
            return frame.select("file", *(name for name in stored if name != "file"), *keys, *shapes)

        # Packing text saves most of the disk; packing short columns would cost more than all else that is done to them.
        parts, waiting = _Parts(), _Waiting(folder, packed=bool({"message", "fields"} & set(stored)))
        read = 0
        for frame in self.logs.batches(wanted, fields, then=prepare):
            read += frame.height
            self._progress(f"reading: {read:,} events")
            if mined:
                frame = frame.with_columns(self._encode(frame["code"]).alias("code"))
            left = frame.height if limit is None else max(0, limit - parts.rows)
            frame = frame.head(left)
            if precision:
                _note_fractions(frame, parts.fractions)
            parts.rows += frame.height
            waiting.add(frame)
        parts.paths = waiting.close()
        if self._miner is not None and mined:
            self._progress("learning templates")
            self.catalog = self._miner.learn()
        return parts

    def _encode(self, shapes: pl.Series) -> pl.Series:
        if self._miner is not None:
            return self._miner.encode(shapes)
        assert self.catalog is not None  # noqa: S101 - without a miner there is a catalog
        return self.catalog.match(shapes)

    def _templates(self, codes: pl.Series) -> pl.DataFrame:
        """``template_id`` and ``template`` of each code in the parts: a shape's, or with a model a template's."""
        assert self.catalog is not None  # noqa: S101 - learned, or given
        if self._miner is not None:
            codes = self._miner.templates(codes)
        return self.catalog.frame.select("template_id", "template")[codes]

    def _finish(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Turn the rows of a part into those of the table."""
        if "file" in self.columns:
            frame = frame.with_columns(pl.Series("file", self.logs.files, dtype=pl.String).gather(frame["file"]))
        if "code" in frame.columns:
            found = self._templates(frame["code"])
            if "values" in self.columns:
                frame = frame.with_columns(variable_parts(frame["message"], found["template"]))
            frame = frame.with_columns(found)
        return frame.select(self.columns)

    def _sink(self, parts: _Parts, path: Path) -> None:
        self._progress(f"writing {parts.rows:,} events")
        source = pl.scan_ipc(parts.paths)
        schema = self._finish(source.head(0).collect()).schema
        # zstd at its lowest level took no longer than lz4 and made the file smaller by two fifths.
        source.map_batches(self._finish, schema=schema, streamable=True).sink_parquet(
            path, compression="zstd", compression_level=1, row_group_size=_ROWS
        )


class _Waiting:
    """Frames on their way to parts of some size on disk."""

    def __init__(self, folder: Path, *, packed: bool) -> None:
        self._folder = folder
        self._packed = packed
        self._paths: list[Path] = []
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._bytes = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Take up a frame; write a part once there is enough for one."""
        if frame.is_empty():
            return
        self._frames.append(frame)
        self._rows += frame.height
        self._bytes += int(frame.estimated_size())
        if self._rows >= _ROWS or self._bytes >= _BYTES:
            self._write()

    def close(self) -> list[Path]:
        """Write what is left, and return all parts in order."""
        if self._frames:
            self._write()
        return self._paths

    def _write(self) -> None:
        path = self._folder / f"{len(self._paths)}.arrow"
        pl.concat(self._frames).write_ipc(path, compression="lz4" if self._packed else "uncompressed")
        self._paths.append(path)
        self._frames, self._rows, self._bytes = [], 0, 0


def variable_parts(messages: pl.Series, templates: pl.Series) -> pl.Series:
    """Read the variable parts of messages.

    Args:
        messages: String, shape (n,).
        templates: the text of each message's template, shape (n,).

    Returns:
        ``values``, List(String), shape (n,): the parts in order; empty where a template has none, or where a message
        does not fit the text of its template, as where learning met a limit.
    """
    frame = pl.DataFrame({"row": pl.int_range(len(messages), eager=True), "message": messages, "template": templates})
    frame = frame.with_columns(_mined(pl.col("message")).str.strip_chars())
    frame = frame.with_columns(runs=pl.col("message").str.contains(RUN))
    done = []
    for (template, runs), rows in frame.partition_by("template", "runs", as_dict=True).items():
        parts = extract(rows["message"], str(template), runs=bool(runs))
        if parts.width:
            lists = pl.when(pl.col("0").is_null()).then(_NONE).otherwise(pl.concat_list(pl.all()))
            values = parts.select(lists).to_series()
        else:
            values = pl.select(_NONE).to_series().new_from_index(0, rows.height)
        done.append(pl.DataFrame({"row": rows["row"], "values": values}))
    if not done:
        return pl.Series("values", [], dtype=pl.List(pl.String))
    return pl.concat(done).sort("row")["values"]


def _mined(message: pl.Expr) -> pl.Expr:
    """The part of a message that its template speaks of: the first line, within the limit on its length."""
    line = (
        pl.when(message.str.contains("\n", literal=True)).then(message.str.extract(r"^\n*([^\n]*)")).otherwise(message)
    )
    long = line.str.len_bytes() > Limits.line
    return pl.when(long & (line.str.len_chars() > Limits.line)).then(line.str.head(Limits.line) + CUT).otherwise(line)


def _note_fractions(frame: pl.DataFrame, digits: dict[int, int]) -> None:
    """Note how many digits of a second the times of each file need: 0, 3 or 6."""
    if "timestamp" not in frame.columns:
        return
    part = pl.col("timestamp").dt.microsecond()
    need = pl.when((part % 1000 != 0).any()).then(6).when((part != 0).any()).then(3).otherwise(0)
    for file, found in frame.group_by("file").agg(need).iter_rows():
        digits[file] = max(digits.get(file, 0), found)


def _json_lines(rows: pl.DataFrame) -> bytes:
    """Encode rows as JSON lines; the fields are JSON already and go in as they are.

    Args:
        rows: finished rows, with the digits of a second that their file's times have.
    """
    if "timestamp" in rows.columns:
        kinds = rows[_DIGITS].unique()
        time = pl.col("timestamp").dt
        texts = (pl.when(pl.col(_DIGITS) == kind).then(time.to_string(_FORMATS[kind])) for kind in kinds)
        rows = rows.with_columns(pl.coalesce(texts).alias("timestamp"))
    plain = [name for name in rows.columns if name not in ("fields", _DIGITS)]
    text = pl.struct(plain).struct.json_encode() if plain else pl.lit("{}")
    if "fields" in rows.columns:
        start = pl.concat_str(text.str.strip_suffix("}"), pl.lit(',"fields":' if plain else '"fields":'))
        text = pl.concat_str(start, pl.col("fields").fill_null("{}"), pl.lit("}"))
    return (str(rows.select(text.str.join("\n")).item()) + "\n").encode()
