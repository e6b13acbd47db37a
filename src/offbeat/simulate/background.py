"""Lines nobody asked for: health checks, heaps, pools, nightly jobs, maintenance, rollouts."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from offbeat.simulate.chance import Chance, Ints
from offbeat.simulate.faults import mask_silenced
from offbeat.simulate.plan import Event, Plan, Release
from offbeat.simulate.rhythm import COLLECTION, HEALTH, HOUR_OF_START, POOL, SLOT, Rhythm
from offbeat.simulate.shop import CODE, DEPLOYER, NAMES, SERVICES, TEMPLATES
from offbeat.simulate.traffic import draw_counts, frame

_SERVICE_OF_INSTANCE: Final = np.array([NAMES.index(name) for name, size in SERVICES.items() for _ in range(size)][:-1])
_NUMBER_OF_INSTANCE: Final = np.array([k for size in SERVICES.values() for k in range(size)][:-1])
_WORK: Final = np.array([template.work for template in TEMPLATES])
_DAY: Final = 86_400.0


def _codes(name: str) -> Ints:
    return np.array([CODE[f"{service}.{name}"] for service in NAMES])


_HEALTH, _POOL, _GC = _codes("health"), _codes("pool"), _codes("gc")
_STOPPING, _STARTED, _KILLED = _codes("stopping"), _codes("started"), _codes("killed")


def chatter(slots: range, rhythm: Rhythm, events: list[Event], chance: Chance) -> pl.DataFrame:
    """What each instance writes by itself in the given slots, less what silent components do not."""
    begin, end = slots.start * SLOT, slots.stop * SLOT
    times, instances, codes = [], [], []
    for period, of_service in ((HEALTH, _HEALTH), (POOL, _POOL), (COLLECTION, _GC)):
        beats = np.arange(int(begin / period), int(end / period) + 1) * period
        instance = np.repeat(np.arange(len(_SERVICE_OF_INSTANCE)), len(beats))
        phase = (instance * 0.618034 * period) % period
        times.append(np.tile(beats, len(_SERVICE_OF_INSTANCE)) + phase + 4.0 * chance.uniform(len(instance)))
        instances.append(instance)
        codes.append(of_service[_SERVICE_OF_INSTANCE[instance]])
    time, instance, code = np.concatenate(times), np.concatenate(instances), np.concatenate(codes)
    service = _SERVICE_OF_INSTANCE[instance]
    keep = (time >= begin) & (time < end) & ~mask_silenced(time, service, events, end)
    time, instance, code, service = time[keep], instance[keep], code[keep], service[keep]
    load = rhythm.load_at(time)
    size = len(time)
    cpu = np.minimum(8 + 26 * load + 18 * chance.uniform(size) * chance.uniform(size), 99.0)
    # Heaps fill over most of a day and are emptied by a restart at night.
    age = (time / _DAY + instance * 0.37) % 1.0
    mem = np.minimum(38.0 + 30.0 * age + 5.0 * load + 6.0 * chance.uniform(size), 92.0)
    health, gc = code == _HEALTH[service], code == _GC[service]
    return frame(
        np.floor(time * 1000.0).astype(np.int64),
        code,
        count=draw_counts(code, chance),
        cpu=np.where(health, cpu, -1).astype(np.int64),
        mem=np.where(health | gc, mem, -1).astype(np.int64),
        ms=np.where(gc, 25.0 * chance.delay(size), -1).astype(np.int64),
        pick=_NUMBER_OF_INSTANCE[instance],
    )


def jobs(slots: range, rhythm: Rhythm, chance: Chance) -> pl.DataFrame:
    """Hourly and nightly jobs, and the maintenance windows."""
    plan: list[tuple[float, str]] = []
    last = len(rhythm) - 1
    for slot in slots:
        time, hour = slot * SLOT, HOUR_OF_START + slot * SLOT / 3600.0
        if hour == int(hour):
            plan += [(time + 300.0, "auth.expired"), (time + 900.0, "search.indexed")]
            if int(hour) % 24 == 2:
                plan += [(time + 60.0, "inventory.begin"), (time + 1500.0, "inventory.finish")]
        before, now, after = rhythm.maintenance[slot - 1 : slot + 2].tolist() if 0 < slot < last else (0, 0, 0)
        if now and not before:
            plan += [(time + 1.0, "gateway.opened"), (time + 420.0, "gateway.switched")]
        if now and not after:
            plan += [(time + SLOT - 240.0, "gateway.switched"), (time + SLOT - 4.0, "gateway.closed")]
    code = np.array([CODE[name] for _, name in plan], np.int64)
    begin = np.array([when for when, _ in plan]) + 2.0 * chance.uniform(len(plan))
    milliseconds = np.where(code == CODE["search.indexed"], _WORK[code] * chance.delay(len(plan)), -1.0)
    return frame(
        np.floor(begin * 1000.0).astype(np.int64),
        code,
        count=draw_counts(code, chance),
        ms=milliseconds.astype(np.int64),
    )


def rollout(release: Release, version: int, chance: Chance) -> pl.DataFrame:
    """A release reaches one instance after the other."""
    return _rollout(release.service, release.start, version, "deployer.start", "deployer.done", chance)


def rollback(event: Event, version: int, chance: Chance) -> pl.DataFrame:
    """The old version comes back after a release that failed."""
    return _rollout(event.service, event.last + 20.0 + 60.0 * chance.one(), version, "", "deployer.back", chance)


def _rollout(service: int, start: float, version: int, first: str, last: str, chance: Chance) -> pl.DataFrame:
    instances = SERVICES[NAMES[service]]
    steps = [(0.0, CODE[first], 0)] if first else []
    for instance in range(instances):
        steps += [(4.0 + 9.0 * instance, int(_STOPPING[service]), instance)]
        steps += [(9.0 + 9.0 * instance, int(_STARTED[service]), instance)]
    steps += [(12.0 + 9.0 * instances, CODE[last], 0)]
    return _steps(steps, start, service, version, chance)


def restart(event: Event, version: int, chance: Chance) -> pl.DataFrame:
    """One instance stops and starts, as planned; the lines are normal."""
    steps = [(0.0, int(_STOPPING[event.service]), 0), (14.0, int(_STARTED[event.service]), 0)]
    return _steps(steps, event.start, event.service, version, chance)


def _steps(
    steps: list[tuple[float, int, int]], start: float, service: int, version: int, chance: Chance
) -> pl.DataFrame:
    after, code, pick = (np.array(column) for column in zip(*steps, strict=True))
    time = start + after + 2.0 * chance.uniform(len(steps))
    whole = np.full(len(steps), version)
    target = np.full(len(steps), service)
    return frame(np.floor(time * 1000.0).astype(np.int64), code, item=target, order=whole, pick=pick)


def pressure(event: Event, version: int, difficulty: float, chance: Chance) -> pl.DataFrame:
    """A heap that fills up: more collections, longer ones, fewer free connections; half of them end with a kill.

    The harmless look-alike (``busy-heap``) stops half way. Lines count as anomalous after three tenths of the way.
    """
    event.taken = event.size
    harmless = event.number == 0
    size = max(3, round(event.size / 0.7))
    way = np.arange(1, size + 1) / size * (0.5 if harmless else 1.0)
    service = event.service
    code = np.array([_HEALTH, _GC, _POOL])[chance.below(3, size), service]
    time = event.start + np.cumsum((6.0 + 14.0 * difficulty) * (0.4 + 1.2 * chance.uniform(size)))
    mem = np.minimum(64.0 + 32.0 * way + 4.0 * chance.uniform(size), 99.0)
    health, gc = code == _HEALTH[service], code == _GC[service]
    lines = frame(
        np.floor(time * 1000.0).astype(np.int64),
        code,
        count=(8.0 + 40.0 * way * (0.6 + 0.4 * chance.uniform(size))).astype(np.int64),
        cpu=np.where(health, np.minimum(30.0 + 50.0 * way + 15.0 * chance.uniform(size), 99.0), -1).astype(np.int64),
        mem=np.where(health | gc, mem, -1).astype(np.int64),
        ms=np.where(gc, 25.0 * (1.0 + 3.0 * way) * chance.delay(size), -1).astype(np.int64),
        incident=np.where(way > 0.3, event.number, 0),
    )
    if harmless or chance.one() < 0.5:
        return lines
    end = float(time[-1])
    ending = _steps([(3.0, int(_KILLED[service]), 0), (21.0, int(_STARTED[service]), 0)], end, service, version, chance)
    killed = ending["template"] == int(_KILLED[service])
    return pl.concat([lines, ending.with_columns(incident=killed.cast(pl.Int32) * event.number)])


def happenings(plan: Plan, begin: float, end: float, difficulty: float, chance: Chance) -> list[pl.DataFrame]:
    """Rollouts, rollbacks, restarts and filling heaps that begin between two times (seconds)."""
    frames = []
    for version, release in enumerate(plan.releases):
        if begin <= release.start < end:
            frames.append(rollout(release, version, chance))
    for event in plan.events:
        version = sum(release.start < event.start for release in plan.releases)
        if event.kind in ("resource-exhaustion", "busy-heap") and begin <= event.start < end:
            frames.append(pressure(event, version, difficulty, chance))
        if event.kind == "restart" and begin <= event.start < end:
            frames.append(restart(event, version, chance))
        if event.kind == "error-spike" and event.taken >= event.size and not event.closed:
            event.closed = True
            frames.append(rollback(event, max(version - 2, 0), chance))
    return frames


assert len(NAMES) - 1 == DEPLOYER  # noqa: S101 - the instances above leave out the last service
