"""The simulator: a labelled JSON log of a small shop, written in one step."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from errno import EEXIST, EISDIR
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import polars as pl

from offbeat.errors import InputError, OptionError
from offbeat.simulate import background, faults, traffic
from offbeat.simulate.chance import Chance
from offbeat.simulate.plan import KINDS, Plan, make_plan
from offbeat.simulate.render import render
from offbeat.simulate.reword import Reworded
from offbeat.simulate.rhythm import SLOT, START, Rhythm
from offbeat.simulate.shop import NAMES

_BLOCK: Final = 72  # slots written at a time: half a day, about 20,000 lines
_PLAN, _RHYTHM, _TRAFFIC, _SALT, _REWORD = 1, 2, 3, 4, 5  # names of streams of chance


@dataclass(frozen=True)
class Incident:
    """One injected incident, as far as it was written.

    Attributes:
        incident: its number, as in the labels.
        service: the service at fault (the one it goes through, for attacks).
        start: time of its first labelled line; ``end`` of its last.
        first_line: 1-based number of its first labelled line; ``last_line`` of its last.
        lines: how many lines are labelled with it.
    """

    incident: int
    kind: str
    service: str
    start: datetime
    end: datetime
    first_line: int
    last_line: int
    lines: int


@dataclass(frozen=True)
class Simulation:
    """What was written."""

    path: Path
    labels: Path
    lines: int
    anomalous: int
    seed: int
    start: datetime
    end: datetime
    incidents: tuple[Incident, ...]

    @property
    def kinds(self) -> dict[str, int]:
        """Incidents by kind."""
        found = [incident.kind for incident in self.incidents]
        return {kind: found.count(kind) for kind in KINDS if kind in found}

    def as_dict(self) -> dict[str, Any]:
        """The summary with plain values only, for JSON."""
        plain = asdict(self) | {"path": str(self.path), "labels": str(self.labels), "kinds": self.kinds}
        return cast("dict[str, Any]", _plain(plain))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def simulate(
    path: str | os.PathLike[str],
    n: int,
    seed: int = 0,
    *,
    rate: float = 0.015,
    difficulty: float = 0.5,
    kinds: Sequence[str] | None = None,
    reword: float = 0.0,
) -> Simulation:
    """Write ``n`` JSON lines to ``path`` and their labels to ``path`` + ``.labels.csv``.

    The same arguments give the same bytes on every machine. Existing files are replaced once both are complete.
    A path that ends in ``.gz`` is compressed.

    Args:
        path: the log to write.
        n: number of lines, 1 or more.
        seed: 0 or more.
        rate: share of lines to be anomalous, about; 0 … 0.2. With few lines there may be fewer or none (an incident
            takes some lines to be one).
        difficulty: 0 (incidents stand out, few look-alikes) … 1 (they hide among many).
        kinds: the kinds of incident to inject, of KINDS; None for all.
        reword: at half time a release words so large a share of the usual templates anew; 0 … 0.8. What happens, and
            the labels, are the same as without.

    Raises:
        OptionError: an argument is out of its range.
        InputError: the files cannot be written.
    """
    chosen = _check(n, seed, rate, difficulty, kinds)
    if not 0.0 <= reword <= 0.8:
        raise OptionError(f"the share of templates worded anew {reword} is not in 0 … 0.8", where="reword")
    target = Path(path)
    labels = target.with_name(target.name + ".labels.csv")
    rhythm = Rhythm(n, Chance(seed, _RHYTHM), sales=2.0 * difficulty)
    plan = make_plan(n, rhythm, Chance(seed, _PLAN), rate, difficulty, chosen)
    tally = _Tally(plan)
    reworded = Reworded.draw(reword, rhythm.when(n / 2), Chance(seed, _REWORD)) if reword else None
    with _replacing(target, labels) as (log, table):
        table.write(b"line,label,kind,incident\n")
        for rows in _written(n, seed, rhythm, plan, difficulty):
            log.write(render(rows, reworded))
            table.write(tally.labels(rows))
    return tally.summary(target, labels, seed)


def _check(n: int, seed: int, rate: float, difficulty: float, kinds: Sequence[str] | None) -> list[str]:
    if n < 1:
        raise OptionError(f"cannot write {n} lines", where="n", hint="give 1 or more; incidents fit from about 400")
    if seed < 0:
        raise OptionError(f"the seed {seed} is negative", where="seed", hint="give 0 or more")
    if not 0.0 <= rate <= 0.2:
        raise OptionError(f"the share of anomalous lines {rate} is not in 0 … 0.2", where="rate")
    if not 0.0 <= difficulty <= 1.0:
        raise OptionError(f"the difficulty {difficulty} is not in 0 … 1", where="difficulty")
    for kind in kinds or ():
        if kind not in KINDS:
            raise OptionError(f"there is no kind {kind!r}", where="kinds", hint=f"choose from {', '.join(KINDS)}")
    return [kind for kind in KINDS if kinds is None or kind in kinds]


def _written(n: int, seed: int, rhythm: Rhythm, plan: Plan, difficulty: float) -> Iterator[pl.DataFrame]:
    """The first ``n`` rows in order of time, block by block. Lines that outlast their block wait for the next."""
    waiting: list[pl.DataFrame] = []
    # Two logs of different seeds may be read together: their traces must not meet.
    salt = pl.when(pl.col("trace") > 0).then(int(Chance(seed, _SALT).one() * 2**53)).otherwise(0).cast(pl.UInt64)
    serial, left = 1, n
    for begin in range(0, len(rhythm), _BLOCK):
        slots = range(begin, min(begin + _BLOCK, len(rhythm)))
        frames, serial = _block(slots, Chance(seed, _TRAFFIC, begin), serial, rhythm, plan, difficulty)
        rows = pl.concat(waiting + frames).sort("time", maintain_order=True)
        over = pl.col("time") >= int(slots.stop * SLOT * 1000)
        waiting = [rows.filter(over)]
        ready = rows.filter(~over).head(left)
        left -= len(ready)
        if len(ready):
            yield ready.with_columns(pl.col("trace") ^ salt)
        if left == 0:
            return
    raise AssertionError("the plan holds too few slots")


def _block(
    slots: range, chance: Chance, serial: int, rhythm: Rhythm, plan: Plan, difficulty: float
) -> tuple[list[pl.DataFrame], int]:
    """All rows that begin in a block, unsorted, and the next serial number."""
    begin, end = slots.start * SLOT, slots.stop * SLOT
    found = traffic.arrivals(slots, rhythm, chance, serial, difficulty)
    serial += len(found)
    parts = []
    for event in plan.events:
        if event.start >= end or event.taken >= event.size:
            continue
        own = Chance(int(chance.one() * 2**53), event.stream)
        effect = faults.effect_of(event.kind, difficulty)
        if effect is not None:
            found = faults.touch(event, effect, found, own)
            continue
        extra = faults.added(event, own, serial, difficulty)
        if extra is not None:
            parts.append(extra)
            serial += len(extra)
    together = traffic.Requests.join([found, *parts])
    frames = traffic.lines(together, rhythm, np.array(plan.features), chance)
    frames.append(background.chatter(slots, rhythm, plan.events, chance))
    frames.append(background.jobs(slots, rhythm, chance))
    frames += background.happenings(plan, begin, end, difficulty, chance)
    return frames, serial


class _Tally:
    """Counts lines and incidents as they are written."""

    def __init__(self, plan: Plan) -> None:
        self._kind = {event.number: event.kind for event in plan.events if event.number}
        self._service = {event.number: NAMES[event.service] for event in plan.events if event.number}
        self._parts: list[pl.DataFrame] = []
        self._lines = 0
        self._times: list[int] = []

    def labels(self, rows: pl.DataFrame) -> bytes:
        """The label rows of the next lines."""
        kind = pl.col("incident").replace_strict(self._kind, default=None, return_dtype=pl.String)
        table = rows.select("time", "incident").with_row_index("line", offset=self._lines + 1)
        table = table.with_columns(label=(pl.col("incident") > 0).cast(pl.Int8), kind=kind)
        self._lines += len(rows)
        self._times += [cast("int", rows["time"][0]), cast("int", rows["time"][-1])]
        self._parts.append(table.filter(pl.col("label") == 1))
        number = pl.when(pl.col("label") == 1).then(pl.col("incident"))
        return table.select("line", "label", "kind", incident=number).write_csv(include_header=False).encode()

    def summary(self, path: Path, labels: Path, seed: int) -> Simulation:
        marked = pl.concat(self._parts)
        found = marked.group_by("incident").agg(
            start=pl.col("time").min(),
            end=pl.col("time").max(),
            first_line=pl.col("line").min(),
            last_line=pl.col("line").max(),
            lines=pl.len(),
        )
        incidents = tuple(
            Incident(
                row["incident"],
                self._kind[row["incident"]],
                self._service[row["incident"]],
                _moment(row["start"]),
                _moment(row["end"]),
                row["first_line"],
                row["last_line"],
                row["lines"],
            )
            for row in found.sort("incident").iter_rows(named=True)
        )
        ends = _moment(self._times[0]), _moment(self._times[-1])
        return Simulation(path, labels, self._lines, len(marked), seed, *ends, incidents)


def _moment(milliseconds: int) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


@contextmanager
def _replacing(*paths: Path) -> Iterator[list[IO[bytes]]]:
    """Files that take the places of ``paths`` once all are complete, and leave nothing behind when something fails."""
    temporary: list[Path] = []
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(_temporary(path, temporary)) for path in paths]
        for path, complete in zip(paths, temporary, strict=True):
            complete.replace(path)
    except OSError as error:
        place = error.filename2 or error.filename or paths[0]
        raise InputError(f"cannot write: {error.strerror}", where=str(place)) from error
    finally:
        for path in temporary:
            with suppress(FileNotFoundError):
                path.unlink()


@contextmanager
def _temporary(path: Path, made: list[Path]) -> Iterator[IO[bytes]]:
    """A new file beside ``path``, noted in ``made``; compressed where ``path`` ends in .gz."""
    if path.is_dir():
        raise IsADirectoryError(EISDIR, "it is a folder", str(path))
    if path.exists() and not path.is_file():  # as /dev/null, which must stay what it is
        raise OSError(EEXIST, "it is a device or a pipe", str(path))
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    made.append(Path(name))
    with os.fdopen(handle, "wb") as raw:
        Path(name).chmod(0o666 & ~_umask())
        if path.suffix != ".gz":
            yield raw
            return
        # no time and no name in the header, so that equal logs are equal files
        with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
            yield cast("IO[bytes]", packed)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
