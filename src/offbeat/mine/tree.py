"""Which words of shapes alike are constants and which are values: a tree that splits where words look constant.

Top-down as in IPLoM (Makanju et al., KDD 2009), with Brain's (Yu et al., TSC 2023) idea that what a group shares
decides what may vary. All input is sorted first, so the result does not depend on the order of arrival.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from offbeat.mine.tokens import STATUS, VALUE, WILD, is_word, skeleton

Keys = tuple[str, ...]

#: Distinct words at one place from which they are taken for values. The bar rises with the logarithm of the lines seen,
#: as an enumeration shows all its members in a long log, and is higher for the first word (a program, a subject), for
#: words in capitals (states and codes), and where several places vary together (whole phrases).
MANY: Final = 5
MANY_AT_MOST: Final = 12
MANY_FIRST: Final = 24
MANY_CAPITALS: Final = 24
#: The same where every word has a masked part, as in ``Package-0~0``; and lines a word from which capitals are a state.
MANY_MASKED: Final = 3
STATE_LINES: Final = 3
#: The same where most words are qualified names, as ``com.example.shop``: packages, classes and actions, of which few
#: are part of what a line says.
MANY_QUALIFIED: Final = 3
#: Distinct words after ``=`` from which they are taken for values; fewer are an enumeration worth keeping, unless the
#: combinations with those of other keys are more than this.
MANY_AFTER_SIGN: Final = 4
COMBINATIONS: Final = 8
_QUALIFIED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[\w$]+){2,}(?:/\S*)?")
#: Words after which a name follows.
_BLANK: Final = frozenset(" \"'")
_NAMES_FOLLOW: Final = frozenset({"user", "username", "ruser", "logname", "rhost", "host", "hostname"})


def partition(shapes: Mapping[Keys, int]) -> dict[Keys, Keys]:
    """Map each distinct shape to its pattern: the shape with ``WILD`` where words vary.

    Args:
        shapes: key tuples and the lines each stands for.

    Returns:
        Shape to pattern. Patterns have the length of their shapes.
    """
    groups: dict[str, list[Keys]] = defaultdict(list)
    for keys in sorted(shapes):
        groups[skeleton(keys)].append(keys)
    out: dict[Keys, Keys] = {}
    for members in groups.values():
        for pattern, leaf in _split(members, shapes):
            for keys in leaf:
                out[keys] = pattern
    return out


def _split(members: list[Keys], weights: Mapping[Keys, int]) -> Iterable[tuple[Keys, list[Keys]]]:
    """Yield (pattern, members) leaves."""
    stack: list[tuple[list[Keys], frozenset[int]]] = [(members, frozenset())]
    while stack:
        group, above = stack.pop()
        place, wild = None, above
        if len(group) > 1:
            place, wild = _where(group, sum(weights[keys] for keys in group), above)
        if place is None:
            yield tuple(WILD if i in wild else key for i, key in enumerate(group[0])), group
            continue
        parts: dict[str, list[Keys]] = defaultdict(list)
        for keys in group:
            parts[keys[place]].append(keys)
        stack.extend((part, wild) for part in parts.values())


def _where(group: Sequence[Keys], lines: int, above: frozenset[int]) -> tuple[int | None, frozenset[int]]:
    """Return the place to split at (None: nowhere) and the places whose words vary.

    Values after ``=`` stay values in the parts of a group (``above``): few are left there to tell them by.
    """
    words = [i for i, key in enumerate(group[0]) if is_word(key) and i not in above]
    counts: dict[int, Counter[str]] = {}
    for i in words:
        distinct = Counter(keys[i] for keys in group)
        if len(distinct) > 1:
            counts[i] = distinct
    signed = {i for i in counts if _before(group[0], i)[-1:] == ["="]}
    wild = _signed(group[0], {i: counts[i] for i in signed})
    fixed = sum(i not in counts and group[0][i] != VALUE for i in words)
    plain = [i for i in words if i not in signed and group[0][i] != VALUE]
    if fixed and 2 * fixed >= len(plain) - 1:
        bar = min(MANY_AT_MOST, max(MANY, int(math.log2(lines))))
        free = [i for i in counts if i not in signed and not all(VALUE in word for word in counts[i])]
        bar *= max(1, sum(VALUE not in counts[i] for i in free))
        wild |= {i for i in counts if i not in signed and _varies(i, group[0], counts[i], i == words[0], bar, lines)}
    constant = [i for i in counts if i not in wild]
    if constant:
        return min(constant, key=lambda i: (len(counts[i]), i)), above | (wild & signed)
    return None, above | wild


def _before(keys: Keys, place: int) -> list[str]:
    """Return the up to two pieces before a place that are neither spaces nor quotes."""
    return [key for key in keys[max(0, place - 6) : place] if key not in _BLANK][-2:]


def _signed(keys: Keys, counts: Mapping[int, Counter[str]]) -> set[int]:
    """Return which of the places after ``=`` hold values: those of many words, then the widest while they multiply."""
    wild = set()
    kept = []
    for i, distinct in counts.items():
        name = _before(keys, i)[0].lower()
        if VALUE in distinct or len(distinct) >= MANY_AFTER_SIGN or name in _NAMES_FOLLOW:
            wild.add(i)
        else:
            kept.append(i)
    kept.sort(key=lambda i: (len(counts[i]), i))
    while kept and math.prod(len(counts[i]) for i in kept) > COMBINATIONS:
        wild.add(kept.pop())
    return wild


def _varies(place: int, keys: Keys, distinct: Mapping[str, int], first: bool, bar: int, lines: int) -> bool:
    """Whether the distinct words at a place not after ``=`` look like values."""
    if any(STATUS.fullmatch(word) for word in distinct):
        return False
    if VALUE in distinct:
        return True
    before = _before(keys, place)
    if before and before[-1].lower() in _NAMES_FOLLOW:
        return True
    if all(VALUE in word for word in distinct):
        bar = MANY_MASKED
    qualified = sum(_QUALIFIED.fullmatch(word) is not None for word in distinct)
    if qualified >= MANY_QUALIFIED and 2 * qualified >= len(distinct):
        bar = MANY_QUALIFIED
    if first:
        bar = max(bar, MANY_FIRST)
    if lines >= STATE_LINES * len(distinct) and all(word.isupper() for word in distinct):
        bar = max(bar, MANY_CAPITALS)
    return len(distinct) >= bar
