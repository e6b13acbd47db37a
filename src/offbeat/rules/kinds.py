"""Texts that are times or addresses."""

from __future__ import annotations

import ipaddress
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

#: Shapes of times in fields; the readers know more of them, but give the event's own time as a column.
_SHAPES: Final = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y/%m/%d %H:%M:%S%.f",
)


def as_written(values: pl.Series) -> pl.Series:
    """Return texts as times as they are written, without conversion of zones; null where they are none."""
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.replace_time_zone(None)
    texts = values.cast(pl.String).str.strip_chars()
    bare = texts.str.replace(r"(?:Z| ?[+-][0-9]{2}:?[0-9]{2})$", "")
    shapes = [shape.replace("%#z", "").replace(" %z", "") for shape in _SHAPES]
    tries = [bare.str.to_datetime(shape, strict=False, time_unit="us") for shape in dict.fromkeys(shapes)]
    dates = bare.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    epochs = texts.filter(texts.str.contains(r"^1[0-9]{9}(?:\.[0-9]+)?$"))
    found = pl.select(pl.coalesce([*tries, dates])).to_series()
    if epochs.is_empty():
        return found
    seconds = texts.str.extract(r"^(1[0-9]{9}(?:\.[0-9]+)?)$").cast(pl.Float64, strict=False)
    return pl.select(pl.coalesce(found, (seconds * 1e6).cast(pl.Int64).cast(pl.Datetime("us")))).to_series()


def where(fits: pl.Series) -> NDArray[np.int64]:
    """Return the places of what is true."""
    return np.asarray(fits.fill_null(False).arg_true().to_numpy(), dtype=np.int64)


def in_network(network: str, texts: pl.Series) -> NDArray[np.int64]:
    """Return where the addresses of a network are; version 4 by arithmetic, version 6 one by one."""
    net = ipaddress.ip_network(network)
    bare = texts.str.strip_chars().str.replace(r"^(?i)::ffff:", "")
    if net.version == 4:
        parts = bare.str.extract_groups(r"^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})$").struct.unnest()
        value = sum(pl.col(name).cast(pl.Int64) * 256 ** (3 - i) for i, name in enumerate(parts.columns))
        low, high = int(net.network_address), int(net.broadcast_address)
        valid = pl.all_horizontal(pl.all().cast(pl.Int64) <= 255)
        assert isinstance(value, pl.Expr)  # noqa: S101 - a sum of four
        return where(parts.select((valid & value.is_between(low, high)).alias("in")).to_series())
    places = where(bare.str.contains(r"^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%.*)?$"))
    return np.array([at for at in places if _inside(bare[int(at)], net)], dtype=np.int64)


def _inside(text: str, net: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(text) in net
    except ValueError:
        return False
