"""Answers in SQLite: kept whatever happens, by several processes at once, and no other file taken for theirs."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from offbeat.errors import InputError, OptionError
from offbeat.store import Answer, Answers, Log, Member, Question
from offbeat.store.answers import SCOPES, VERDICTS

START = datetime(2026, 3, 1, 8, 0, 0, 125000, tzinfo=UTC)
MEMBER = Member(
    "order-1", START, "d1", "new pattern", "t1", "presence", 17, 9.5, True, {"t1": 1, "t2": 3}, {"count": 2.5}
)


def question(name: str = "abc123", **changed) -> Question:
    """Return a question about one unit."""
    about = Log(
        "new pattern", "order-1", START, START + timedelta(minutes=1), ("t1",), ("web",), ("Burst",), "It is new."
    )
    return Question(name, **{"about": about, "members": (MEMBER,), "windows": False} | changed)


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("scope", SCOPES)
def test_what_is_added_is_read_again(tmp_path, verdict, scope):
    """Every part of an answer and of its evidence survives, times to the microsecond."""
    answer = Answer(question(), verdict, scope, START + timedelta(days=3), "known “job”", START)
    answers = Answers(tmp_path / "deep" / "a.sqlite")
    assert answers.all() == []
    answers.add(answer)
    assert Answers(tmp_path / "deep" / "a.sqlite").all() == [answer]


def test_times_may_be_missing(tmp_path):
    """Logs without times, and answers for good, are kept as such."""
    nowhen = Question("abc", Log("rule", None, None, None))
    answers = Answers(tmp_path / "a.sqlite")
    answers.add(Answer(nowhen, "expected", added=START))
    assert answers.all() == [Answer(nowhen, "expected", added=START)]


def test_a_new_answer_takes_the_place_of_the_old(tmp_path):
    """People change their minds: one answer a finding, the last one."""
    answers = Answers(tmp_path / "a.sqlite")
    for verdict in ("expected", "confirmed"):
        answers.add(Answer(question(), verdict))
    assert [a.verdict for a in answers.all()] == ["confirmed"]


def test_answers_are_taken_back_by_the_beginning_of_an_id(tmp_path):
    """What begins one id is enough; what begins none or several is said, with those there are."""
    answers = Answers(tmp_path / "a.sqlite")
    for name in ("abc1", "abd2"):
        answers.add(Answer(question(name), "expected"))
    for bad in ("ab", "x", ""):
        with pytest.raises(OptionError, match="abc1, abd2"):
            answers.remove(bad)
    assert answers.remove("abc").finding == "abc1"
    assert [a.finding for a in answers.all()] == ["abd2"]


def test_questions_stay_until_they_are_answered(tmp_path):
    """What was asked can be answered later, and is then asked no more."""
    answers = Answers(tmp_path / "a.sqlite")
    answers.ask([question("q1"), question("q2")])
    assert answers.questions() == [question("q1"), question("q2")]
    answers.add(Answer(question("q1"), "confirmed"))
    assert [q.finding for q in answers.questions()] == ["q2"]


def test_answers_are_taken_over_from_another_file(tmp_path):
    """What only the other file has is taken, of two to one finding the later stays, and open questions come along."""
    here, there = Answers(tmp_path / "a.sqlite"), Answers(tmp_path / "b.sqlite")
    assert here.take(there) == 0
    assert not here.path.exists()
    for answers, name, verdict, hours in (
        (here, "both", "expected", 2), (here, "late", "expected", 0), (here, "own", "expected", 0),
        (there, "both", "confirmed", 1), (there, "late", "confirmed", 1), (there, "new", "confirmed", 1),
    ):  # fmt: skip
        answers.add(Answer(question(name), verdict, added=START + timedelta(hours=hours)))
    there.ask([question("own"), question("open")])
    assert here.take(there) == 2
    assert {a.finding: a.verdict for a in here.all()} == {
        "both": "expected", "late": "confirmed", "own": "expected", "new": "confirmed",
    }  # fmt: skip
    assert [q.finding for q in here.questions()] == ["open"]
    assert (here.take(there), here.take(here)) == (0, 0)


def test_impossible_answers_are_refused():
    """Unknown words, and a session's scope where there is no session, are said in one sentence."""
    with pytest.raises(OptionError, match="confirmed"):
        Answer(question(), "maybe")
    with pytest.raises(OptionError, match="pattern"):
        Answer(question(), "expected", "world")
    with pytest.raises(OptionError, match="windows are no sessions"):
        Answer(question(windows=True), "expected", "session")
    with pytest.raises(OptionError, match="no session"):
        Answer(Question("a", Log("rule", None, None, None)), "expected", "session")


def test_files_of_others_are_left_alone(tmp_path):
    """A text, another program's database, a later version and a folder are refused, and not changed."""
    text, other, later = (tmp_path / name for name in ("text", "other", "later"))
    text.write_text("not a database at all, but long enough to be taken for one" * 20)
    with sqlite3.connect(other) as base:
        base.execute("CREATE TABLE mine (x)")
    Answers(later).add(Answer(question(), "expected"))
    with sqlite3.connect(later) as base:
        base.execute("PRAGMA user_version=99")
    for path, what in (
        (text, "not a database"),
        (other, "another program"),
        (later, "version 99"),
        (tmp_path, "folder"),
    ):
        before = path.read_bytes() if path.is_file() else b""
        for use in (lambda p: Answers(p).all(), lambda p: Answers(p).add(Answer(question(), "expected"))):
            with pytest.raises(InputError, match=what):
                use(path)
        assert path.is_dir() or path.read_bytes()[100:] == before[100:]


def test_nothing_but_the_file_is_left_behind(tmp_path):
    """Once nobody has it open, the write-ahead log is gone."""
    answers = Answers(tmp_path / "a.sqlite")
    answers.add(Answer(question(), "expected"))
    assert len(answers.all()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.sqlite"]


_ADD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_answers import question
from offbeat.store import Answer, Answers
answers = Answers(sys.argv[1])
for i in range(25):
    answers.add(Answer(question(f"{sys.argv[2]}-{i}"), "expected"))
    print(i, flush=True)
if sys.argv[2] == "stopped":
    with answers._open(write=True) as base:
        base.execute("DELETE FROM answers")
        print("deleting", flush=True)
        sys.stdin.read()
"""


def _adder(path, name: str) -> subprocess.Popen:
    here = os.path.dirname(__file__)  # noqa: PTH120 - a plain string for another process
    command = [sys.executable, "-c", _ADD, str(path), name, here]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_processes_write_at_once(tmp_path):
    """Two processes that add answers at the same time lose none."""
    path = tmp_path / "a.sqlite"
    both = [_adder(path, name) for name in ("one", "two")]
    for process in both:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert {a.finding for a in Answers(path).all()} == {f"{name}-{i}" for name in ("one", "two") for i in range(25)}


def test_a_file_is_made_by_many_at_once(tmp_path):
    """Who comes while another makes the file waits for it, and neither loses an answer nor finds another's file."""

    def add(path, number, together):
        together.wait()
        Answers(path).all()
        Answers(path).add(Answer(question(f"q{number}"), "expected"))

    for attempt in range(10):
        path, together = tmp_path / f"{attempt}.sqlite", threading.Barrier(8)
        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(add, path, number, together) for number in range(8)]:
                done.result()
        assert len(Answers(path).all()) == 8


def test_a_stop_in_between_loses_nothing(tmp_path):
    """A process killed within a change leaves all that was answered before, and nothing of the change."""
    path = tmp_path / "a.sqlite"
    process = _adder(path, "stopped")
    assert process.stdout is not None
    while process.stdout.readline().strip() != "deleting":
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(Answers(path).all()) == 25


@pytest.mark.parametrize("wal", [False, True])
def test_a_file_just_made_holds_nothing_yet(tmp_path, wal):
    """A process stopped when it had only made the file, or one about to fill it, is in nobody's way."""
    path = tmp_path / "a.sqlite"
    path.touch()
    if wal:
        sqlite3.connect(path).execute("PRAGMA journal_mode=WAL").connection.close()
    answers = Answers(path)
    assert (answers.all(), answers.questions()) == ([], [])
    answers.add(Answer(question(), "expected"))
    assert len(answers.all()) == 1


def test_a_file_that_another_keeps_closed_is_not_guessed_at(tmp_path, monkeypatch):
    """What cannot be read now is said to be locked, rather than read without what was written last."""
    path = tmp_path / "a.sqlite"
    Answers(path).add(Answer(question(), "expected"))
    monkeypatch.setattr("offbeat.store.answers._PATIENCE", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="locked"):
            Answers(path).all()
    finally:
        other.close()


def test_a_file_that_may_not_be_written_is_read(tmp_path):
    """Answers kept where one may only read, as in a container, are used."""
    folder = tmp_path / "fixed"
    folder.mkdir()
    Answers(folder / "a.sqlite").add(Answer(question(), "expected"))
    (folder / "a.sqlite").chmod(0o444)
    folder.chmod(0o555)
    try:
        assert len(Answers(folder / "a.sqlite").all()) == 1
    finally:
        folder.chmod(0o755)
