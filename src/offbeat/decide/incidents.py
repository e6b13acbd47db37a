"""Neighbouring alarms become one incident: few findings instead of many."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from offbeat.decide.alike import sorts
from offbeat.schema import TIME

#: Alarms for the same reason belong together when no more than this lies between them.
SAME_REASON: Final = timedelta(hours=24)
#: Alarms of one session key belong together when no more than this lies between them.
SAME_KEY: Final = timedelta(minutes=30)

#: Kinds that say something is new or seldom, and the most units that such an incident may hold to be a stray one.
_NOVEL: Final = ("new pattern", "rare pattern")
_STRAY: Final = 3

#: A template tells a sort from the others when the shares of units that have it differ by more than this.
_TELLING: Final = 0.5

SEVERITIES: Final = ("low", "medium", "high", "critical")

#: So many alarms alike are severe by their number alone.
_MANY: Final = 10
#: They come together where their places differ from any, all over the log, with a probability of at most 1 % (the
#: quantile of Kolmogorov's distribution, 1933).
_TOGETHER: Final = 1.63


def join_alarms(alarms: pl.DataFrame, windows: bool) -> pl.Series:
    """Say which incident each alarm belongs to.

    Alarms join when they have the same kind and template and lie close in time (all of them, where there is no time);
    when they are the same session key close in time; and, for windows, when one follows directly on the other.

    Args:
        alarms: one row an alarm with ``unit`` (its position among all units), ``key``, ``start``, ``end``, ``kind``,
            ``template``.
        windows: whether units are windows in order.

    Returns:
        UInt32 incident numbers, 0-based in the order of their first alarms.
    """
    n = alarms.height
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def union(a: int, b: int) -> None:
        a, b = root(a), root(b)
        parent[max(a, b)] = min(a, b)

    numbered = alarms.with_row_index("i")
    for by, limit in ((["kind", "template"], SAME_REASON), (["key"], SAME_KEY)):
        ordered = numbered.sort([*by, "start", "unit"], nulls_last=False)
        same = pl.all_horizontal(pl.col(c).eq_missing(pl.col(c).shift(1)) for c in by)
        reach = pl.col("end").cum_max().over(by).shift(1)
        near = ((pl.col("start") - reach) <= limit).fill_null(True)
        linked = ordered.with_columns(before=pl.col("i").shift(1), link=same & near & (pl.int_range(pl.len()) > 0))
        for a, b in linked.filter("link").select("before", "i").rows():
            union(a, b)
    if windows:
        ordered = numbered.sort("unit").with_columns(before=pl.col("i").shift(1), step=pl.col("unit").diff())
        for a, b in ordered.filter(pl.col("step") == 1).select("before", "i").rows():
            union(a, b)
    roots = [root(i) for i in range(n)]
    number = {r: k for k, r in enumerate(dict.fromkeys(roots))}
    return pl.Series("incident", [number[r] for r in roots], dtype=pl.UInt32)


def told_apart(group: pl.DataFrame) -> list[pl.DataFrame]:
    """Return an incident's alarms, in parts where they are of several sorts: one answer should do for all of a finding.

    Sessions with the same strange thing in them may be in quite different states, and only some of them harmless.

    Args:
        group: alarms of sessions with ``templates``, the strangest first.

    Returns:
        The alarms of each sort, in the same order within; first the sort of the strangest. Of several each has the
        columns ``mark``, the template whose presence tells it best from the others, and ``marked``, whether it has
        that; null where only numbers differ.
    """
    sort = pl.Series("sort", sorts(group["templates"]))
    if sort.n_unique() < 2:
        return [group]
    held = group.select(sort, pl.col("templates").list.unique().alias("code")).explode("code")
    parts = []
    for i in range(sort.n_unique()):
        mine, n = pl.col("sort") == i, int((sort == i).sum())
        share = mine.sum() / n - (~mine).sum() / (group.height - n)
        marks = held.group_by("code").agg(share=share).sort(pl.col("share").abs(), "code", descending=[True, False])
        code, more = marks.row(0)
        known = abs(more) > _TELLING
        mark = pl.lit(code if known else None, held.schema["code"])
        parts.append(group.filter(sort == i).with_columns(mark=mark, marked=pl.lit(more > 0 if known else None)))
    return parts


def join_strays(groups: Sequence[tuple[str, pl.DataFrame]]) -> list[list[int]]:
    """Say which incidents are told together: each busy log has something new now and then, in a session or two.

    Incidents of low severity and few units that are about a new or rare pattern join when no more than a day lies
    between them. What is severe, or comes in numbers, stays by itself.

    Args:
        groups: severity and alarms of each incident, the first row its strangest.

    Returns:
        Positions in ``groups``, the strangest of each joined incident first; all in the order of ``groups``.
    """

    def is_stray(grade: str, group: pl.DataFrame) -> bool:
        return grade == SEVERITIES[0] and group.height <= _STRAY and group["kind"][0] in _NOVEL

    strays = [i for i, group in enumerate(groups) if is_stray(*group)]
    joined = {i: [i] for i in range(len(groups)) if i not in set(strays)}
    spans = pl.DataFrame(
        [(i, groups[i][1]["start"].min(), groups[i][1]["end"].max()) for i in strays],
        schema={"i": pl.UInt32, "start": TIME, "end": TIME},
        orient="row",
    ).sort("start", "i")
    apart = pl.col("start") - pl.col("end").cum_max().shift(1) > SAME_REASON
    for members in spans.group_by(apart.fill_null(False).cum_sum()).agg("i")["i"]:
        together = members.to_list()
        joined[min(together)] = together
    return sorted((sorted(members) for members in joined.values()), key=lambda members: members[0])


def are_news(group: pl.DataFrame, total: int) -> bool:
    """Whether so many alarms alike are more than a habit of the log: more than is usual, or all at one time.

    What one session in two hundred does is rare, and comes a hundred times in a long log; that is no incident of a
    hundred units.

    Args:
        group: the alarms of an incident, with ``unit``, ``kind`` and ``share``, the strangest first.
        total: how many units the log has.
    """
    share = float(group["share"][0])
    usual = {"rare pattern": share, "missing event": 1 - share}.get(group["kind"][0], 0.0) * total
    if group.height > usual + 3 * usual**0.5:
        return True
    places = (np.sort(group["unit"].to_numpy()) + 0.5) / total
    n = len(places)
    apart = max(float(np.max(np.arange(1, n + 1) / n - places)), float(np.max(places - np.arange(n) / n)))
    return bool(apart * n**0.5 > _TOGETHER)


def graded(group: pl.DataFrame, threshold: float, total: int) -> tuple[str, str]:
    """Return how severe the incident of some alarms is, and why in a few words.

    Args:
        group: the alarms, with ``unit``, ``kind``, ``share``, ``score`` and ``level``, the strangest first.
        threshold: the fused score that decided.
        total: how many units the log has.
    """
    level = int(group["level"].to_numpy().max())
    # Where all training was alike the threshold is next to nothing; a nat is the least to compare with.
    excess = float(group["score"][0]) / max(threshold, 1.0)
    return severity(excess, group.height, level, news=group.height < _MANY or are_news(group, total))


def severity(excess: float, units: int, level: int, *, news: bool = True) -> tuple[str, str]:
    """Return how severe an incident is, and why in a few words.

    A point each for: twice and three times the threshold's surprise, ten units or more, a line at ERROR or above;
    FATAL counts for two.

    Args:
        excess: its score divided by the threshold.
        units: alarms that it joins.
        level: the highest OpenTelemetry severity number among its strange lines.
        news: whether so many are more than the log's habit.
    """
    reasons = []
    points = 0
    for limit in (2.0, 3.0):
        points += excess >= limit
    if excess >= 2:
        reasons.append(f"{excess:.0f} times as surprising as the threshold")
    if units >= _MANY and news:
        points += 1
        reasons.append(f"{units:,} units alike")
    if level >= 17:
        points += 2 if level >= 21 else 1
        reasons.append("fatal lines" if level >= 21 else "error lines")
    return SEVERITIES[min(points, 3)], ", ".join(reasons) or "just above the threshold"


def finding_id(kind: str, key: str, template: str, position: str) -> str:
    """Return the id of what a finding is about: the same finding has the same id in every run."""
    digest = hashlib.blake2s("\0".join((kind, key, template, position)).encode(), digest_size=6)
    return digest.hexdigest()
