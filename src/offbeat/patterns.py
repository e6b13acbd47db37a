"""patterns: what kinds of lines a log has, how often, since when, and what their variable parts hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.errors import OptionError
from offbeat.mine import Catalog, Miner, values
from offbeat.read import Logs

Progress = Callable[[str], None]

SORTS: Final = ("count", "rare", "new")
#: Points of a pattern's course over time: as many as a terminal has room for beside the template.
POINTS: Final = 24
#: Steps of time kept while reading; wider steps are taken when a log turns out to be longer.
_STEPS: Final = 512
#: Lines looked at for the values of one pattern, and of all together.
_SAMPLE: Final = 20_000
_SAMPLES: Final = 1_000_000
#: Matching takes time by the bytes of the lines and the parts of the template: half a second for so many together. Of
#: long lines fewer are looked at, but so many at least.
_EFFORT: Final = 10_000_000
_LEAST: Final = 100
_TOP: Final = 5
#: Rows that wait to be added up; adding up costs a group-by over all that is known.
_PENDING: Final = 200_000


@dataclass(frozen=True)
class Part:
    """What one variable part of a pattern holds.

    Attributes:
        kind: number, duration (seconds), size (bytes), ip, path, uuid, …; see ``mine.values``.
        distinct: different values among the lines sampled.
        top: the most frequent values and their counts.
        low, median, high: of numbers, durations and sizes; None of others.
    """

    kind: str
    distinct: int
    top: list[tuple[str, int]]
    low: float | None = None
    median: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Pattern:
    """One template with what is known about its lines.

    Attributes:
        code: in the catalog.
        template_id: its lasting id.
        template: its text.
        count: lines.
        share: of all events.
        first_seen, last_seen: UTC; None where no line of it has a time.
        new: the model that was given does not know it.
        file, line, example: its first line in input order.
        counts: its course from the log's beginning to its end, at most POINTS numbers.
    """

    code: int
    template_id: str
    template: str
    count: int
    share: float
    first_seen: datetime | None
    last_seen: datetime | None
    new: bool
    file: str
    line: int
    example: str
    counts: list[int]


@dataclass(frozen=True)
class Patterns:
    """All patterns of some logs, in the order asked for.

    Attributes:
        rows: the patterns.
        events: in all.
        start: time at which each ``counts`` begins; None where they go by events.
        step: width of a point, in seconds (or in events).
        catalog: the templates.
    """

    rows: list[Pattern]
    events: int
    start: datetime | None
    step: float
    catalog: Catalog
    logs: Logs

    def expand(self, rows: Sequence[Pattern], progress: Progress = lambda _: None) -> dict[int, tuple[int, list[Part]]]:
        """Read the logs again for the values of some patterns' variable parts.

        Args:
            rows: the patterns.
            progress: called with a few words on what is being done.

        Returns:
            By code: how many lines were looked at (an even sample where there are very many), and each part.
        """
        wanted = [row.code for row in rows if "<" in row.template]
        if not wanted:
            return {}
        progress("reading values")
        samples = _sample(self.logs, self.catalog, wanted)
        texts = {row.code: row.template for row in rows}
        out = {}
        for (code,), frame in samples.partition_by("code", as_dict=True).items():
            template = texts[int(code)]
            effort = int(frame["message"].str.len_bytes().sum()) * template.count("<") // frame.height
            messages = frame.sort("chance").head(max(_LEAST, _EFFORT // max(1, effort)))["message"]
            out[int(code)] = (len(messages), _parts_of(messages, template))
        return out


def find_patterns(
    logs: Logs, *, sort: str = "count", catalog: Catalog | None = None, progress: Progress = lambda _: None
) -> Patterns:
    """Read logs once and count their patterns.

    Args:
        logs: from ``open_logs``.
        sort: ``count`` (most frequent first), ``rare`` (rarest first) or ``new`` (first seen latest first; what a
            model does not know before all).
        catalog: templates of a model; None learns them from the logs.
        progress: called with a few words on what is being done.

    Raises:
        OptionError: ``sort`` is none of SORTS.
    """
    if sort not in SORTS:
        raise OptionError(f"{sort!r} is no order", where="--sort", hint="one of: " + ", ".join(SORTS))
    miner = Miner() if catalog is None else None
    encode = miner.encode if miner is not None else catalog.match  # type: ignore[union-attr]  # one of them is there
    totals, course = _Totals(), _Course()

    def prepare(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(Miner.shapes(frame["message"]).alias("code"))

    for frame in logs.batches(["file", "line", "timestamp", "message"], then=prepare):
        frame = frame.with_columns(encode(frame["code"]).alias("code"))
        course.add(frame, totals.events)
        totals.add(frame)
        progress(f"reading: {totals.events:,} events")
    if miner is not None:
        catalog = miner.learn()
    assert catalog is not None  # noqa: S101 - learned, or given
    to_template = miner.templates if miner is not None else (lambda codes: codes)
    found = _add_up(totals.frame().with_columns(to_template(pl.Series(totals.frame()["code"])).alias("code")))
    counts, start, step = course.points(to_template)
    rows = [_pattern(row, catalog, counts, totals.events, logs.files) for row in found.iter_rows(named=True)]
    return Patterns(_sorted(rows, sort), totals.events, start, step, catalog, logs)


def _pattern(
    row: dict[str, Any], catalog: Catalog, counts: dict[int, list[int]], events: int, files: Sequence[str]
) -> Pattern:
    code = row["code"]
    return Pattern(
        code=code,
        template_id=catalog.ids[code],
        template=catalog.texts[code],
        count=row["count"],
        share=row["count"] / events,
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        new=code >= catalog.known,
        file=files[row["file"]],
        line=row["line"],
        example=row["example"],
        counts=counts.get(code, []),
    )


def _sorted(rows: list[Pattern], sort: str) -> list[Pattern]:
    """Sort patterns; equal ones by where they are first seen (rows come in that order)."""
    if sort == "count":
        return sorted(rows, key=lambda row: -row.count)
    if sort == "rare":
        return sorted(rows, key=lambda row: row.count)
    latest = sorted(enumerate(rows), key=lambda pair: _age(pair[1], pair[0]))
    return [row for _, row in latest]


def _age(row: Pattern, place: int) -> tuple[bool, float, int]:
    """What sorts the newest pattern first."""
    return not row.new, -row.first_seen.timestamp() if row.first_seen is not None else 0.0, -place


_SUMS: Final = (
    pl.col("count").sum(),
    pl.col("first_seen").min(),
    pl.col("last_seen").max(),
    *(pl.col(name).first() for name in ("file", "line", "example")),
)


def _add_up(frame: pl.DataFrame) -> pl.DataFrame:
    """Add up rows of the same code; which come in the order of their first lines, and stay in it."""
    return frame.group_by("code", maintain_order=True).agg(*_SUMS)


class _Totals:
    """Counts by shape, first and last time, and the first line."""

    def __init__(self) -> None:
        self.events = 0
        self._frames: list[pl.DataFrame] = []
        self._waiting = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Take up a batch of events."""
        self.events += frame.height
        part = frame.group_by("code", maintain_order=True).agg(
            pl.len().cast(pl.UInt64).alias("count"),
            pl.col("timestamp").min().alias("first_seen"),
            pl.col("timestamp").max().alias("last_seen"),
            *(pl.col(name).first() for name in ("file", "line")),
            pl.col("message").first().alias("example"),
        )
        self._frames.append(part)
        self._waiting += part.height
        if self._waiting > _PENDING:
            self.frame()

    def frame(self) -> pl.DataFrame:
        """Return one row a code, in the order of their first lines."""
        whole = _add_up(pl.concat(self._frames))
        self._frames, self._waiting = [whole], 0
        return whole


class _Course:
    """Counts by shape and step of time, in steps that widen with the log; by events where there are no times."""

    def __init__(self) -> None:
        self.timed: bool | None = None
        self._step = 1
        self._frames: list[pl.DataFrame] = []
        self._waiting = 0

    def add(self, frame: pl.DataFrame, before: int) -> None:
        """Take up a batch of events, of which ``before`` came before."""
        if self.timed is None:
            self.timed = frame["timestamp"].null_count() < frame.height
        place = (
            pl.col("timestamp").dt.epoch("s") if self.timed else pl.int_range(before, before + pl.len(), dtype=pl.Int64)
        )
        part = frame.select("code", step=place // self._step).drop_nulls()
        part = part.group_by("code", "step").agg(pl.len().cast(pl.UInt32).alias("count"))
        self._frames.append(part)
        self._waiting += part.height
        if self._waiting > _PENDING:
            self._widen(_STEPS)

    def _widen(self, steps: int) -> pl.DataFrame:
        """Add up, in steps so wide that there are no more than ``steps``."""
        whole = pl.concat(self._frames)
        if whole.height:
            low, high = (int(x) for x in (whole["step"].to_numpy().min(), whole["step"].to_numpy().max()))
            factor = 1
            while high // factor - low // factor >= steps:
                factor *= 2
            self._step *= factor
            whole = whole.with_columns(pl.col("step") // factor)
            whole = whole.group_by("code", "step").agg(pl.col("count").sum())
        self._frames, self._waiting = [whole], 0
        return whole

    def points(
        self, to_template: Callable[[pl.Series], pl.Series]
    ) -> tuple[dict[int, list[int]], datetime | None, float]:
        """Return each template's counts over the whole log, when they begin, and the width of a point."""
        whole = self._widen(_STEPS)
        if whole.is_empty():
            return {}, None, 0.0
        whole = whole.with_columns(to_template(whole["code"]).alias("code"))
        step = whole["step"].to_numpy()
        low, span = int(step.min()), int(step.max() - step.min()) + 1
        points = min(POINTS, span)
        at = ((step - low) * points) // span
        codes, row = np.unique(whole["code"].to_numpy(), return_inverse=True)
        table = np.zeros((len(codes), points), dtype=np.int64)
        np.add.at(table, (row, at), whole["count"].to_numpy())
        start = pl.Series([low * self._step * 1_000_000]).cast(pl.Datetime("us", "UTC"))[0] if self.timed else None
        return dict(zip(codes.tolist(), table.tolist(), strict=True)), start, span * self._step / points


def _sample(logs: Logs, catalog: Catalog, wanted: list[int]) -> pl.DataFrame:
    """Read messages of some templates: all, or an even sample that depends on nothing but the lines' numbers."""
    size = min(_SAMPLE, max(100, _SAMPLES // len(wanted)))
    codes = pl.Series(wanted, dtype=pl.UInt32).implode()
    # Knuth's multiplicative hash of the line's number (The Art of Computer Programming, vol. 3, 6.4).
    chance = (pl.col("line").cast(pl.UInt64) + pl.col("file").cast(pl.UInt64) * 7919) * 2654435761 % 2**32
    kept: list[pl.DataFrame] = []

    def prepare(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(Miner.shapes(frame["message"]).alias("code"), chance.alias("chance"))

    def fewer() -> pl.DataFrame:
        rank = pl.col("chance").rank("ordinal").over("code")
        return pl.concat(kept).filter(rank <= size)

    waiting = 0
    for frame in logs.batches(["file", "line", "message"], then=prepare):
        frame = frame.with_columns(catalog.match(frame["code"]).alias("code"))
        frame = frame.filter(pl.col("code").is_in(codes)).select("code", "chance", "message")
        kept.append(frame)
        waiting += frame.height
        if waiting > _SAMPLES:
            kept, waiting = [fewer()], 0
    return fewer()


def _parts_of(messages: pl.Series, template: str) -> list[Part]:
    found = values(messages, template)
    parts = []
    for text, typed, kind in zip(found.text, found.typed, found.kinds, strict=True):
        seen = text.drop_nulls()
        counts = seen.rename("value").value_counts().sort("count", "value", descending=[True, False])
        numbers = typed.drop_nulls() if typed.dtype == pl.Float64 else None
        spread: list[Any] = []
        if numbers is not None and len(numbers):
            spread = [numbers.min(), numbers.median(), numbers.max()]
        parts.append(Part(kind, counts.height, counts.head(_TOP).rows(), *spread))
    return parts
