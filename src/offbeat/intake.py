"""Whatever the user has - files, lines, frames, lists of ids - becomes SEQUENCES."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from offbeat.codes import Ids, Sources, as_lists, lists_beside
from offbeat.detect.bursts import address_field, addresses
from offbeat.detect.features import number_fields
from offbeat.detect.values import main_values, value_field
from offbeat.errors import InputError, NotEnoughDataError, OptionError
from offbeat.group import IDLE_SECONDS, Grouping, find_key, parse_key, parse_window
from offbeat.group.keys import no_key, worth_trying
from offbeat.lives import Lives
from offbeat.mine import Catalog, Miner, generalise
from offbeat.read import Lines, Logs, events_from_frame, open_logs
from offbeat.read.mask import masker
from offbeat.ruling import Ruling
from offbeat.schema import SEQUENCES, TIME
from offbeat.tally import Tally
from offbeat.watch import Watch

#: Windows of this many events where no key is found, and fewer where the log is so short that there would be few: by
#: the number of events below which each size is taken.
WINDOW = 100
_SMALLER = ((200, 5), (2_000, 10), (10_000, 20), (40_000, 50))
#: Events looked at to find a key.
_SAMPLED = 20_000


@dataclass(frozen=True)
class Options:
    """How to read and group; remembered by a model, and a flag that contradicts it is an error."""

    format: str | None = None
    session_by: str | None = None
    window: str | None = None
    idle: str | None = None
    tz: str | None = None
    dedupe: bool = False

    def joined(self, later: Options) -> Options:
        """Return these options for a second use; raises OptionError where ``later`` says something else."""
        for name, value in asdict(later).items():
            mine = getattr(self, name)
            if value not in (None, False) and value != mine:
                flag = "--" + name.replace("_", "-")
                said = f"was learned with {flag} {mine}" if mine else f"was learned without {flag}"
                raise OptionError(f"{value!r} contradicts the model, which {said}", where=flag, hint="leave it out")
        return self


Data = Any
"""Paths, lines, frames of events, or sequences of ids; see ``Intake``."""


@dataclass
class Intake:
    """One input, opened.

    ``data`` may be a path, folder, glob or ``-``, or several; ``Lines``; a list of lines; a Polars or pandas frame of
    events (``events_from_frame``); a Polars frame with a column ``templates`` of lists (ids, or the templates' texts,
    with optional ``key``, ``start``, ``end``, ``open_at_end`` and ``weight``, and for the views that read them further
    lists as long as those: ``timestamps``, ``levels``, ``sources`` by name, ``values``); or a list of lists of ids.
    """

    data: Data
    options: Options
    mask_key: bytes | None = None
    logs: Logs | None = None
    without_key: int = 0
    events: int = 0
    tally: Tally = field(default_factory=Tally, repr=False)
    watch: Watch = field(default_factory=Watch, repr=False)
    lives: Lives = field(default_factory=Lives, repr=False)
    ruling: Ruling | None = field(default=None, repr=False)
    _frame: pl.DataFrame | None = field(default=None, repr=False)
    _sequences: pl.DataFrame | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        data: Any = self.data.collect() if isinstance(self.data, pl.LazyFrame) else self.data
        if isinstance(data, pl.DataFrame) and "templates" in data.columns:
            if not isinstance(data.schema["templates"], pl.List):
                raise InputError(f"is {data.schema['templates']}, not lists of ids", where="column 'templates'")
            self._sequences = data
        elif _is_frame(data):
            self._frame = _masked(events_from_frame(data), self.mask_key)
        elif isinstance(data, Sequence) and not isinstance(data, str) and len(data) and _is_ids(data[0]):
            names = [[str(x) for x in unit] for unit in data]
            self._sequences = pl.DataFrame({"templates": names}, schema={"templates": pl.List(pl.String)})
        elif isinstance(data, (str, os.PathLike, Sequence)):
            self.logs = self._open(data)
        else:
            kind = type(data).__name__
            raise InputError(f"{kind} is no input", where="data", hint="paths, lines, a frame, or lists of ids")

    def _open(self, data: Any) -> Logs:
        opened = data if isinstance(data, Lines) else Lines(list(data)) if _are_lines(data) else data
        o = self.options
        return open_logs(opened, format=o.format, tz=o.tz, dedupe=o.dedupe, mask_key=self.mask_key)

    def again(self) -> Intake:
        """Return the same input to be read once more, with nothing gathered yet; rules are not looked for again."""
        fresh = copy(self)
        fresh.without_key = fresh.events = 0
        fresh.tally, fresh.watch, fresh.lives = Tally(), Watch(before=self.watch.before), Lives()
        return fresh

    @property
    def is_ids(self) -> bool:
        """Whether the data are sequences of ids already."""
        return self._sequences is not None

    @property
    def messages(self) -> pl.Series | None:
        """The messages of a frame handed in, by row; None for files, which are read again for the lines shown."""
        return None if self._frame is None else self._frame["message"]

    @property
    def fields(self) -> dict[str, str]:
        """The fields that the formats of the files name, with their kinds."""
        if self._frame is not None:
            return {c.removeprefix("fields."): "text" for c in self._frame.columns if c.startswith("fields.")}
        return {name: kind for s in self.logs.sniffed for name, kind in s.fields.items()} if self.logs else {}

    @property
    def numbers(self) -> dict[str, list[str]]:
        """The fields of error codes and of use of resources; see ``features.number_fields``."""
        return number_fields(self.fields, value_field(self.fields))

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the events of a frame handed in, in parts; nothing for files."""
        if self._frame is not None:
            yield from self._frame.iter_slices(262_144)

    def sample(self, fields: Sequence[str]) -> pl.DataFrame:
        """Return the first events with their messages and some fields."""
        if self._frame is not None:
            return self._frame
        assert self.logs is not None  # noqa: S101 - sequences have no events to sample
        for frame in self.logs.batches(["message", "source"], fields):
            return frame
        raise InputError("holds no events", where=", ".join(self.logs.files) or "input")

    def _count_to(self, enough: int) -> int:
        """Return how many events there are, or some number from ``enough`` on; one block alone says too little."""
        if self._frame is not None or self.logs is None:
            return 0 if self._frame is None else self._frame.height
        count = 0
        for frame in self.logs.batches(["line"]):
            count += frame.height
            if count >= enough:
                break
        return count

    def grouping(self) -> Grouping:
        """Decide how to group: as the options say, else by a key found by itself, else windows."""
        o = self.options
        if self.is_ids:
            return Grouping(None, None, None, "sequences as given")
        window = parse_window(o.window) if o.window else None
        idle = _microseconds(o.idle) if o.idle else None
        if o.session_by:
            key = parse_key(o.session_by, self.fields)
            if window is None and idle is None and key.entity:
                idle = IDLE_SECONDS * 1_000_000
            return Grouping(key, window, idle, f"by {o.session_by}, as asked")
        if window is not None:
            return Grouping(None, window, None, f"windows of {o.window}, as asked")
        first = self.sample(worth_trying(self.fields))
        found, reason = find_key(first.head(_SAMPLED), self.fields)
        if found is None:
            count = self._count_to(_SMALLER[-1][0])
            size = next((size for most, size in _SMALLER if count < most), WINDOW)
            return Grouping(None, size, None, f"windows of {size} lines, for {reason}")
        if idle is None and found.entity:
            idle = IDLE_SECONDS * 1_000_000
        return Grouping(found, None, idle, reason)

    def _batches(self, grouping: Grouping) -> Iterator[pl.DataFrame]:
        """Yield events with ``shape``, ``value`` and, where grouping needs them, ``keys`` instead of the message."""
        key, number, origin = grouping.key, value_field(self.fields), address_field(self.fields)
        numbers = self.numbers

        ruling = self.ruling if self.ruling is not None and not self.ruling.scored else None

        def prepare(frame: pl.DataFrame) -> pl.DataFrame:
            if ruling is not None:
                ruling.look(frame)
            shapes = Miner.shapes(frame["message"]).alias("shape")
            if number is None:
                value = main_values(frame["message"], shapes)
            else:
                value = frame[f"fields.{number}"].cast(pl.Float64, strict=False).alias("value")
            address = addresses(frame["message"]) if origin is None else frame[f"fields.{origin}"]
            keys = [key.lists().alias("keys")] if key else []
            kept = frame.select("file", "line", "timestamp", "level", "source", *keys)
            beside = [_first_number(frame, fields).alias(name) for name, fields in numbers.items()]
            return kept.with_columns(shapes, value, address.alias("address"), *beside)

        if self._frame is not None:
            for part in self.frames():
                yield prepare(part)
            return
        assert self.logs is not None  # noqa: S101 - the third kind of data has no events
        columns = ["file", "line", "timestamp", "level", "source", "message"]
        wanted = [key.name] if key and key.is_field and key.column != key.name else []
        others = [name for fields in numbers.values() for name in fields]
        wanted += [name for name in dict.fromkeys((number, origin, *others)) if name and name not in wanted]
        if ruling is not None:
            more, fields = ruling.asked(self.logs)
            columns = [*columns, *(name for name in more if name not in columns)]
            wanted += [name for name in fields if name not in wanted]
        yield from self.logs.batches(columns, wanted, then=prepare)

    def units(
        self, grouping: Grouping, code: Callable[[pl.Series], pl.Series], sources: Sources
    ) -> Iterator[pl.DataFrame]:
        """Yield SEQUENCES as they close.

        Args:
            grouping: how to group.
            code: shapes to codes; shape codes while learning, template codes with a catalog.
            sources: grows with the names met.
        """
        grouper = grouping.new(self.numbers)
        for frame in self._batches(grouping):
            self.events += frame.height
            frame = frame.with_columns(template=code(frame["shape"]), source=sources.encode(frame["source"]))
            self.tally.add(frame)
            self.watch.add(frame)
            self.lives.add(frame)
            if self.ruling is not None and not self.ruling.scored:
                self.ruling.take(frame)
            closed = grouper.push(frame.drop("shape", "address"))
            if closed is not None:
                yield closed
        if self.events == 0:
            raise InputError("holds no events", where=", ".join(self.logs.files) if self.logs else "input")
        if self.ruling is not None and not self.ruling.scored:
            self.ruling.finish()
        self.without_key = grouper.without_key
        if grouping.key and self.without_key >= self.events:
            raise no_key(grouping.key, self.fields)
        if isinstance(grouping.window, str) and self.without_key >= self.events:
            raise OptionError(
                "windows by time need times, and no line has one", where="--window", hint="a number of lines, as in 100"
            )
        yield grouper.flush()

    def generalise(self, catalog: Catalog) -> dict[int, int]:
        """Make one of the templates met after learning that are one statement, in all that was counted by template.

        Returns:
            The codes that stand for nothing from now on, and those they became; after ``units`` ran to its end.
        """
        if len(catalog) - len(catalog.merged) - catalog.known < 2:
            return {}
        counts = self.lives.frame().group_by("template").agg(pl.col("events").sum())
        merged = generalise(catalog, dict(counts.iter_rows()))
        if merged:
            for counted in (self.tally, self.watch, self.lives):
                counted.rename(lambda codes: codes.replace(merged))
        return merged

    def as_summary(self, units: int, catalog: Catalog | Ids) -> dict[str, Any]:
        """Return what was read and how it was grouped, for a report: counts, after ``units`` ran to its end."""
        merged = catalog.merged if isinstance(catalog, Catalog) else {}
        return {
            "files": list(self.logs.files) if self.logs else [],
            "read": self.logs.summary.as_dict() if self.logs else {"events": self.events},
            "events": self.events,
            "units": units,
            "templates": len(catalog.texts) - len(merged),
            "new_templates": len(catalog.texts) - len(merged) - catalog.known,
            "without_key": self.without_key,
        }

    def sequences(self, ids: Ids, sources: Sources | None = None) -> pl.DataFrame:
        """Return sequences of ids as SEQUENCES with the lists that came with them, growing ``ids`` and ``sources``.

        Raises:
            InputError: a list is not as long as the ids it goes with.
            NotEnoughDataError: there is no sequence.
        """
        assert self._sequences is not None  # noqa: S101 - callers ask is_ids first
        given = self._sequences
        n = given.height
        if n == 0:
            raise NotEnoughDataError("there is no sequence", where="input")
        flat = given["templates"].explode(empty_as_null=False)
        lengths = given["templates"].list.len().fill_null(0).to_numpy()
        codes = ids.encode(flat)
        made = pl.DataFrame({"i": pl.Series(range(n), dtype=pl.UInt32), "templates": as_lists(codes, lengths)})
        self.events = int(lengths.sum())
        start = given["start"].cast(TIME) if "start" in given.columns else pl.repeat(None, n, dtype=TIME, eager=True)
        owner = pl.Series("i", np.repeat(np.arange(n), lengths), dtype=pl.UInt32)
        zero = {"level": pl.lit(0, pl.UInt8), "file": pl.lit(0, pl.UInt16)}
        events = pl.DataFrame({"template": codes, "line": owner + 1, "timestamp": start.gather(owner)})
        self.tally.add(events.with_columns(**zero))
        self.lives.add(events.with_columns(**zero, source=pl.lit(0, pl.UInt32)))
        number = pl.col("i").cast(pl.String)
        columns = {
            "key": number,
            "start": pl.lit(None, SEQUENCES["start"]),
            "end": pl.lit(None, SEQUENCES["end"]),
            "open_at_end": pl.lit(False),
        }
        kept = {c: given[c] for c in ("key", "start", "end", "open_at_end", "weight") if c in given.columns}
        return made.with_columns(
            file=pl.lit(0, pl.UInt16),
            first_line=pl.col("i") + 1,
            last_line=pl.col("i") + 1,
            events=pl.Series(lengths, dtype=pl.UInt32),
            **{c: kept[c].cast(SEQUENCES.get(c, pl.Float64())) if c in kept else e for c, e in columns.items()},
            **({"weight": kept["weight"].cast(pl.Float64)} if "weight" in kept else {}),
        ).select(
            pl.col("key").fill_null(number),
            *list(SEQUENCES)[1:],
            *(["weight"] if "weight" in kept else []),
            *lists_beside(given, lengths, Sources() if sources is None else sources),
        )


def learn_units(
    intake: Intake, grouping: Grouping, sources: Sources, known: Catalog | None = None
) -> tuple[pl.DataFrame, Catalog]:
    """Read everything once: mine templates and gather units.

    Args:
        intake: the input.
        grouping: how to group.
        sources: grows with the names met.
        known: a catalog to go on from; its codes keep their meaning.

    Returns:
        SEQUENCES with template codes, and the catalog.
    """
    miner = Miner(catalog=known)
    units = pl.concat(list(intake.units(grouping, miner.encode, sources)))
    catalog = miner.learn()
    intake.tally.rename(miner.templates)
    intake.watch.rename(miner.templates)
    intake.lives.rename(miner.templates)
    flat = miner.templates(units["templates"].explode(empty_as_null=False))
    return units.with_columns(as_lists(flat, units["events"].to_numpy()).alias("templates")), catalog


def _first_number(frame: pl.DataFrame, fields: Sequence[str]) -> pl.Series:
    """Return the first number that each event has among some fields, Float64."""
    numbers = [pl.col(f"fields.{name}").cast(pl.Float64, strict=False) for name in fields]
    return frame.select(pl.coalesce(numbers)).to_series()


def _microseconds(text: str) -> int:
    parsed = parse_window(text)
    if isinstance(parsed, int):
        raise OptionError(f"{text!r} is no stretch of time", where="--idle", hint="30s, 10m or 2h")
    return int(parsed.removesuffix("us"))


def _is_frame(data: Data) -> bool:
    return isinstance(data, pl.DataFrame) or type(data).__module__.split(".")[0] == "pandas"


def _is_ids(item: Any) -> bool:
    return isinstance(item, (list, tuple, np.ndarray, pl.Series))


def _are_lines(data: Data) -> bool:
    """Whether a list of strings is lines of a log rather than names of files."""
    if not isinstance(data, Sequence) or isinstance(data, str) or any(isinstance(d, os.PathLike) for d in data):
        return False
    # Unlike Path.exists, this takes a line too long for a name, or with NUL in it, for what it is.
    return any(len(d) > 255 or " " in d for d in data) and not any(os.path.exists(d) for d in data[:20])  # noqa: PTH110 - see above


def _masked(events: pl.DataFrame, key: bytes | None) -> pl.DataFrame:
    """Mask every text of a frame handed in; files are masked as they are read."""
    if key is None:
        return events
    mask = masker(key)
    return events.with_columns(mask(events[name]) for name, kind in events.schema.items() if kind == pl.String)
