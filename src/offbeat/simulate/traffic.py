"""Requests as they arrive, and the lines they leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.simulate.chance import Chance, Floats, Ints
from offbeat.simulate.rhythm import SLOT, Rhythm
from offbeat.simulate.shop import FAILING, FLOWS, GATEWAY, NAMES, TEMPLATES, USES, WEIGHTS, flow_of

#: What may befall a request: nothing; a service slow, failing or mute; steps swapped or repeated; strange as a whole.
NOTHING, SLOW, FAIL, MUTE, SWAP, REPEAT, WHOLE = range(7)

USERS: Final = 2400
ADMINS: Final = 6
_ADDRESSES: Final = 0x64400000  # 100.64.0.0/10, set aside for shared use (RFC 6598)
_LOGINS: Final = np.array([flow.route == "login" for flow in FLOWS])
_REPORT: Final = flow_of("report", "200")
_TRACK: Final = flow_of("track", "200")
_TIMED: Final = np.array([template.timed for template in TEMPLATES])
_WORK: Final = np.array([template.work for template in TEMPLATES])
_COUNT_LOW: Final = np.array([template.count[0] for template in TEMPLATES])
_COUNT_SPAN: Final = np.array([template.count[1] - template.count[0] + 1 for template in TEMPLATES])

#: One row a line before it is written. ``time`` is milliseconds after the start; -1 or 0 (trace) stand for none.
ROWS: Final[dict[str, pl.DataType]] = {
    "time": pl.Int64(),
    "template": pl.Int16(),
    "trace": pl.UInt64(),
    "user": pl.Int32(),
    "ip": pl.Int64(),
    "item": pl.Int32(),
    "order": pl.Int64(),
    "count": pl.Int32(),
    "ms": pl.Int32(),
    "cpu": pl.Int16(),
    "mem": pl.Int16(),
    "pick": pl.Int32(),
    "incident": pl.Int32(),
}


@dataclass(frozen=True)
class Requests:
    """Requests, one array entry each: ``start`` in seconds, ``flow`` into FLOWS, ``incident`` 0 for normal ones."""

    start: Floats
    flow: Ints
    user: Ints
    ip: Ints
    item: Ints
    serial: Ints
    fault: Ints
    service: Ints
    factor: Floats
    incident: Ints

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, index: NDArray[np.bool_] | Ints) -> Requests:
        return Requests(*(getattr(self, field.name)[index] for field in fields(self)))

    @staticmethod
    def join(parts: Sequence[Requests]) -> Requests:
        """The requests of all parts, one after the other."""
        return Requests(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Requests)))


def home(user: Ints) -> Ints:
    """The address a user mostly comes from."""
    return _ADDRESSES + user * 2_654_435_761 % (1 << 22)


def anywhere(chance: Chance, size: int) -> Ints:
    """Addresses of strangers."""
    return _ADDRESSES + chance.below(1 << 22, size)


def requests(start: Floats, flow: Ints, user: Ints, ip: Ints, chance: Chance, serial: int) -> Requests:
    """Requests to which nothing has happened yet, numbered from ``serial``."""
    size = len(start)
    item = (4000 * chance.uniform(size) * chance.uniform(size)).astype(np.int64)
    none = np.zeros(size, np.int64)
    numbers = np.arange(serial, serial + size)
    return Requests(start, flow, user, ip, item, numbers, none, none.copy(), np.ones(size), none.copy())


def arrivals(slots: range, rhythm: Rhythm, chance: Chance, serial: int, difficulty: float) -> Requests:
    """The normal requests that start in the given slots, in order of time."""
    expected = rhythm.requests[slots.start : slots.stop]
    arrived = (expected + chance.uniform(len(expected))).astype(np.int64)
    start = np.repeat(np.arange(slots.start, slots.start + len(expected)) * SLOT, arrived)
    size = len(start)
    start = np.sort(start + SLOT * chance.uniform(size))
    hour = rhythm.hour(start)
    flow = chance.weighted(WEIGHTS, size)
    morning = chance.weighted(np.where(_LOGINS, WEIGHTS, 0.0), size)  # people log in when their day begins
    flow = np.where((hour >= 7.0) & (hour < 9.5) & (chance.uniform(size) < 0.09), morning, flow)
    flow = np.where((flow == _REPORT) & ((hour < 8.0) | (hour >= 18.0)), 0, flow)
    user = (USERS * chance.uniform(size) * chance.uniform(size)).astype(np.int64)
    user = np.where(flow == _REPORT, user % ADMINS, user)
    ip = np.where(chance.uniform(size) < 0.88, home(user), anywhere(chance, size))
    found = requests(start, flow, user, ip, chance, serial)
    return _background_noise(found, rhythm, chance, difficulty)


def _background_noise(found: Requests, rhythm: Rhythm, chance: Chance, difficulty: float) -> Requests:
    """Let a few normal requests fail, lose a line, or log twice or out of turn, more so under load."""
    size = len(found)
    slot = np.minimum((found.start / SLOT).astype(np.int64), len(rhythm) - 1)
    strain = (0.4 + rhythm.load[slot] + 8.0 * rhythm.maintenance[slot]) * (0.2 + 1.6 * difficulty)
    service = np.argmax(chance.uniform(size, len(NAMES)) * USES[found.flow] * (np.arange(len(NAMES)) > 0), axis=1)
    dice = chance.uniform(size)
    steps = np.cumsum([0.0022, 0.0008, 0.0008, 0.0012])[:, None] * strain
    fault = np.select([dice < step for step in steps], [FAIL, MUTE, SWAP, REPEAT], NOTHING)
    return befall(replace(found, service=np.where(fault > 0, service, 0)), fault)


def befall(found: Requests, fault: Ints) -> Requests:
    """Set what befalls each request; those that fail take the failing form of their flow, where there is one."""
    failing = FAILING[np.minimum(found.flow, len(FAILING) - 1), found.service]
    failing = np.where(found.flow < len(FAILING), failing, -1)
    fails = (fault == FAIL) & (failing >= 0)
    fault = np.where((fault == FAIL) & ~fails, NOTHING, fault)
    return replace(found, flow=np.where(fails, failing, found.flow), fault=fault)


def lines(found: Requests, rhythm: Rhythm, features: Floats, chance: Chance) -> list[pl.DataFrame]:
    """The lines of all requests: frames with ROWS, unsorted."""
    frames = []
    for index in np.unique(found.flow):
        some = found[found.flow == index]
        frames.append(_flow_lines(some, int(index), rhythm, features, chance))
    return frames


def _flow_lines(some: Requests, index: int, rhythm: Rhythm, features: Floats, chance: Chance) -> pl.DataFrame:
    """The lines of requests that all take the same flow; matrices here are (requests, steps)."""
    flow = FLOWS[index]
    shape = (len(some), len(flow.template))
    ours = flow.service[None, :] == some.service[:, None]
    active = (flow.feature < 0)[None, :] | (some.start[:, None] >= np.append(features, np.inf)[flow.feature][None, :])
    usual = (chance.uniform(*shape) < flow.chance) & active
    muted = (some.fault == MUTE)[:, None] & ours & (flow.service != GATEWAY)
    present = usual & ~muted
    load = rhythm.load_at(some.start)
    work = _WORK[flow.template] * chance.delay(*shape) * (0.85 + 0.12 * load * load)[:, None]
    slowed = (some.fault == SLOW)[:, None] & ours
    work = np.maximum(np.where(slowed, work * some.factor[:, None], work), 1.0)
    passed = np.cumsum(np.where(flow.later | ~present, 0.0, work), axis=1)
    time = np.where(flow.later, passed + work, passed)
    milliseconds = np.where(np.arange(shape[1]) == flow.done, passed, work)
    time, swapped = _swap(some, time, present & ~flow.later, chance)
    labelled: NDArray[np.bool_] = (some.fault == WHOLE)[:, None] | swapped | (slowed & _TIMED[flow.template])
    answer = np.arange(shape[1]) == flow.done
    labelled |= np.isin(some.fault, (SLOW, FAIL))[:, None] & answer
    labelled |= (some.fault == FAIL)[:, None] & (np.arange(shape[1]) == flow.done - 1)
    labelled |= _after_silence(muted & usual, present)
    return _flatten(some, flow.template, present, time, milliseconds, labelled, ours, chance)


def _swap(some: Requests, time: Floats, movable: NDArray[np.bool_], chance: Chance) -> tuple[Floats, NDArray[np.bool_]]:
    """Exchange the times of two steps that follow one another, in requests that suffer SWAP.

    The first and last step stay in place. Returns the times, and where they were exchanged.
    """
    swapped = np.zeros(time.shape, bool)
    time = time.copy()
    for row in np.flatnonzero(some.fault == SWAP):
        steps = np.flatnonzero(movable[row])[1:-1]
        if len(steps) < 2:
            continue
        at = int(chance.one() * (len(steps) - 1))
        pair = steps[at : at + 2]
        time[row, pair] = time[row, pair[::-1]]
        swapped[row, pair] = True
    return time, swapped


def _after_silence(silent: NDArray[np.bool_], present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark in each request the first line after its last missing one, or its last line where none follows."""
    steps = present.shape[1]
    last_silent: Ints = np.where(silent.any(axis=1), steps - 1 - np.argmax(silent[:, ::-1], axis=1), steps)
    after = present & (np.arange(steps) > last_silent[:, None])
    first_after = np.argmax(after, axis=1)
    last_line = steps - 1 - np.argmax(present[:, ::-1], axis=1)
    place = np.where(after.any(axis=1), first_after, last_line)
    marked = np.zeros(present.shape, bool)
    marked[np.arange(len(place)), place] = silent.any(axis=1)
    return marked


def _flatten(
    some: Requests,
    template: Ints,
    present: NDArray[np.bool_],
    time: Floats,
    milliseconds: Floats,
    labelled: NDArray[np.bool_],
    ours: NDArray[np.bool_],
    chance: Chance,
) -> pl.DataFrame:
    row, step = np.nonzero(present)
    code = template[step]
    counts = draw_counts(code, chance)
    at = some.start[row] * 1000.0 + time[row, step]
    label = labelled[row, step]
    # A retried service logs its steps again while the first attempt is still going on.
    again = np.where((some.fault[row] == REPEAT) & ours[row, step], 1 + some.serial[row] % 3, 0)
    copies = np.repeat(np.arange(len(row)), again + 1)
    turn = np.arange(len(copies)) - np.repeat(np.cumsum(again + 1) - (again + 1), again + 1)
    row, step, code = row[copies], step[copies], code[copies]
    at = at[copies] + turn * (180.0 + some.item[row] % 240)
    label = label[copies] | (turn > 0)
    # People follow their older orders; only who reads through other people's takes one after the other.
    older = np.where((some.flow[row] == _TRACK) & (some.fault[row] != WHOLE), some.item[row], 0)
    return frame(
        np.floor(at).astype(np.int64),
        code,
        trace=mix(some.serial[row]),
        user=some.user[row],
        ip=some.ip[row],
        item=10_000 + some.item[row],
        order=100_000 + some.serial[row] - older,
        count=counts[copies],
        ms=np.where(_TIMED[code], np.floor(milliseconds[row, step]), -1).astype(np.int64),
        pick=some.serial[row],
        incident=np.where(label, some.incident[row], 0),
    )


def mix(serial: Ints) -> NDArray[np.uint64]:
    """Serial numbers as trace ids that look random and never repeat (the finaliser of SplitMix64)."""
    z = serial.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def draw_counts(template: Ints, chance: Chance) -> Ints:
    """Values for ``{count}``, small ones more often, within each template's range."""
    skew = chance.uniform(len(template)) * chance.uniform(len(template))
    return _COUNT_LOW[template] + (_COUNT_SPAN[template] * skew).astype(np.int64)


def frame(time: Ints, template: Ints, **columns: NDArray[np.generic]) -> pl.DataFrame:
    """A frame with ROWS; columns not given say none."""
    none, nought = np.full(len(time), -1, np.int64), np.zeros(len(time), np.int64)
    given: dict[str, NDArray[np.generic]] = dict.fromkeys(ROWS, none) | {
        "time": time,
        "template": template,
        "trace": nought,
        "pick": nought,
        "incident": nought,
    }
    return pl.DataFrame(given | columns).cast(dict(ROWS))  # type: ignore[arg-type]  # dict is invariant
