"""Rules that read what the models know: a second pass over the log, once its units are scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from offbeat.detect.bursts import addresses
from offbeat.detect.values import main_values
from offbeat.group.sessions import POSITION_BITS
from offbeat.intake import Intake
from offbeat.mine import Catalog, Miner
from offbeat.ruling import Ruling


class Placed:
    """Which unit each event belongs to, gathered while units stream by."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._seen = 0

    def add(self, units: pl.DataFrame) -> None:
        """Take up SEQUENCES with ``rows``, in the order of the scores."""
        number = np.arange(self._seen, self._seen + units.height, dtype=np.uint32)
        self._seen += units.height
        if "rows" in units.columns:
            owner = np.repeat(number, units["events"].to_numpy())
            places = units["rows"].explode(empty_as_null=False).cast(pl.UInt64)
            part = pl.DataFrame({"place": places, "unit": owner})
            self._parts.append(part.with_columns(_gaps(units, len(places))))

    @property
    def table(self) -> pl.DataFrame:
        """One row an event of a unit: ``place``, ``unit`` (its row in the scores), ``gap`` (seconds since the last)."""
        empty = {"place": pl.UInt64(), "unit": pl.UInt32(), "gap": pl.Float64()}
        return pl.concat(self._parts) if self._parts else pl.DataFrame(schema=empty)

    def known(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Return what the models know of each event, of its strangest unit where it has several.

        Args:
            scores: one row a unit: ``key``, ``score``, ``p_value``.
        """
        rows = self.table
        unit = rows["unit"]
        named = rows.select("place", pl.col("gap").alias("offbeat.gap")).with_columns(
            scores["score"].gather(unit).alias("offbeat.score"),
            scores["p_value"].gather(unit).alias("offbeat.p_value"),
            scores["key"].gather(unit).alias("offbeat.session"),
        )
        return named.sort("offbeat.score", descending=True).unique("place", keep="first", maintain_order=True)


def judge(ruling: Ruling, intake: Intake, known: pl.DataFrame, catalog: Catalog) -> None:
    """Look for rules in a log whose units are scored.

    Args:
        ruling: what to look for; holds what was found afterwards.
        intake: the input, read a second time.
        known: of ``Placed.known``.
        catalog: the templates of its messages.
    """
    ruling.begin()
    for frame in _again(ruling, intake):
        full = told(frame, known, catalog, ruling.engine.matcher.fields)
        ruling.look(full)
        ruling.take(full)
    ruling.finish()


def told(frame: pl.DataFrame, known: pl.DataFrame, catalog: Catalog, wanted: Sequence[str]) -> pl.DataFrame:
    """Return events with ``place`` and what the models know of them, as ``offbeat.NAME`` columns.

    Args:
        frame: EVENTS, or some of its columns.
        known: of ``Placed.known``.
        catalog: the templates of the messages.
        wanted: fields; ``offbeat.value`` and ``offbeat.address`` are read from messages only if they are among them.
    """
    place = (pl.col("file").cast(pl.UInt64) * 2**POSITION_BITS) + pl.col("line").cast(pl.UInt64)
    shapes = Miner.shapes(frame["message"])
    code = catalog.match(shapes)
    texts, ids = pl.Series(catalog.texts, dtype=pl.String), pl.Series(catalog.ids, dtype=pl.String)
    return (
        frame.with_columns(place=place)
        .join(known, on="place", how="left", maintain_order="left")
        .with_columns(
            texts.gather(code).alias("offbeat.template"),
            ids.gather(code).alias("offbeat.template_id"),
            (code >= catalog.known).cast(pl.String).alias("offbeat.new_template"),
            *([main_values(frame["message"], shapes).alias("offbeat.value")] if "offbeat.value" in wanted else []),
            *([addresses(frame["message"]).alias("offbeat.address")] if "offbeat.address" in wanted else []),
        )
    )


def _gaps(units: pl.DataFrame, events: int) -> pl.Series:
    """Return the seconds between each event and the one before in its unit; null for the first, and without times."""
    if "timestamps" not in units.columns:
        return pl.repeat(None, events, dtype=pl.Float64, eager=True).alias("gap")
    gaps = units["timestamps"].list.eval(pl.element().diff().dt.total_microseconds() / 1e6)
    return gaps.explode(empty_as_null=False).cast(pl.Float64).alias("gap")


def _again(ruling: Ruling, intake: Intake) -> Iterator[pl.DataFrame]:
    if intake.logs is None:
        yield from intake.frames()
        return
    yield from intake.logs.batches(*ruling.asked(intake.logs))
