"""The past of a run: its units and its events, read again from the log, or made up from what the run keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from offbeat import bundle, saving
from offbeat.codes import Sources
from offbeat.detect.bursts import address_field
from offbeat.detect.values import value_field
from offbeat.errors import InputError, ModelError
from offbeat.group import Grouping
from offbeat.group.sessions import POSITION_BITS
from offbeat.intake import Data, Intake, Options
from offbeat.learn import dealt
from offbeat.lineage import renamed
from offbeat.mine import Catalog
from offbeat.proposal.literals import Corpus
from offbeat.rules.match import Matcher
from offbeat.ruling import asked
from offbeat.schema import TIME, owned
from offbeat.scored import Placed, told

#: Events of a log that are kept in memory once they were read, for further proposals.
_KEPT: Final = 400_000
#: Units searched: all that are anomalies, and of the others evenly so many.
_SEARCHED: Final = 100_000
_FIELDS: Final = "fields."


@dataclass
class Past:
    """What a proposed rule is tried on.

    Attributes:
        findings: of the run.
        units: one row a unit: ``key``, ``start``, ``end``, ``templates``, ``is_anomaly``, ``weight``; from the log also
            ``timestamps`` and ``values``.
        places: which unit each event belongs to: ``place`` (file << 40 | line) and ``unit`` (row of ``units``).
        target: by finding, the row of its strangest unit.
        texts: of the templates by code.
        unit: the word for a unit.
        by: the field that tells units apart.
        value, usages: the field that holds the number of an event, and those of its use of resources.
        why_not: why the log is not at hand; None where it was read.
        parts: of a run that was judged by itself, which part each unit is in, shape (units,): it was judged by the
            others. None of any other run, or where labels had a say in it.
        series: counts over time, as the run keeps them.
    """

    findings: list[dict[str, Any]]
    units: pl.DataFrame
    places: pl.DataFrame
    target: dict[str, int]
    evidence: pl.DataFrame
    texts: Sequence[str]
    unit: str
    series: pl.DataFrame
    by: str = "offbeat.session"
    value: str = "offbeat.value"
    usages: Sequence[str] = ()
    address: str = "src_ip"
    why_not: str | None = None
    formats: Sequence[str | None] = ()
    parts: NDArray[np.int64] | None = None
    _intake: Intake | None = field(default=None, repr=False)
    _known: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False)
    _catalog: Catalog | None = field(default=None, repr=False)
    _events: list[pl.DataFrame] | None = field(default=None, repr=False)
    _kept: list[pl.DataFrame] = field(default_factory=list, repr=False)
    _of: tuple[list[str], list[str]] | None = None

    @classmethod
    def open(cls, path: str | Path, data: Data | None = None, mask_key: bytes | None = None) -> Self:
        """Read a run, and its log again where that is at hand.

        Args:
            path: of the run.
            data: the log, where it lies elsewhere now or was a frame; as for ``Pipeline.score``.
            mask_key: what personal data were hashed with.

        Raises:
            ModelError: it is no run, or damaged.
            InputError: ``data`` is not the log that the run is about.
        """
        values, frames, others, _ = bundle.read(path, bundle.RUN)
        try:
            found = [orjson.loads(line) for line in others.get("findings.jsonl", b"").splitlines()]
            model, files = values["learned"], values["summary"].get("files", [])
            saving.check_key(model["masked"], mask_key if model["masked"] else None, str(path))
        except bundle.FOREIGN:
            raise ModelError("holds too little to propose rules", where=str(path)) from None
        except ModelError:
            return cls._saved(found, values, frames, "it was masked")
        given = data if data is not None else _files(files)
        if given is None or f"{saving.IN_RUN}ids" in frames:
            return cls._saved(found, values, frames, "it is not where it was" if given is None else "there is none")
        made = cls._read(found, values, frames, given, mask_key)
        if made is None and data is not None:
            raise InputError("is not the log that the run is about", where="log", hint="name the same files")
        return made or cls._saved(found, values, frames, "it has changed since")

    @classmethod
    def _read(
        cls,
        found: list[dict[str, Any]],
        values: Mapping[str, Any],
        frames: Mapping[str, pl.DataFrame],
        data: Data,
        mask_key: bytes | None,
    ) -> Self | None:
        model, scores = values["learned"], frames["scores"]
        grouping = Grouping.from_dict(model["grouping"])
        mine = {name.removeprefix(saving.IN_RUN): frame for name, frame in frames.items()}
        catalog = Catalog.from_frames({k.removeprefix("catalog-"): v for k, v in mine.items() if k.startswith("cat")})
        intake = Intake(data, Options(**model["options"]), mask_key)
        placed, parts = Placed(), []
        for part in intake.units(grouping, catalog.match, Sources(model["sources"])):
            placed.add(part)
            lists = [name for name in ("templates", "timestamps", "values") if name in part.columns]
            parts.append(part.select(owned(part["key"]), "start", "end", "file", "first_line", *lists))
        units = renamed(pl.concat(parts), intake.generalise(catalog))
        same = ["key", "file", "first_line"]
        # They may lie elsewhere now, but come in the same order.
        names = {name: i for i, name in enumerate(values["summary"].get("files", ()))}
        number = pl.col("file").replace_strict(names, default=0, return_dtype=pl.UInt16)
        judged = scores.with_row_index("row").select(
            "row", "key", number, "first_line", "score", "p_value", "is_anomaly"
        )
        units = units.join(judged.unique(same), on=same, how="left", maintain_order="left")
        if units.height != scores.height or units["row"].null_count():
            return None
        by_others = values.get("itself") and not model["summary"]["known_anomalies"]
        row_of = dict(zip(units["row"].to_list(), range(units.height), strict=True))
        worst = frames["units"]
        fields = intake.fields
        key = grouping.key
        return cls(
            findings=found,
            units=units.with_columns(weight=pl.lit(1.0)),
            places=placed.table.select("place", "unit"),
            target={name: row_of[row] for name, row in worst.select("id", "unit").rows()} if worst.height else {},
            evidence=worst,
            texts=catalog.texts,
            unit=values["unit"],
            series=frames["series"],
            by=key.name if key is not None and key.is_field and grouping.window is None else "offbeat.session",
            value=value_field(fields) or "offbeat.value",
            usages=intake.numbers.get("usage", ()),
            address=address_field(fields) or "src_ip",
            formats=[sniffed.layout for sniffed in intake.logs.sniffed] if intake.logs else (),
            parts=dealt(units.height, model["seed"])[units["row"].to_numpy()] if by_others else None,
            _intake=intake,
            _known=placed.known(units),
            _catalog=catalog,
        )

    @classmethod
    def _saved(
        cls, found: list[dict[str, Any]], values: Mapping[str, Any], frames: Mapping[str, pl.DataFrame], why: str
    ) -> Self:
        """Make up events from the most frequent sequences that were learned from, and the findings' units."""
        worst = frames["units"]
        usual = frames.get(f"{saving.IN_RUN}usual", pl.DataFrame())
        parts = [usual.select("templates", "weight", is_anomaly=pl.lit(False))] if usual.height else []
        if worst.height:
            parts.append(worst.select("templates", weight=pl.lit(1.0), is_anomaly=pl.lit(True)))
        empty = pl.DataFrame(schema={"templates": pl.List(pl.UInt32), "weight": pl.Float64, "is_anomaly": pl.Boolean})
        units = pl.concat([empty, *parts])
        names = worst["id"].to_list() if worst.height else []
        units = units.with_columns(key=pl.format("{} {}", pl.lit(values["unit"]), pl.int_range(1, pl.len() + 1)))
        texts = frames["texts"]["template"].to_list()
        lengths = units["templates"].list.len().to_numpy()
        events = _made_up(units, texts)
        owner = pl.Series("unit", np.repeat(np.arange(units.height, dtype=np.uint32), lengths))
        return cls(
            findings=found,
            units=units.with_columns(
                start=events[0], end=events[0] + pl.duration(seconds=pl.col("templates").list.len())
            ),
            places=pl.DataFrame({"place": events[1]["line"].cast(pl.UInt64), "unit": owner}),
            target={name: units.height - len(names) + i for i, name in enumerate(names)},
            evidence=worst,
            texts=texts,
            unit=values["unit"],
            series=frames["series"],
            why_not=why,
            _events=[events[1]],
        )

    @property
    def timed(self) -> bool:
        """Whether its events have times, without which several of them cannot be joined by a rule."""
        return self.units["start"].null_count() < self.units.height

    @property
    def seconds(self) -> float:
        """How long the longest unit lasts."""
        longest: Any = (self.units["end"] - self.units["start"]).dt.total_microseconds().max()
        return float(longest or 0) / 1e6

    def corpus(self, unit: int) -> tuple[Corpus, int]:
        """Return the units to search in, and where among them ``unit`` is; of very many normal ones a part."""
        units = self.units.with_row_index("at")
        if units.height > _SEARCHED:
            step = units.height // _SEARCHED + 1
            units = units.filter((pl.col("at") % step == 0) | pl.col("is_anomaly") | (pl.col("at") == unit))
        lengths = units["templates"].list.len().to_numpy()
        numbers: dict[str, Any] = {"values": None, "gaps": None}
        if "values" in units.columns:
            numbers["values"] = _flat(units["values"].cast(pl.List(pl.Float64)))
        if "timestamps" in units.columns and self.timed:
            gaps = units["timestamps"].list.eval(pl.element().diff().dt.total_microseconds() / 1e6)
            numbers["gaps"] = _flat(gaps)
        made = Corpus(
            ids=units["templates"].explode(empty_as_null=False).cast(pl.Int64).to_numpy(),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            weight=units["weight"].to_numpy(),
            normal=~units["is_anomaly"].to_numpy() & (units["at"].to_numpy() != unit),
            **numbers,
        )
        return made, int(units["at"].search_sorted(unit))

    def frames(self, matchers: Sequence[Matcher]) -> Iterator[pl.DataFrame]:
        """Yield the events, with ``offbeat.NAME`` columns and the fields that rules ask for."""
        if self._events is not None:
            yield from self._events
            return
        assert self._intake is not None  # noqa: S101 - either is there
        assert self._catalog is not None  # noqa: S101 - opened with the run
        asked_for = self._asked(matchers)
        if asked_for == self._of:
            yield from self._kept
            return
        kept: list[pl.DataFrame] | None = []
        rows = 0
        for frame in self._batches(*asked_for):
            full = told(frame, self._known, self._catalog, ("offbeat.value", "offbeat.address"))
            rows += full.height
            kept = [*kept, full] if kept is not None and rows <= _KEPT else None
            yield full
        if kept is not None:
            self._kept, self._of = kept, asked_for

    def _asked(self, matchers: Sequence[Matcher]) -> tuple[list[str], list[str]]:
        """Return the columns and the fields to read for rules."""
        columns: list[str] = []
        names: set[str] = set()
        logs = self._intake.logs if self._intake is not None else None
        for matcher in matchers:
            if logs is None:  # a frame is there as it is
                break
            more, fields = asked(logs, matcher)
            columns += [name for name in more if name not in columns]
            names |= set(fields)
        return columns, sorted(names)

    def _batches(self, columns: list[str], names: list[str]) -> Iterator[pl.DataFrame]:
        assert self._intake is not None  # noqa: S101 - callers ask
        if self._intake.logs is None:
            yield from self._intake.frames()
        else:
            yield from self._intake.logs.batches(columns, names)


def _flat(lists: pl.Series) -> Any:
    return lists.explode(empty_as_null=False).cast(pl.Float64).fill_null(np.nan).to_numpy()


def _files(names: Sequence[str]) -> list[str] | None:
    """Return the files of a run where all are still there."""
    return list(names) if names and all(Path(name).is_file() for name in names) else None


def _made_up(units: pl.DataFrame, texts: Sequence[str]) -> tuple[datetime, pl.DataFrame]:
    """Return when all units start, and their events: a template's text for its message, a second apart."""
    start = datetime(2000, 1, 1, tzinfo=UTC)
    long = units.select(
        pl.col("key").alias("offbeat.session"), second=pl.int_ranges(pl.col("templates").list.len()), code="templates"
    )
    long = long.explode("second", "code", empty_as_null=False)
    message = pl.Series(texts, dtype=pl.String).gather(long["code"])
    events = long.select(
        "offbeat.session",
        file=pl.lit(0, pl.UInt16),
        line=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32),
        timestamp=(pl.lit(start) + pl.duration(seconds="second")).cast(TIME),
        level=pl.lit(0, pl.UInt8),
        source=pl.lit(None, pl.String),
        message=message,
    )
    place = events["line"].cast(pl.UInt64).alias("place")
    return start, events.with_columns(place, message.alias("offbeat.template"))


def unit_places(frame: pl.DataFrame) -> pl.Series:
    """Return the place of each event, file << 40 | line."""
    return frame.select(pl.col("file").cast(pl.UInt64) * 2**POSITION_BITS + pl.col("line").cast(pl.UInt64)).to_series()
