"""How incidents and their harmless look-alikes change the traffic, or add to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offbeat.simulate.chance import Chance, Floats, Ints
from offbeat.simulate.plan import Event
from offbeat.simulate.shop import FAILING, FLOWS, UNPAID, USES, flow_of
from offbeat.simulate.traffic import (
    ADMINS,
    FAIL,
    MUTE,
    NOTHING,
    REPEAT,
    SLOW,
    SWAP,
    USERS,
    WHOLE,
    Requests,
    anywhere,
    befall,
    home,
    requests,
)

_CHECKOUT: Final = flow_of("checkout", "201")
_LOGIN, _REFUSED = flow_of("login", "200"), flow_of("login", "401")
_BROWSE, _ABSENT = flow_of("browse", "200"), flow_of("browse", "404")
_TRACK, _ACCOUNT, _REPORT = flow_of("track", "200"), flow_of("account", "200"), flow_of("report", "200")


@dataclass(frozen=True)
class Effect:
    """What an event does to requests that pass its service.

    Attributes:
        fault: what befalls them.
        share: the share of them that it befalls.
        gain: labelled lines it brings a request, about.
        factor: times the usual work, on the mean; for SLOW only.
        ramp: whether ``factor`` is reached little by little.
    """

    fault: int
    share: float
    gain: float
    factor: float = 1.0
    ramp: bool = False


def effect_of(kind: str, difficulty: float) -> Effect | None:
    """The effect of an event, or None for those that add requests or lines of their own."""
    ease = 1.0 - difficulty
    effects = {
        "error-spike": Effect(FAIL, 0.3 + 0.6 * ease, 2.0),
        "hiccup": Effect(FAIL, 0.25, 2.0),
        "slow-response": Effect(SLOW, 0.45 + 0.5 * ease, 1.6, 2.0 + 4.0 * ease),
        "slow-blip": Effect(SLOW, 0.6, 2.0, 3.0),
        "degradation": Effect(SLOW, 0.5 + 0.4 * ease, 1.1, 2.0 + 3.0 * ease, ramp=True),
        "silent-component": Effect(MUTE, 0.5 + 0.5 * ease, 1.0),
        "restart": Effect(MUTE, 0.5, 2.0),
        "out-of-order": Effect(SWAP, 0.4 + 0.6 * ease, 2.0),
        "retry-storm": Effect(REPEAT, 0.3 + 0.6 * ease, 3.5),
    }
    return effects.get(kind)


def touch(event: Event, effect: Effect, found: Requests, chance: Chance) -> Requests:
    """Let the event befall the next requests until its size is used up; counts in ``event``."""
    fits = (found.start >= event.start) & (found.fault == NOTHING) & USES[found.flow, event.service]
    if effect.fault == FAIL:
        fits &= FAILING[np.minimum(found.flow, len(FAILING) - 1), event.service] >= 0
    if effect.fault == SWAP:
        fits &= found.flow == _CHECKOUT
    fits &= chance.uniform(len(found)) < effect.share
    wanted = max(0, int(np.ceil((event.size - event.taken) / effect.gain)))
    hit = np.flatnonzero(fits)[:wanted]
    spread = chance.uniform(len(hit))
    if not len(hit):
        return found
    progress = (event.taken + effect.gain * np.arange(len(hit))) / event.size
    event.taken += effect.gain * len(hit)
    event.last = float(found.start[hit[-1]])
    # A slow creep counts as an anomaly once it has gone a third of its way.
    number = np.where(progress > 1 / 3, event.number, 0) if effect.ramp else np.full(len(hit), event.number)
    factor = np.where(effect.ramp, 1.0 + (effect.factor - 1.0) * progress, effect.factor * (0.5 + spread))
    return _set(found, hit, event.service, effect.fault, factor, number)


def _set(found: Requests, hit: Ints, service: int, fault: int, factor: Floats, number: Ints) -> Requests:
    services, factors = found.service.copy(), found.factor.copy()
    numbers, faults = found.incident.copy(), found.fault.copy()
    services[hit], factors[hit], numbers[hit], faults[hit] = service, factor, number, fault
    if fault != FAIL:
        return replace(found, service=services, factor=factors, incident=numbers, fault=faults)
    chosen = np.zeros(len(found), bool)
    chosen[hit] = True
    changed = befall(replace(found, service=services, incident=numbers), np.where(chosen, FAIL, NOTHING))
    return replace(changed, fault=faults)


def added(event: Event, chance: Chance, serial: int, difficulty: float) -> Requests | None:
    """The requests an event brings by itself, or None for the kinds that change others' requests."""
    adders = {
        "brute-force": _brute_force,
        "forgetful-user": _forgetful,
        "crawler": _crawler,
        "unusual-access": _unusual,
    }
    adder = adders.get(event.kind)
    if adder is None:
        return None
    event.taken = event.size
    flow, user, ip, gap = adder(event, chance, difficulty)
    start = event.start + np.cumsum(gap * (0.3 + 1.4 * chance.uniform(len(flow))))
    found = requests(start, flow, user, ip, chance, serial)
    size = len(found)
    return replace(found, fault=np.full(size, WHOLE), incident=np.full(size, event.number))


_Added = tuple[Ints, Ints, Ints, float]


def _repeat(value: int, size: int) -> Ints:
    return np.full(size, value, np.int64)


def _brute_force(event: Event, chance: Chance, difficulty: float) -> _Added:
    """Failed logins from one address (or, harder, a few), against one user or many; four in ten get in."""
    size = max(5, round(event.size / 4.0))
    sprayed = chance.one() < 0.5
    one, many = int(USERS * chance.one()), chance.below(USERS, size)
    user = many if sprayed else _repeat(one, size)
    ip = anywhere(chance, 4)[chance.below(1 + int(4.0 * difficulty * chance.one()), size)]
    flow = _repeat(_REFUSED, size)
    if chance.one() < 0.4:
        last = [_LOGIN, _ACCOUNT]
        flow, user, ip = np.append(flow, last), np.append(user, [user[-1]] * 2), np.append(ip, [ip[-1]] * 2)
    return flow, user, ip, 2.0 + 10.0 * difficulty


def _forgetful(event: Event, chance: Chance, difficulty: float) -> _Added:
    """A user who tries a few passwords before the right one."""
    size = 2 + int(5.0 * chance.one())
    user = _repeat(int(USERS * chance.one()), size)
    return np.append(_repeat(_REFUSED, size - 1), _LOGIN), user, home(user), 14.0


def _crawler(event: Event, chance: Chance, difficulty: float) -> _Added:
    """One address that fetches products in a hurry, half of them gone."""
    size = round(event.size)
    flow = np.where(chance.uniform(size) < 0.5, _BROWSE, _ABSENT)
    return flow, _repeat(int(USERS * chance.one()), size), _repeat(int(anywhere(chance, 1)[0]), size), 3.0


def _unusual(event: Event, chance: Chance, difficulty: float) -> _Added:
    """Reports drawn by someone who never did, one order read after the other, or goods ordered without paying."""
    user = ADMINS + int((USERS - ADMINS) * chance.one())
    ip = int(anywhere(chance, 1)[0])
    flow, gap = ((_REPORT, 60.0), (_TRACK, 4.0), (UNPAID, 200.0))[int(3.0 * chance.one())]
    size = max(1, round(event.size / FLOWS[flow].lines))
    return _repeat(flow, size), _repeat(user, size), _repeat(ip, size), gap * (0.5 + difficulty)


def silenced(event: Event, until: float) -> tuple[float, float] | None:
    """From when to when a component says nothing at all, as far as is known by ``until``; None for other kinds."""
    if event.kind != "silent-component" or event.start >= until:
        return None
    return event.start, event.last if event.taken >= event.size else until


def mask_silenced(time: Floats, service: NDArray[np.int64], events: list[Event], until: float) -> NDArray[np.bool_]:
    """Which background lines at ``time`` (seconds) a silent component does not write."""
    lost = np.zeros(len(time), bool)
    for event in events:
        span = silenced(event, until)
        if span is not None:
            lost |= (service == event.service) & (time >= span[0]) & (time <= span[1])
    return lost
