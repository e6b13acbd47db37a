"""What goes wrong, where and when: incidents, harmless look-alikes and releases, placed before a line is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from offbeat.simulate.chance import Chance
from offbeat.simulate.rhythm import Rhythm
from offbeat.simulate.shop import FEATURES, NAMES

#: The kinds of incident, in the order a short log takes them up.
KINDS: Final = (
    "error-spike",
    "brute-force",
    "slow-response",
    "silent-component",
    "unusual-access",
    "degradation",
    "resource-exhaustion",
    "out-of-order",
    "retry-storm",
)
#: Comes only in the last part of a log, so that what learns from the first 70 % has never seen it.
LATE_KIND: Final = "retry-storm"
LATE_FROM: Final = 0.74

#: Harmless events that resemble incidents; their lines are normal.
LOOKALIKES: Final = ("forgetful-user", "crawler", "slow-blip", "hiccup", "restart", "busy-heap")

# Labelled lines of an incident against the mean of all kinds, and the fewest that still make one.
_SIZE: Final = {
    "error-spike": (1.0, 8),
    "brute-force": (1.4, 20),
    "slow-response": (1.2, 8),
    "silent-component": (0.3, 4),
    "unusual-access": (0.9, 6),
    "degradation": (1.3, 10),
    "resource-exhaustion": (1.0, 8),
    "out-of-order": (0.3, 4),
    "retry-storm": (0.8, 6),
}
_SHORT: Final = 10_000  # lines
# Busiest first.
_SERVICES: Final = {
    "error-spike": ("catalog", "search", "cart", "auth"),
    "hiccup": ("catalog", "search", "cart", "auth", "payment"),
    "slow-response": ("catalog", "search", "auth", "cart"),
    "slow-blip": ("catalog", "search", "auth", "cart", "order"),
    "silent-component": ("auth", "catalog", "notifier", "payment", "inventory"),
    "restart": ("auth", "catalog", "cart"),
    "degradation": ("catalog", "search", "cart"),
    "resource-exhaustion": ("catalog", "search", "order", "cart"),
    "busy-heap": ("catalog", "search", "order", "cart", "inventory"),
    "out-of-order": ("order",),
    "retry-storm": ("catalog", "cart", "payment", "inventory"),
    "brute-force": ("auth",),
    "forgetful-user": ("auth",),
    "unusual-access": ("gateway",),
    "crawler": ("gateway",),
}


@dataclass
class Event:
    """One planned happening.

    Attributes:
        number: an incident's number from 1 in order of time; 0 for a harmless look-alike.
        start: seconds after the log's start.
        size: labelled lines it shall bring (for a look-alike: lines of the same kind).
        taken: how much of ``size`` has been used up so far; the generator counts here.
        last: seconds of the last request it touched.
    """

    number: int
    kind: str
    service: int
    start: float
    size: float
    stream: int
    taken: float = 0.0
    last: float = 0.0
    closed: bool = False


@dataclass(frozen=True)
class Release:
    """A rollout; ``feature`` is the statement it adds, or -1."""

    service: int
    start: float
    feature: int


@dataclass(frozen=True)
class Plan:
    """All events in order of time, the releases, and when each feature begins (seconds; infinite if never)."""

    events: list[Event]
    releases: list[Release]
    features: list[float]


def make_plan(n: int, rhythm: Rhythm, chance: Chance, rate: float, difficulty: float, kinds: Sequence[str]) -> Plan:
    """Place incidents evenly over the lines (so that busy hours get more), each kind early and late alike."""
    budget = rate * n
    # Many small incidents and some length to each: both their number and their size grow with the root.
    count = int(min(1.3 * math.sqrt(budget) + 0.5, budget / 6.0)) if kinds else 0
    drawn = _draw_kinds(count, chance, kinds)
    weight = math.fsum(_SIZE[kind][0] for kind in drawn) or 1.0
    starts = sorted(_place(n, index, count, rhythm, chance) for index in range(count))
    events = []
    for number, (kind, start) in enumerate(zip(drawn, starts, strict=True), 1):
        share, least = _SIZE[kind]
        size = max(least, share * budget / weight * (0.6 + 0.8 * chance.one()))
        events.append(Event(number, kind, _service(kind, n, chance), start, size, number))
    events += _lookalikes(n, round(count * 3 * difficulty), rhythm, chance)
    releases, features = _releases(n, rhythm, chance)
    releases += [
        Release(event.service, max(5.0, event.start - 40.0 - 120.0 * chance.one()), -1)
        for event in events
        if event.kind == "error-spike"
    ]
    return Plan(sorted(events, key=lambda event: event.start), sorted(releases, key=lambda r: r.start), features)


def _draw_kinds(count: int, chance: Chance, kinds: Sequence[str]) -> list[str]:
    """The kinds of ``count`` incidents in order of time; the late kind in the last part only."""
    common = [kind for kind in kinds if kind != LATE_KIND] or list(kinds)
    late = count - math.ceil(LATE_FROM * count)
    if LATE_KIND not in kinds or count < len(kinds):
        return _rounds(common, count, chance)
    if late < len(kinds):  # no room for a round of its own
        drawn = _rounds(common, count - 1, chance)
        drawn.insert(count - late, LATE_KIND)
        return drawn
    return _rounds(common, count - late, chance) + _rounds([LATE_KIND, *common], late, chance)


def _rounds(kinds: list[str], count: int, chance: Chance) -> list[str]:
    """Each kind in turn, in a new order every round; a last, shorter round takes the first kinds."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += [kinds[i] for i in chance.order(min(len(kinds), count - len(drawn)))]
    return drawn


def _service(kind: str, n: int, chance: Chance) -> int:
    """The service at fault: any that fits, but one of the two busiest where the log is too short to wait."""
    names = _SERVICES[kind] if n >= _SHORT else _SERVICES[kind][:2]
    return NAMES.index(names[int(chance.one() * len(names))])


def _place(n: int, index: int, count: int, rhythm: Rhythm, chance: Chance) -> float:
    """A time within the ``index``-th of ``count`` stretches; soon after maintenance if the stretch holds one."""
    first, last = 0.03 * n, (0.96 if n >= _SHORT else 0.88) * n
    stretch = (last - first) / count
    line = first + stretch * (index + 0.9 * chance.one())
    after = rhythm.after_maintenance(rhythm.when(first + stretch * index), rhythm.when(first + stretch * (index + 0.9)))
    hurry = chance.one()
    return after + 60.0 + 2400.0 * hurry if after is not None and hurry < 0.6 else rhythm.when(line)


def _lookalikes(n: int, count: int, rhythm: Rhythm, chance: Chance) -> list[Event]:
    found = []
    for index in range(count):
        kind = LOOKALIKES[int(chance.one() * len(LOOKALIKES))]
        start = rhythm.when((0.01 + 0.97 * (index + chance.one()) / count) * n)
        size = 6.0 + 14.0 * chance.one() * chance.one()
        found.append(Event(0, kind, _service(kind, n, chance), start, size, 100_000 + index))
    return found


def _releases(n: int, rhythm: Rhythm, chance: Chance) -> tuple[list[Release], list[float]]:
    """At least two; one in about a day and a half. The first ones add a statement each, spread over the log."""
    days = rhythm.when(float(n)) / 86_400.0
    count = max(2, round(days / 1.5))
    features = [float("inf")] * FEATURES
    order = chance.order(FEATURES)
    releases = []
    for index in range(count):
        start = rhythm.when((index + 0.2 + 0.6 * chance.one()) / count * n)
        feature = int(order[index]) if index < FEATURES else -1
        service = int(chance.one() * (len(NAMES) - 1))
        if feature >= 0:
            features[feature] = start + 90.0
            service = _FEATURE_SERVICE[feature]
        releases.append(Release(service, start, feature))
    return releases, features


_FEATURE_SERVICE: Final = tuple(
    NAMES.index(name)
    for name in ("catalog", "search", "cart", "auth", "catalog", "payment", "order", "gateway", "shipping", "notifier")
)
