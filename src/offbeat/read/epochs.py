"""Times given as a number: seconds and their fractions since 1970, and TAI64N's labels."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]

_SECOND: Final = 1_000_000


def from_numbers(values: pl.Series) -> pl.Series:
    """Seconds, milli-, micro- or nanoseconds since 1970, told apart by size; null outside 1973 to 2286."""
    return epochs(values.cast(pl.Float64, strict=False), values.cast(pl.Int64, strict=False))


def from_tai(stamps: pl.Series) -> pl.Series:
    """Labels of TAI64N: ``@``, seconds from 2^62 on and nanoseconds in hexadecimal (cr.yp.to/libtai/tai64.html).

    Ten seconds are taken off, as the programs that write them add ten, whatever leap seconds there were since.
    """
    seconds = stamps.str.slice(2, 15).str.to_integer(base=16, strict=False) - 10
    nanos = stamps.str.slice(17, 8).str.to_integer(base=16, strict=False)
    micros = seconds * _SECOND + nanos // 1000
    return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias(stamps.name)


def epochs(floats: pl.Series, ints: pl.Series) -> pl.Series:
    """Times of numbers given as Float64 and, so that no digit is lost, as Int64; null where they are none."""
    floats_ = floats.to_numpy()
    whole = ints.fill_null(0).to_numpy()
    with np.errstate(invalid="ignore", over="ignore"):
        of_seconds, of_millis, of_micros, of_nanos = (
            (floats_ >= low) & (floats_ < high)
            for low, high in ((1e8, 1e10), (1e11, 1e13), (1e14, 1e16), (1e17, 9.2e18))
        )
        micros = np.where(of_seconds, (floats_ * 1e6).round(), 0).astype(np.int64)
        micros = np.where(of_millis, floats_ * 1e3, micros).astype(np.int64)
        micros = np.where(of_micros, whole, np.where(of_nanos, whole // 1000, micros))
    return to_series(micros, of_seconds | of_millis | of_micros | of_nanos)


def to_series(micros: Ints, good: npt.NDArray[np.bool_]) -> pl.Series:
    """Microseconds since 1970 as times, shape (n,); null where not ``good``."""
    series = pl.Series(micros)
    if not good.all():
        series = pl.select(pl.when(pl.Series(good)).then(series)).to_series()
    return series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
