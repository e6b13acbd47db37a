"""What overlaps in time is one: shifts of several series, silences of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


def overlapping(
    found: Iterable[_T], span: Callable[[_T], tuple[int, int]], rank: Callable[[_T], tuple[Any, ...]]
) -> list[list[_T]]:
    """Return what overlaps in time, or is joined by what lies between, in groups.

    Args:
        found: of one kind.
        span: of each, when it begins, and when it has ended.
        rank: of each, the strangest smallest; of those alike the earlier comes first.

    Returns:
        The strangest of each group first, and the group of the strangest.
    """
    groups: list[list[_T]] = []
    ended = 0
    for one in sorted(found, key=span):
        start, end = span(one)
        if groups and start < ended:
            groups[-1].append(one)
            ended = max(ended, end)
        else:
            groups.append([one])
            ended = end
    return sorted((sorted(group, key=rank) for group in groups), key=lambda group: rank(group[0]))
