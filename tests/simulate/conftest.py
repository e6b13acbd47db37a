"""What the simulator's tests share."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from offbeat.simulate import Simulation


@pytest.fixture(scope="session")
def read() -> Callable[[Simulation], pl.DataFrame]:
    """Reads a simulated log with its labels beside it."""

    def reader(simulation: Simulation) -> pl.DataFrame:
        log = pl.read_ndjson(simulation.path, infer_schema_length=None)
        labels = pl.read_csv(simulation.labels, infer_schema_length=None)
        time = pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ")
        return pl.concat([log, labels], how="horizontal_extend").with_columns(time=time)

    return reader
