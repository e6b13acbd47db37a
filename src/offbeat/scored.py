"""Rules that read what the models know: a second pass over the log, once its units are scored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

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
            places = units["rows"].explode(empty_as_null=False)
            self._parts.append(pl.DataFrame({"place": places.cast(pl.UInt64), "unit": owner}))

    def known(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Return what the models know of each event, of its strangest unit where it has several.

        Args:
            scores: one row a unit: ``key``, ``score``, ``p_value``.
        """
        if not self._parts:
            return pl.DataFrame(schema={"place": pl.UInt64})
        rows = pl.concat(self._parts)
        unit = rows["unit"]
        named = rows.select("place").with_columns(
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
    texts = pl.Series(catalog.texts, dtype=pl.String)
    ids = catalog.frame["template_id"]
    for frame in _again(ruling, intake):
        place = (pl.col("file").cast(pl.UInt64) * 2**POSITION_BITS) + pl.col("line").cast(pl.UInt64)
        code = catalog.match(Miner.shapes(frame["message"]))
        full = (
            frame.with_columns(place=place)
            .join(known, on="place", how="left", maintain_order="left")
            .with_columns(
                texts.gather(code).alias("offbeat.template"),
                ids.gather(code).alias("offbeat.template_id"),
                (code >= catalog.known).cast(pl.String).alias("offbeat.new_template"),
            )
        )
        ruling.look(full)
        ruling.take(full)
    ruling.finish()


def _again(ruling: Ruling, intake: Intake) -> Iterator[pl.DataFrame]:
    if intake.logs is None:
        yield from intake.frames()
        return
    yield from intake.logs.batches(*ruling.asked(intake.logs))
