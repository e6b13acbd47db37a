"""Answers to findings: what a person said of each, with all that is needed to know it again.

One SQLite file in write-ahead mode: several processes may read and write at once, and what was answered is on disk when
``add`` returns (https://www.sqlite.org/wal.html; ``synchronous=FULL``). Rows hold the evidence themselves, for runs and
logs go. Evidence is JSON; nothing in it is executable.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from offbeat.errors import InputError, OptionError

Verdict = Literal["expected", "false-alarm", "confirmed"]
Scope = Literal["finding", "pattern", "session"]
VERDICTS: Final = get_args(Verdict)
SCOPES: Final = get_args(Scope)
#: What a person asked no more about: quiet from then on.
QUIETS: Final = ("expected", "false-alarm")

#: Raised whenever an older program could not read what this one writes; kept as SQLite's ``user_version``.
VERSION: Final = 1
#: "beat" in ASCII, SQLite's ``application_id``: tells the file from other databases.
_OURS: Final = 0x62656174
#: A process waits so many seconds for another that writes.
_PATIENCE: Final = 30.0

_SCHEMA: Final = """
CREATE TABLE answers (
    finding TEXT PRIMARY KEY,
    verdict TEXT NOT NULL,
    scope TEXT NOT NULL,
    until TEXT,
    note TEXT NOT NULL,
    added TEXT NOT NULL,
    evidence TEXT NOT NULL
);
CREATE TABLE questions (
    finding TEXT PRIMARY KEY,
    asked TEXT NOT NULL,
    evidence TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Member:
    """A unit of a finding: what tells it from others, and what it was flagged for.

    Attributes:
        key: of the session, or the window's name.
        start: when it began; None where the log has no times.
        digest: of its sequence of templates.
        kind, template, view: the evidence that made its score; ``template`` is an id, empty where there is none.
        level: OpenTelemetry number of its strange line.
        score: fused, in nats.
        flagged: whether the model alarmed.
        counts: by template id, how many of its events are of it; empty for all but the strangest unit of a finding.
        nats: by view, its surprise; likewise.
    """

    key: str
    start: datetime | None
    digest: str
    kind: str
    template: str
    view: str
    level: int
    score: float
    flagged: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)
    nats: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values; the inverse of ``from_dict``."""
        return asdict(self) | {"start": None if self.start is None else self.start.isoformat()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the member that ``as_dict`` described."""
        return cls(**{**values, "start": _time(values["start"])})


@dataclass(frozen=True)
class Log:
    """What a finding says of the log as a whole: all there is of one that has no units."""

    kind: str
    session: str | None
    start: datetime | None
    end: datetime | None
    templates: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values; the inverse of ``from_dict``."""
        times = {name: None if (t := getattr(self, name)) is None else t.isoformat() for name in ("start", "end")}
        return asdict(self) | times

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``as_dict`` described."""
        lists = {name: tuple(values[name]) for name in ("templates", "sources", "rules")}
        return cls(**{**values, **lists, "start": _time(values["start"]), "end": _time(values["end"])})


@dataclass(frozen=True)
class Question:
    """A finding, or a unit near the threshold, with its evidence.

    Attributes:
        finding: its id.
        about: what it says of the log.
        members: its units; none where it is about the log as a whole.
        windows: whether these are windows, whose names say nothing.
    """

    finding: str
    about: Log
    members: tuple[Member, ...] = ()
    windows: bool = False

    def evidence(self) -> str:
        """Return the evidence as JSON."""
        members = [member.as_dict() for member in self.members]
        return json.dumps({"about": self.about.as_dict(), "members": members, "windows": self.windows})

    @classmethod
    def read(cls, finding: str, evidence: str) -> Self:
        """Return the question that ``evidence`` came from."""
        values = json.loads(evidence)
        members = tuple(Member.from_dict(member) for member in values["members"])
        return cls(finding, Log.from_dict(values["about"]), members, values["windows"])


@dataclass(frozen=True)
class Answer:
    """What a person said of a finding.

    Attributes:
        verdict: ``expected`` and ``false-alarm`` quiet what they cover; ``confirmed`` quiets nothing, and teaches.
        scope: whether it covers this finding, all of its pattern, or all about its session.
        until: what starts from then on is not covered; None for good.
        added: when it was given.
    """

    question: Question
    verdict: str
    scope: str = "finding"
    until: datetime | None = None
    note: str = ""
    added: datetime | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("VERDICT", self.verdict, VERDICTS), ("--scope", self.scope, SCOPES)):
            if value not in known:
                raise OptionError(f"{value!r} is none", where=name, hint="one of: " + ", ".join(known))
        if self.scope == "session" and self.question.windows and self.question.members:
            raise OptionError("windows are no sessions", where="--scope session", hint="use --scope pattern")
        if self.scope == "session" and not self.question.members and self.question.about.session is None:
            raise OptionError("the finding is about no session", where="--scope session", hint="use --scope pattern")

    @property
    def finding(self) -> str:
        """The finding's id."""
        return self.question.finding

    @property
    def quiets(self) -> bool:
        """Whether what it covers is quiet."""
        return self.verdict in QUIETS


class Answers:
    """The file that answers are kept in.

    Args:
        path: of the file; made when the first answer is added.

    Raises:
        InputError: it is no such file, damaged, of a later version, or cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise InputError("is a folder; answers are a file", where=str(path))

    def add(self, answer: Answer) -> None:
        """Keep an answer; one to the same finding takes the place of the one before."""
        added = answer.added or datetime.now(UTC).replace(microsecond=0)
        until = None if answer.until is None else answer.until.isoformat()
        row = (answer.finding, answer.verdict, answer.scope, until, answer.note, added.isoformat())
        with self._open(write=True) as base:
            base.execute("INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?,?)", (*row, answer.question.evidence()))
            base.execute("DELETE FROM questions WHERE finding = ?", (answer.finding,))

    def remove(self, finding: str) -> Answer:
        """Take back the answer to a finding whose id begins so; raises OptionError where none or several do."""
        known = self.all()
        some = [answer for answer in known if answer.finding.startswith(finding)]
        if len(some) != 1 or not finding:
            what = "begins several" if len(some) > 1 else "is none of those answered"
            hint = "these are: " + (", ".join(a.finding for a in known[:5]) or "none")
            raise OptionError(f"{finding!r} {what}", where="FINDING", hint=hint)
        with self._open(write=True) as base:
            base.execute("DELETE FROM answers WHERE finding = ?", (some[0].finding,))
        return some[0]

    def all(self) -> list[Answer]:
        """Return all answers in the order in which they were given; none where there is no file yet."""
        if not self.path.exists():
            return []
        with self._open() as base:
            return [] if _is_new(base) else self._read(base)

    def take(self, other: Self) -> int:
        """Take over the answers and open questions of another file; of two to a finding the later stays.

        Returns:
            How many answers were taken.
        """
        if not other.path.exists() or other.path.resolve() == self.path.resolve():
            return 0
        own = {answer.finding: answer for answer in self.all()}
        oldest = datetime.min.replace(tzinfo=UTC)
        fresh = [
            answer
            for answer in other.all()
            if (had := own.get(answer.finding)) is None or (answer.added or oldest) > (had.added or oldest)
        ]
        for answer in fresh:
            self.add(answer)
        known = {*own, *(answer.finding for answer in fresh), *(question.finding for question in self.questions())}
        if open_ := [question for question in other.questions() if question.finding not in known]:
            self.ask(open_)
        return len(fresh)

    def ask(self, questions: list[Question]) -> None:
        """Keep questions, so that they can be answered without the run they came from."""
        now = datetime.now(UTC).replace(microsecond=0).isoformat()
        with self._open(write=True) as base:
            rows = [(question.finding, now, question.evidence()) for question in questions]
            base.executemany("INSERT OR REPLACE INTO questions VALUES (?,?,?)", rows)

    def questions(self) -> list[Question]:
        """Return the questions that were asked and not answered."""
        if not self.path.exists():
            return []
        with self._open() as base:
            if _is_new(base):
                return []
            rows = base.execute("SELECT finding, evidence FROM questions ORDER BY asked, rowid").fetchall()
        return [Question.read(*row) for row in rows]

    @staticmethod
    def _read(base: sqlite3.Connection) -> list[Answer]:
        names = "finding, evidence, verdict, scope, until, note, added"
        rows = base.execute(f"SELECT {names} FROM answers ORDER BY added, rowid").fetchall()  # noqa: S608 - our names
        return [
            Answer(Question.read(finding, evidence), verdict, scope, _time(until), note, _time(added))
            for finding, evidence, verdict, scope, until, note, added in rows
        ]

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction: all of it is kept, or nothing."""
        base = None
        try:
            base = self._connected(write)
            yield base
            base.commit()
        except (sqlite3.Error, KeyError, TypeError, ValueError, OSError) as problem:
            raise InputError(f"cannot be used as a file of answers: {problem}", where=str(self.path)) from None
        finally:
            if base is not None:
                base.close()

    def _connected(self, write: bool) -> sqlite3.Connection:
        if not write:
            return self._checked(self._for_reading())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        base = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        try:
            _patiently(base, "PRAGMA journal_mode=WAL")
            base.execute("PRAGMA synchronous=FULL")
            base.execute("BEGIN IMMEDIATE")
            if _is_new(base):
                for statement in _SCHEMA.split(";"):
                    base.execute(statement)
                base.execute(f"PRAGMA application_id={_OURS}")
                base.execute(f"PRAGMA user_version={VERSION}")
        except BaseException:
            base.close()
            raise
        return self._checked(base)

    def _for_reading(self) -> sqlite3.Connection:
        """Open for reading; where nothing may be written, not even the index of the log, as it is on disk."""
        where = self.path.resolve().as_uri()
        for how in ("mode=rw", "mode=ro", "mode=ro&immutable=1"):
            base = sqlite3.connect(f"{where}?{how}", uri=True, timeout=_PATIENCE, isolation_level=None)
            try:
                base.execute("BEGIN")  # all that is read is of one moment, whoever writes meanwhile
                _patiently(base, "SELECT count(*) FROM sqlite_master")
            except sqlite3.OperationalError as problem:
                base.close()
                if _is_busy(problem):  # as it is on disk it may be half written
                    raise
                continue
            return base
        raise OSError("it cannot be opened for reading")

    def _checked(self, base: sqlite3.Connection) -> sqlite3.Connection:
        """Return the database; raises ValueError where it is another program's, or a later one's."""
        ours, version = (base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if (ours == _OURS and version <= VERSION) or _is_new(base):
            return base
        base.close()
        if ours != _OURS:
            raise ValueError("it is a database of another program")
        raise ValueError(f"it has version {version}, and this offbeat reads up to version {VERSION}")


def _is_busy(problem: sqlite3.OperationalError) -> bool:
    """Whether another process is in the way; what more SQLite says of it stands in the higher bits."""
    return problem.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _patiently(base: sqlite3.Connection, statement: str) -> None:
    """Execute what SQLite itself does not wait for: of several processes that make a file at once one sets its mode."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            base.execute(statement)
            return
        except sqlite3.OperationalError as problem:
            if not _is_busy(problem) or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _is_new(base: sqlite3.Connection) -> bool:
    """Whether nothing was kept yet: another process has just made the file, or was stopped when it had."""
    return bool(base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
