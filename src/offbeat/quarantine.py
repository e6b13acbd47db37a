"""What was held back because the model finds it strange, and when it is learned after all."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Final

import polars as pl

from offbeat.errors import OptionError
from offbeat.memory import GROUPS, MOST_EVENTS, MOST_UNITS, Memory, joined, sample

#: Only what makes so large a share of the units since it began is a habit; an attack that goes on is still an attack.
_HABIT: Final = 0.005
#: Of the days of that age, the share on which it must have been seen, and the fewest.
_DAYS, _LEAST_DAYS = 0.5, 2
_WARN: Final = 13
#: What somebody said is normal counts for at least this share of what is learned.
_SAID: Final = 0.01
_MOST_DAYS: Final = 400


def hold(memory: Memory, strange: pl.DataFrame | None, seed: int) -> None:
    """Put strange units into quarantine.

    Args:
        memory: takes them up.
        strange: units as a memory keeps them, with ``group``, ``finding``, ``kind``, ``template_id``, ``reason``,
            ``level`` and ``p_value``; None where there are none.
        seed: of the sample that is kept of many.
    """
    if strange is None or not strange.height:
        return
    found = strange.sort("p_value", maintain_order=True).group_by("group", maintain_order=True).agg(
        pl.col("kind", "template_id", "reason").first(),
        first_seen=pl.col("start").min(),
        last_seen=pl.col("end").max(),
        units=pl.col("weight").sum().cast(pl.UInt64),
        level=pl.col("level").max(),
        days=pl.col("start").dt.date().unique().sort(),
        acknowledged=pl.lit(False),
    ).rename({"group": "id"}).select(pl.col(name).cast(kind) for name, kind in GROUPS.items())  # fmt: skip
    memory.groups = pl.concat([memory.groups, found]).group_by("id", maintain_order=True).agg(
        pl.col("kind", "template_id", "reason").first(),
        pl.col("first_seen").min(),
        pl.col("last_seen").max(),
        pl.col("units").sum(),
        pl.col("level").max(),
        pl.col("days").explode().unique().sort().drop_nulls().tail(_MOST_DAYS),
        pl.col("acknowledged").any(),
    ).select(pl.col(name).cast(kind) for name, kind in GROUPS.items())  # fmt: skip
    extra = ("kind", "template_id", "reason", "level", "p_value")
    both = [part for part in (memory.quarantine, strange.drop(extra)) if part.height]
    memory.quarantine = sample(joined(both), MOST_UNITS // 5, MOST_EVENTS // 5, seed)


def acknowledged(memory: Memory, asked: Collection[str]) -> set[str]:
    """Return the groups that are meant by ids of groups, findings or templates; ``all`` are all.

    Raises:
        OptionError: an id names nothing that is held back.
    """
    out: set[str] = set()
    held, groups = memory.quarantine, memory.groups
    for one in asked:
        if one == "all":
            out |= set(groups["id"])
            continue
        found = set(groups.filter((pl.col("id") == one) | (pl.col("template_id") == one))["id"])
        if held.height:
            found |= set(held.filter(pl.col("finding") == one)["group"])
        if not found:
            some = ", ".join(groups.filter(~pl.col("acknowledged"))["id"].head(5)) or "nothing is held back"
            raise OptionError(f"{one!r} is not held back", where="--acknowledge", hint=f"one of: {some}")
        out |= found
    if asked and not out:
        raise OptionError("nothing is held back", where="--acknowledge")
    memory.groups = groups.with_columns(pl.col("acknowledged") | pl.col("id").is_in(list(out)))
    return out


def freed(memory: Memory, waits: timedelta | None, said: Collection[str]) -> pl.DataFrame:
    """Take out of quarantine what somebody called normal, and what has become a habit."""
    if not memory.quarantine.height:
        return pl.DataFrame()
    free = set(memory.groups.filter("acknowledged")["id"]) | set(said)
    if waits is not None:
        free |= {row["id"] for row in memory.groups.iter_rows(named=True) if _is_habit(memory, row, waits)}
    out = memory.quarantine.filter(pl.col("group").is_in(list(free)))
    memory.quarantine = memory.quarantine.filter(~pl.col("group").is_in(list(free)))
    # What was acknowledged is remembered as such; what became a habit starts anew should it be strange again.
    memory.groups = memory.groups.filter(~pl.col("id").is_in(list(free)) | pl.col("acknowledged"))
    return out


def _is_habit(memory: Memory, group: dict[str, Any], waits: timedelta) -> bool:
    """Whether it has gone on long enough, on many days, as a notable part of what happens, without a warning."""
    first, last = group["first_seen"], group["last_seen"]
    if first is None or last - first < waits or group["level"] >= _WARN:
        return False
    since = (last - waits).date()
    days = sum(day >= since for day in group["days"])
    if days < max(_LEAST_DAYS, math.ceil(_DAYS * waits / timedelta(days=1))):
        return False
    rest = memory.rehearsal.filter(pl.col("end") >= first)["weight"].sum()
    return bool(group["units"] >= _HABIT * (rest + group["units"]))


def raised(freed: pl.DataFrame, said: Collection[str], others: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return freed units; of what somebody called normal, enough that the model believes it."""
    total = sum(float(part["weight"].sum()) for part in others)
    mass = pl.col("weight").sum().over("group")
    factor = (
        pl.when(pl.col("group").is_in(list(said))).then(pl.max_horizontal(1.0, _SAID * total / mass)).otherwise(1.0)
    )
    return freed.with_columns(pl.col("weight") * factor).drop("group", "finding")
