"""What was held back because the model finds it strange, and when it is learned after all."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from offbeat.decide.incidents import finding_id
from offbeat.errors import OptionError
from offbeat.memory import GROUPS, MOST_EVENTS, MOST_UNITS, Memory, joined, sample
from offbeat.store import Answer
from offbeat.units import digest

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


def acknowledged(memory: Memory, asked: Collection[str], real: Collection[str] = ()) -> set[str]:
    """Return the groups that are meant by ids of groups, findings or templates; ``all`` are all but the ``real`` ones.

    Raises:
        OptionError: an id names nothing that is held back.
    """
    out: set[str] = set()
    held, groups = memory.quarantine, memory.groups
    for one in asked:
        if one == "all":
            out |= set(groups["id"]) - set(real)
            continue
        found = set(groups.filter((pl.col("id") == one) | (pl.col("template_id") == one))["id"])
        if held.height:
            found |= set(held.filter(pl.col("finding") == one)["group"])
        if not found:
            some = ", ".join(groups.filter(~pl.col("acknowledged"))["id"].head(5)) or "nothing is held back"
            raise OptionError(f"{one!r} is not held back", where="--acknowledge", hint=f"one of: {some}")
        out |= found
    if asked and not out:
        what = "all that is held back was confirmed" if groups.height else "nothing is held back"
        raise OptionError(what, where="--acknowledge", hint="name what is normal after all" if groups.height else None)
    memory.groups = groups.with_columns(pl.col("acknowledged") | pl.col("id").is_in(list(out)))
    return out


@dataclass(frozen=True)
class Heard:
    """What answers to findings say of what is held back.

    Attributes:
        normal: groups that are normal for good: ``expected``, with ``--scope pattern`` and no end.
        real: groups of which something was confirmed; they are never a habit.
        expected, confirmed: of the quarantine, the units themselves that were answered so, shape (rows,).
    """

    normal: frozenset[str]
    real: frozenset[str]
    expected: pl.Series
    confirmed: pl.Series


def group_of(kind: str, template_id: str) -> str:
    """Return the id of the group that units held back for a reason belong to."""
    return finding_id(kind, "", template_id, "")


def heard(units: pl.DataFrame, answers: Sequence[Answer], ids: Sequence[str]) -> Heard:
    """Return what answers say of units, and of groups held back.

    A unit is known by when it began and what it holds, for no memory keeps keys. Of two answers about it the later one
    counts. What was called a false alarm is quiet, and not learned: nobody said that it belongs there.

    Args:
        units: with ``start`` and ``templates``.
        answers: in the order in which they were given.
        ids: of templates by code.
    """
    verdicts: dict[tuple[datetime | None, str], str] = {}
    groups: dict[str, str] = {}
    for answer in answers:
        some = [m for m in answer.question.members if answer.until is None or (m.start and m.start < answer.until)]
        verdicts |= {(m.start, m.digest): answer.verdict for m in some}
        for member in some:
            group = group_of(member.kind, member.template)
            if answer.verdict == "confirmed" or (answer.scope == "pattern" and answer.until is None):
                groups[group] = answer.verdict
    said: list[str | None] = [None] * units.height
    if verdicts and units.height:
        places = zip(units["start"].to_list(), units["templates"].to_list(), strict=True)
        said = [verdicts.get((start, digest(ids[code] for code in codes))) for start, codes in places]
    by = {name: frozenset(g for g, verdict in groups.items() if verdict == name) for name in ("expected", "confirmed")}
    rows = {name: pl.Series([one == name for one in said], dtype=pl.Boolean) for name in by}
    return Heard(by["expected"], by["confirmed"], rows["expected"], rows["confirmed"])


def freed(memory: Memory, waits: timedelta | None, said: Collection[str], told: Heard) -> pl.DataFrame:
    """Take out of quarantine what somebody called normal, and what has become a habit; nothing that was confirmed."""
    if not memory.quarantine.height:
        return pl.DataFrame()
    # By name somebody may overrule what was confirmed before; what only goes on for long does not.
    free = (set(memory.groups.filter("acknowledged")["id"]) - told.real) | told.normal | set(said)
    if waits is not None:
        rows = memory.groups.iter_rows(named=True)
        free |= {row["id"] for row in rows if row["id"] not in told.real and _is_habit(memory, row, waits)}
    group = memory.quarantine["group"]
    goes = told.expected | (group.is_in(list(free)) & ~(told.confirmed & ~group.is_in(list(said))))
    out, memory.quarantine = memory.quarantine.filter(goes), memory.quarantine.filter(~goes)
    left = out.group_by("group").agg(gone=pl.col("weight").sum().round().cast(pl.UInt64))
    # What was acknowledged is remembered as such; what became a habit starts anew should it be strange again.
    empty = (free | set(out["group"])) - set(memory.quarantine["group"])
    groups = memory.groups.filter(~pl.col("id").is_in(list(empty)) | pl.col("acknowledged"))
    fewer = pl.col("units") - pl.min_horizontal("units", pl.col("gone").fill_null(0))
    memory.groups = groups.join(left, left_on="id", right_on="group", how="left", maintain_order="left").with_columns(
        units=pl.when(pl.col("id").is_in(list(empty))).then("units").otherwise(fewer)
    ).drop("gone")  # fmt: skip
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
