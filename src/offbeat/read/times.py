"""Time stamps to UTC microseconds, vectorised.

Where a stamp's components stand at fixed places, the stamps of a block are read as a matrix of digits with numpy, which
costs about 40 ns a stamp; everything else goes through the stamp's regular expression, on the distinct stamps only.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.errors import OptionError
from offbeat.read import fixed
from offbeat.read.epochs import epochs, from_numbers, from_tai, to_series
from offbeat.read.stamps import ANY, STAMPS, TAIL, Stamp, find_stamp, offset
from offbeat.schema import TIME

__all__ = ["ANY", "STAMPS", "Clock", "Stamp", "check_zone", "find_stamp", "from_numbers", "parse", "parse_any"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NO_RUN: Final = 2**32 - 1
_DAY: Final = 86_400
_SECOND: Final = 1_000_000
_LEAP: Final = 2000  # a leap year to place month and day in when the year is not known


@dataclass(frozen=True)
class Clock:
    """What a file's stamps leave open.

    Attributes:
        zone: IANA name or ``+hh:mm``; where a stamp names no zone, it is in this one.
        now: the newest plausible time of the file (its modification time), in UTC.
        first: place of the file's first stamp within the cycle (seconds), None where not known.
        start: year, or day since 1970, in which ``first`` falls.
    """

    zone: str = "UTC"
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    first: int | None = None
    start: int = 0

    def anchored(self, stamp: Stamp, first: str, last: str) -> Clock:
        """Fix the year (or day) from the file's first and last stamp: the newest that is not in the future.

        A first stamp later in the year than the last one means that a new year began in between; logs that cover more
        than a year without naming it cannot be told apart.
        """
        places = _places(stamp, pl.Series([first, last]))
        if places is None:
            return self
        begin, end = (int(x) for x in places)
        wraps = 1 if begin > end + _DAY // 24 else 0
        if stamp.cycle == "day":
            today = (self.now - _EPOCH).days
            into = (self.now - _EPOCH).seconds
            return replace(self, first=begin, start=today - (end > into + 3600) - wraps)
        last_year = self.now.year - (end > _place_of(self.now) + _DAY)
        return replace(self, first=begin, start=last_year - wraps)

    def cycle_of(self, places: Ints, cycle: str) -> Ints:
        """Year (or day since 1970) of each place within the cycle."""
        if self.first is not None:
            slack = _DAY if cycle == "year" else 3600
            return np.where(places >= self.first - slack, self.start, self.start + 1).astype(np.int64)
        if cycle == "day":
            today, into = (self.now - _EPOCH).days, (self.now - _EPOCH).seconds
            return np.where(places > into + 3600, today - 1, today).astype(np.int64)
        late = places > _place_of(self.now) + _DAY
        return np.where(late, self.now.year - 1, self.now.year).astype(np.int64)


def _place_of(when: dt.datetime) -> int:
    return int((when.replace(year=_LEAP) - dt.datetime(_LEAP, 1, 1, tzinfo=dt.UTC)).total_seconds())


def _places(stamp: Stamp, stamps: pl.Series) -> Ints | None:
    parts = _by_regex(stamp, stamps)
    if parts is None or not parts["ok"].all():
        return None
    clock = parts["H"] * 3600 + parts["M"] * 60 + parts["S"]
    if stamp.cycle == "day":
        return np.asarray(clock, np.int64)
    year = np.full(len(clock), _LEAP, np.int64)
    return np.asarray((_days(year, parts["m"], parts["d"]) - _days_of(_LEAP)) * _DAY + clock, np.int64)


def check_zone(zone: str | None) -> str:
    """The zone as Polars knows it; UTC where none is given.

    Raises:
        OptionError: when there is no such zone.
    """
    if zone is None or zone.upper() in {"UTC", "Z", "GMT"}:
        return "UTC"
    if re.fullmatch(r"[+-](?:0[0-9]|1[0-9]|2[0-3]):?[0-5][0-9]", zone):
        return zone
    try:
        # Polars has tables of its own, without what is a zone on this machine only, as "localtime".
        if zone:
            pl.Series([0], dtype=pl.Datetime("us")).dt.replace_time_zone(zone)
            return zone
    except pl.exceptions.ComputeError:
        pass
    raise OptionError(
        f"there is no time zone {zone!r}", where="tz", hint="use a name like Europe/Berlin or an offset like +02:00"
    )


def parse(stamps: pl.Series, stamp: Stamp, clock: Clock) -> pl.Series:
    """Read stamps of one shape.

    Args:
        stamps: String, shape (n,); null where a line has none.
        stamp: their shape.
        clock: zone and cycle of the file.

    Returns:
        Datetime("us", "UTC"), shape (n,); null where a stamp is null or cannot be read.
    """
    n = len(stamps)
    if n == 0 or stamps.null_count() == n:
        return pl.Series(stamps.name, [None] * n, dtype=TIME)
    if stamps.null_count():
        rows = pl.int_range(n, eager=True).filter(stamps.is_not_null())
        values = parse(stamps.drop_nulls(), stamp, clock)
        return pl.Series(stamps.name, [None], dtype=TIME).new_from_index(0, n).scatter(rows, values)
    if stamp.name == "epoch":
        return epochs(stamps.cast(pl.Float64, strict=False), stamps.cast(pl.Int64, strict=False)).alias(stamps.name)
    if stamp.name == "tai64n":
        return from_tai(stamps)
    parts = _by_mask(stamp, stamps)
    if parts is not None:
        return _assemble(parts, stamp, clock).alias(stamps.name)
    distinct = stamps.unique(maintain_order=True)
    parts = _by_regex(stamp, distinct)
    if parts is None:
        return pl.Series(stamps.name, [None], dtype=TIME).new_from_index(0, n)
    times = _assemble(parts, stamp, clock)
    return stamps.replace_strict(distinct, times, return_dtype=TIME)


def parse_any(stamps: pl.Series, clock: Clock, first: Stamp | None = None) -> pl.Series:
    """Read stamps of any shape, ``first`` before the others; what no shape fits is null."""
    texts = stamps.cast(pl.String, strict=False)
    times = parse(texts, first, clock) if first else pl.Series([None], dtype=TIME).new_from_index(0, len(texts))
    left = (texts.is_not_null() & times.is_null()).arg_true()
    if left.is_empty():
        return times.alias(stamps.name)
    distinct = texts.gather(left).unique()
    bare = distinct.str.strip_chars(" []")
    read = pl.Series([None], dtype=TIME).new_from_index(0, len(distinct))
    for stamp in STAMPS.values():  # the first shape that fits, whatever shapes the others have
        if not read.has_nulls():
            break
        rows = (read.is_null() & bare.str.contains(f"^(?:{stamp.bare})$")).arg_true()
        if len(rows):
            read = read.scatter(rows, parse(bare.gather(rows), stamp, clock))
    found = texts.gather(left).replace_strict(distinct, read, default=None, return_dtype=TIME)
    return times.scatter(left, found).alias(stamps.name)


def _by_mask(stamp: Stamp, stamps: pl.Series) -> dict[str, Any] | None:
    """Components of stamps that stand at fixed places; None when one of them does not fit the mask."""
    mask = stamp.mask
    if mask is None:
        return None
    texts, size = pl.col("t"), pl.col("t").str.len_bytes()
    cut = (
        stamps.alias("t")
        .to_frame()
        .select_seq(
            head=texts.str.slice(0, len(mask)),
            tail=texts.str.slice(len(mask)),
            runs=texts.str.slice(0, len(mask)).rle_id(),
            width=size.min(),
            widest=size.max(),
        )
    )
    heads, runs, width, widest = cut["head"], cut["runs"], cut["width"][0], cut["widest"][0]
    if width < len(mask):
        return None
    # Lines are many in a second: what is the same as before is not read again.
    again = 2 * (int(runs[-1]) + 1) <= len(heads)
    text = fixed.matrix(heads.filter(runs != runs.shift(1, fill_value=_NO_RUN)) if again else heads, len(mask))
    if text is None:
        return None
    parts: dict[str, Any] = {"ok": np.ones(text.shape[1], np.bool_)}
    if again:
        parts["runs"] = runs.to_numpy()
    for letter in dict.fromkeys(mask.replace("?", "")):
        rows = text[mask.index(letter) : mask.rindex(letter) + 1]
        padded = letter == "d" and "b" in mask[: mask.index("d")]  # as in "Nov  9"
        value = fixed.months(rows) if letter == "b" else fixed.digits(rows, padded=padded)
        if value is None:
            return None
        parts["m" if letter == "b" else letter] = value
    # What stands between is as in the first stamp, of which the expression says whether it is right.
    if stamp.compiled.fullmatch(stamps[0]) is None:
        return None
    if any((text[i] != text[i, 0]).any() for i, letter in enumerate(mask) if letter == "?" and i > 2):
        return None
    if widest == len(mask):
        return parts
    return _tail(parts, cut["tail"], width - len(mask) if width == widest else None)


def _tail(parts: dict[str, Any], tails: pl.Series, width: int | None) -> dict[str, Any] | None:
    """Add fraction and zone, which follow the mask; ``width`` in bytes where all are as long as each other."""
    if width is not None:
        text = fixed.matrix(tails, width)
        first = TAIL.fullmatch(tails[0])
        if text is None or first is None:
            return None
        f = first["f"]
        if f:
            fraction = fixed.digits(text[1 : 1 + len(f)])
            if fraction is None or (text[0] != text[0, 0]).any():
                return None
            parts["f"] = fraction * 10 ** (9 - len(f))
        zone = text[first.start("z") :] if first["z"] else text[:0]
        if not first["z"] or (zone == zone[:, :1]).all():
            parts["z"] = np.full(len(tails), offset(first["z"])) if first["z"] else None
            return parts
    if (ragged := _ragged(tails)) is not None:
        parts["f"], parts["z"] = ragged
        return parts
    groups = tails.str.extract_groups("^" + TAIL.pattern + "$")
    if groups.struct["f"].is_null().any() and groups.struct["z"].is_null().any() and not _fits(tails):
        return None
    _fraction_and_zone(parts, groups)
    return parts


def _ragged(tails: pl.Series) -> tuple[Ints, Floats] | None:
    """Nanoseconds and zones of stamps whose fractions differ in length and that end in Z or name no zone."""
    text = pl.col("t")
    cut = (
        tails.alias("t")
        .to_frame()
        .select_seq(
            point=text.str.slice(0, 1),
            digits=text.str.slice(1).str.strip_suffix("Z"),
            zone=pl.when(text.str.ends_with("Z")).then(0.0).otherwise(math.nan),
        )
    )
    point, digits = pl.col("point"), pl.col("digits")
    signed = digits.str.contains("+", literal=True) | digits.str.contains("-", literal=True)
    found = cut.select_seq(
        right=((point == ".") | (point == ",")).all() & ~signed.any() & (digits.str.len_bytes().max() <= 9),
        number=digits.cast(pl.Int64, strict=False),
        missing=9 - digits.str.len_bytes().cast(pl.Int64),
    )
    if not found["right"][0] or found["number"].has_nulls():
        return None
    return found["number"].to_numpy() * 10 ** found["missing"].to_numpy(), cut["zone"].to_numpy()


def _fits(tails: pl.Series) -> bool:
    return bool(tails.str.contains("^" + TAIL.pattern + "$").all())


def _by_regex(stamp: Stamp, stamps: pl.Series) -> dict[str, Any] | None:
    groups = stamps.str.extract_groups(f"^(?:{stamp.regex})$")
    if groups.dtype == pl.Null or not isinstance(groups.dtype, pl.Struct):
        return None
    names = [f.name for f in groups.dtype.fields]
    parts: dict[str, Any] = {}
    ok = np.ones(len(stamps), np.bool_)
    for name in names:
        if name in {"f", "z", "ms", "p"}:
            continue
        column = groups.struct[name]
        if name == "b":
            column = column.str.to_lowercase().replace_strict(
                fixed.MONTHS, range(1, 13), default=None, return_dtype=pl.Int64
            )
        column = column.cast(pl.Int64, strict=False)
        if name == "S":  # a clock may show no seconds
            column = pl.select(pl.when(groups.struct["H"].is_not_null()).then(column.fill_null(0))).to_series()
        ok &= column.is_not_null().to_numpy()
        parts["m" if name == "b" else name] = column.fill_null(1).to_numpy()
    parts["ok"] = ok
    if "p" in names:
        half = groups.struct["p"].fill_null("").str.to_uppercase().to_numpy()
        parts["H"] = np.where(half == "", parts["H"], parts["H"] % 12 + 12 * (half == "PM"))
    if "ms" in names:
        parts["f"] = groups.struct["ms"].cast(pl.Int64, strict=False).fill_null(0).to_numpy() * 1_000_000
    if "f" in names or "z" in names:
        _fraction_and_zone(parts, groups)
    return parts


def _fraction_and_zone(parts: dict[str, Any], groups: pl.Series) -> None:
    assert isinstance(groups.dtype, pl.Struct)  # noqa: S101 - narrows the type for mypy
    names = {f.name for f in groups.dtype.fields}
    if "f" in names:
        digits = groups.struct["f"].fill_null("0").str.pad_end(9, "0")
        parts["f"] = digits.cast(pl.Int64, strict=False).fill_null(0).to_numpy()
    if "z" in names and groups.struct["z"].null_count() < len(groups):
        zones = groups.struct["z"]
        known = {zone: offset(zone) for zone in zones.drop_nulls().unique().to_list()}
        parts["z"] = zones.replace_strict(known, default=None, return_dtype=pl.Float64).to_numpy()


def _days_of(year: int) -> int:
    return int(_days(np.array([year]), np.array([1]), np.array([1]))[0])


def _days(year: Ints, month: Ints, day: Ints) -> Ints:
    """Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms", days_from_civil)."""
    y = year - (month <= 2)
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    return np.asarray(era * 146_097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719_468, np.int64)


def _assemble(parts: dict[str, Any], stamp: Stamp, clock: Clock) -> pl.Series:
    """Components to UTC microseconds; null where a component is out of range."""
    n = len(parts["ok"])
    zero = np.zeros(n, np.int64)
    hour, minute, second = parts.get("H", zero), parts.get("M", zero), parts.get("S", zero)
    ok = parts["ok"] & (hour < 24) & (minute < 60) & (second <= 60)
    seconds = hour * 3600 + minute * 60 + second
    if stamp.cycle == "day":
        days = clock.cycle_of(seconds, "day")
    else:
        month, day = parts["m"], parts["d"]
        ok &= (month >= 1) & (month <= 12) & (day >= 1)
        if "Y" in parts:
            year = parts["Y"]
        elif "y" in parts:
            year = parts["y"] + np.where(parts["y"] < 70, 2000, 1900)
        else:
            year = clock.cycle_of((_days(zero + _LEAP, month, day) - _days_of(_LEAP)) * _DAY + seconds, "year")
        days = _days(year, month, day)
        ok &= (_days(year + month // 12, month % 12 + 1, zero + 1) > days) & (year >= 1970) & (year < 2262)
    micros = (days * _DAY + seconds) * _SECOND
    if "runs" in parts:
        micros, ok = micros[parts["runs"]], ok[parts["runs"]]
    if "f" in parts:
        micros = micros + parts["f"] // 1000
    east = parts.get("z")
    if east is None:
        return _localise(to_series(micros, ok), clock.zone)
    naive = np.isnan(east)
    times = to_series(micros - np.where(naive, 0, east).astype(np.int64) * _SECOND, ok)
    if naive.any() and clock.zone != "UTC":
        return pl.select(pl.when(pl.Series(naive)).then(_localise(times, clock.zone)).otherwise(times)).to_series()
    return times


def _localise(times: pl.Series, zone: str) -> pl.Series:
    """Read wall-clock times as being in ``zone``; of a repeated hour the first, a skipped hour moves forward."""
    if zone == "UTC":
        return times
    if zone[0] in "+-":
        return times - dt.timedelta(seconds=offset(zone))
    naive = times.dt.replace_time_zone(None)
    local = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    later = (naive + dt.timedelta(hours=1)).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return local.fill_null(later - dt.timedelta(hours=1)).dt.convert_time_zone("UTC")
