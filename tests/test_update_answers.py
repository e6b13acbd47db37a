"""What people said of findings speaks to what a model holds back, and goes with a model that is written elsewhere."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from cli_cases import offbeat as offbeat
from test_update import FRAUD, fitted, log, strange

from offbeat import Pipeline
from offbeat.errors import OptionError
from offbeat.questions import candidates, questions
from offbeat.store import Answer, Answers

OTHER = "parcel of {key} weighed again: {n} grams"


def answered(pipeline, day, verdict, scope="finding", word="override"):
    """Return an answer to the finding of a day whose reason holds a word."""
    run = pipeline.score(day)
    (question,) = [q for q in questions(run, run.find()) if word in q.about.reason]
    return Answer(question, verdict, scope)


def test_an_expected_pattern_is_learned():
    """What somebody expects, wherever it comes, is not held back but learned, and later ones are no anomalies."""
    pipeline = fitted()
    day = log(1, odd=(7, 90), extra=FRAUD)
    found = pipeline.update(day, answers=[answered(pipeline, day, "expected", "pattern")])
    assert (found.quarantined, found.released, found.held, found.groups) == (2, 2, 0, [])
    assert strange(pipeline, day=3, odd=(4,), extra=FRAUD) == 0


def test_an_expected_finding_is_learned_and_nothing_else():
    """Only the units that were in the finding leave the quarantine; one that is alike and comes later stays."""
    pipeline = fitted()
    day = log(1, odd=(7, 90), extra=FRAUD)
    answer = answered(pipeline, day, "expected")
    pipeline.update(day)
    found = pipeline.update(log(2, odd=(8,), extra=FRAUD), answers=[answer])
    assert (found.quarantined, found.released, found.held) == (1, 2, 1)
    assert found.groups[0]["units"] == 1


def test_what_was_expected_before_is_learned_without_a_log():
    """Answers alone free what they are about, beside what is acknowledged by name."""
    pipeline = fitted()
    day = log(1, odd=(7,), extra=FRAUD)
    answer = answered(pipeline, day, "expected", "pattern")
    pipeline.update(day)
    pipeline.update(log(2, odd=(9,), extra=OTHER))
    other = next(g["id"] for g in pipeline.update(log(3), answers=[]).groups if "weighed" in g["reason"])
    assert pipeline.update(acknowledge=[other], answers=[answer]).released == 2
    assert pipeline.memory.held == 0


@pytest.mark.parametrize("verdict", ["false-alarm", "expected"])
def test_what_ends_or_is_no_answer_to_a_pattern_is_not_learned_for_good(verdict):
    """A false alarm is quiet and held back still; what is expected until a time is learned only up to it."""
    pipeline = fitted()
    day = log(1, odd=(7, 90), extra=FRAUD)
    answer = answered(pipeline, day, verdict, "pattern")
    first, second = answer.question.members
    until = max(first.start, second.start) if verdict == "expected" else None
    found = pipeline.update(day, answers=[replace(answer, until=until)])
    assert (found.released, found.held) == ((1, 1) if verdict == "expected" else (0, 2))


def test_what_was_confirmed_is_never_a_habit():
    """However long it goes on without a warning: it is held back until somebody names it."""
    released, answers = [], []
    pipeline = fitted()
    for day in range(1, 8):
        lines = log(day, odd=range(0, 200, 20), extra=FRAUD)
        answers = answers or [answered(pipeline, lines, "confirmed")]
        released.append(pipeline.update(lines, after="5d", answers=answers).released)
    assert sum(released) == 0
    (group,) = pipeline.update(log(8), answers=answers).groups
    assert (group["units"], group["confirmed"]) == (70, True)
    with pytest.raises(OptionError, match="all that is held back was confirmed"):
        pipeline.update(acknowledge=["all"], answers=answers)
    assert strange(pipeline, day=9, odd=(4,), extra=FRAUD) == 1
    assert pipeline.update(acknowledge=[group["id"]], answers=answers).released == 70


def test_a_confirmed_unit_stays_where_its_pattern_is_expected():
    """Of a kind that is normal, the one unit that somebody confirmed is not learned."""
    pipeline = fitted()
    day = log(1, odd=(7, 90, 120), extra=FRAUD)
    whole = answered(pipeline, day, "expected", "pattern")
    one = replace(whole.question, finding="0" * 12, members=whole.question.members[1:2])
    found = pipeline.update(day, answers=[Answer(one, "confirmed"), whole])
    assert (found.released, found.held) == (3, 0)  # the later answer, about all of them, holds
    pipeline = fitted()
    found = pipeline.update(day, answers=[whole, Answer(one, "confirmed")])
    assert (found.released, found.held) == (2, 1)


def test_what_was_confirmed_is_not_learned_though_the_model_does_not_flag_it():
    """A unit near the threshold that somebody confirmed is held back, too."""
    pipeline = fitted()
    day = log(1)
    run = pipeline.score(day)
    assert run.find() == []
    question = random.Random(0).choice(candidates(run))
    found = pipeline.update(day, answers=[Answer(question, "confirmed")])
    assert (found.learned, found.quarantined, found.held) == (199, 1, 1)


def test_the_command_heeds_and_carries_what_was_said(offbeat, tmp_path):
    """`update -o NEW` learns what the answers beside MODEL expect; NEW has them from then on, and MODEL keeps them."""
    pipeline = fitted()
    pipeline.save(tmp_path / "model")
    day = log(1, odd=(7, 90), extra=FRAUD)
    (tmp_path / "day.log").write_text("\n".join(day) + "\n")
    offbeat("detect day.log -m model -o run --no-pack")
    (one,) = Pipeline.load(tmp_path / "model").score(day).find()
    assert offbeat(f"feedback add {one.id} expected --scope pattern").code == 0
    done = offbeat("update model day.log -o next --json")
    assert done.code == 0, done.err
    assert "1 answer taken over to" in done.err
    assert '"released":2' in done.out
    (kept,), (own,) = (Answers(Path(f"{name}.feedback.sqlite")).all() for name in ("next", "model"))
    assert kept == own
    again = offbeat("update model day.log -o next --json")
    assert (again.code, "taken over" in again.err) == (0, False)
    (tmp_path / "edits.txt").write_text(f"rename {one.templates[0]['template_id']} override\n")
    assert offbeat("templates next --edits edits.txt -o edited").code == 0
    assert len(Answers(Path("edited.feedback.sqlite")).all()) == 1
    for command, words in (
        ("update model day.log --store none.sqlite", "there is no file of answers here"),
        ("update model day.log -o day.log", "day.log"),
    ):
        result = offbeat(command)
        assert (result.code, words in result.err) == (2, True), result.err


def test_sequences_of_ids_are_known_by_what_they_hold():
    """Without times and keys the same sequence is the same unit; others of its kind stay held back."""
    usual = [["open", "read", "close"], ["open", "write", "close"]] * 60
    pipeline = Pipeline(detectors=("presence", "count"), clean=True).fit(usual)
    later = [*usual[:40], ["open", "audit", "close"], ["open", "audit", "audit", "close"]]
    run = pipeline.score(later)
    (question,) = questions(run, run.find())
    assert {member.start for member in question.members} == {None}
    one = replace(question, members=question.members[:1])
    found = pipeline.update(later, answers=[Answer(one, "expected")])
    assert (found.quarantined, found.released, found.held) == (2, 1, 1)
