"""Which words of shapes alike are constants and which are values: a tree that splits where words look constant.

Top-down as in IPLoM (Makanju et al., KDD 2009), with Brain's (Yu et al., TSC 2023) idea that what a group shares
decides what may vary. All input is sorted first, so the result does not depend on the order of arrival.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from offbeat.mine.tokens import VALUE, WILD, is_word, skeleton

Keys = tuple[str, ...]

#: Distinct words at one place from which they are taken for values: anywhere, and as the first word of a message.
MANY: Final = 5
MANY_FIRST: Final = 24
#: Distinct words after ``=`` from which they are taken for values; fewer are an enumeration worth keeping.
MANY_AFTER_SIGN: Final = 4
#: Words after which a name follows.
_NAMES_FOLLOW: Final = frozenset({"user", "username", "ruser", "logname", "rhost", "host", "hostname"})


def partition(shapes: Iterable[Keys]) -> dict[Keys, Keys]:
    """Map each distinct shape to its pattern: the shape with ``WILD`` where words vary.

    Args:
        shapes: key tuples; repeats and order do not matter.

    Returns:
        Shape to pattern. Patterns have the length of their shapes.
    """
    groups: dict[str, list[Keys]] = defaultdict(list)
    for keys in sorted(set(shapes)):
        groups[skeleton(keys)].append(keys)
    out: dict[Keys, Keys] = {}
    for members in groups.values():
        for pattern, leaf in _split(members):
            for keys in leaf:
                out[keys] = pattern
    return out


def _split(members: list[Keys]) -> Iterable[tuple[Keys, list[Keys]]]:
    """Yield (pattern, members) leaves."""
    stack = [members]
    while stack:
        group = stack.pop()
        if len(group) == 1:
            yield group[0], group
            continue
        place, wild = _where(group)
        if place is None:
            first = group[0]
            yield tuple(WILD if i in wild else key for i, key in enumerate(first)), group
            continue
        parts: dict[str, list[Keys]] = defaultdict(list)
        for keys in group:
            parts[keys[place]].append(keys)
        stack.extend(parts.values())


def _where(group: Sequence[Keys]) -> tuple[int | None, set[int]]:
    """Return the place to split at (None: nowhere) and the places whose words vary."""
    columns = list(zip(*group, strict=True))
    words = [i for i, key in enumerate(group[0]) if is_word(key)]
    counts: dict[int, Counter[str]] = {}
    for i in words:
        distinct = Counter(columns[i])
        if len(distinct) > 1:
            counts[i] = distinct
    fixed = [i for i in words if i not in counts and group[0][i] != VALUE]
    wild = {i for i, distinct in counts.items() if _varies(i, group[0], distinct, words, fixed)}
    constant = [i for i in counts if i not in wild]
    if constant:
        return min(constant, key=lambda i: (len(counts[i]), i)), set()
    return None, wild


def _varies(place: int, keys: Keys, distinct: Mapping[str, int], words: list[int], fixed: list[int]) -> bool:
    """Whether the distinct words at a place look like values."""
    before = [key for key in keys[:place] if key != " "]
    after_sign = bool(before) and before[-1] == "="
    if after_sign:
        return VALUE in distinct or len(distinct) >= MANY_AFTER_SIGN or before[-2:-1][0].lower() in _NAMES_FOLLOW
    if not fixed or 2 * len(fixed) < sum(keys[i] != VALUE for i in words) - 1:
        return False
    if VALUE in distinct:
        return True
    if before and before[-1].lower() in _NAMES_FOLLOW:
        return True
    return len(distinct) >= (MANY_FIRST if place == words[0] else MANY)
