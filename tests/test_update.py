"""A model that goes on to learn: what is new is learned, what is strange is held back, what is old is forgotten."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from offbeat import Lines, Pipeline
from offbeat.cli import main
from offbeat.errors import ModelError, NotEnoughDataError, OptionError
from offbeat.rules import RuleSet

VIEWS = ("presence", "count", "ngram", "new-template")
START = datetime(2026, 3, 1, tzinfo=UTC)
USUAL = (
    "received order {key} with {n} items",
    "checked stock for {key} in {n} ms",
    "charged card for {key}: {n} cents",
    "shipped {key} from store {n}",
)
ANEW = (
    "received order {key} with {n} items",
    "stock check for {key} took {n} ms",
    "charged card for {key}: {n} cents",
    "order {key} shipped out of store {n}",
)


def log(day, sessions=200, steps=USUAL, odd=(), extra=None, level="INFO"):
    """Return the lines of one day; an odd session holds ``extra`` before its last step."""
    rng = random.Random(day)
    events = []
    for number in range(sessions):
        texts = [*steps[:3], extra, steps[3]] if number in odd else list(steps)
        if rng.random() < 0.3:
            texts.insert(2, texts[1])
        for step, text in enumerate(texts):
            time = START + timedelta(days=day, seconds=300 * number + 7 * step)
            said = level if text == extra else "INFO"
            key, n = f"order-{day * 1000 + number}", rng.randrange(1, 900)
            events.append(f"{time:%Y-%m-%d %H:%M:%S},000 {said} {text.format(key=key, n=n)}")
    return Lines(events)


def fitted(day=0, **given):
    """Return a pipeline that learned one day."""
    return Pipeline(detectors=VIEWS, session_by=r"order-\d+", clean=True, rules=RuleSet()).fit(log(day, **given))


def strange(pipeline, **given):
    """Return how many units of a day are anomalies."""
    return int(pipeline.score(log(**given)).scores["is_anomaly"].sum())


FRAUD = "manual override of the price of {key} by {n}"


def test_what_is_usual_is_learned():
    """A second day like the first is learned whole, and the history says so in log time."""
    pipeline = fitted()
    found = pipeline.update(log(1))
    assert (found.units, found.learned, found.quarantined, found.changed) == (200, 200, 0, [])
    assert [entry["what"] for entry in pipeline.memory.history] == ["fit", "update"]
    assert pipeline.memory.history[1]["until"].startswith("2026-03-02")
    assert pipeline.summary["weight"] == pytest.approx(400)
    assert strange(pipeline, day=2) == 0


def test_what_is_strange_is_held_back_and_not_learned():
    """What the model flags stays out of it, however often it comes."""
    pipeline = fitted()
    for day in range(1, 6):
        found = pipeline.update(log(day, odd=(7, 90), extra=FRAUD))
        assert found.quarantined == 2
    assert found.held == 10
    (group,) = found.groups
    assert group["units"] == 10
    assert "override" in group["reason"]
    assert strange(pipeline, day=9, odd=(4,), extra=FRAUD) == 1


@pytest.mark.parametrize("by", ["id", "template_id", "all"])
def test_what_is_acknowledged_is_learned(by):
    """Somebody who says that it is normal is believed, without another log."""
    pipeline = fitted()
    found = pipeline.update(log(1, odd=(7, 90), extra=FRAUD))
    said = by if by == "all" else found.groups[0][by]
    after = pipeline.update(acknowledge=[said])
    assert (after.released, after.held, after.groups) == (2, 0, [])
    assert strange(pipeline, day=3, odd=(4,), extra=FRAUD) == 0


def test_a_finding_of_detect_can_be_acknowledged():
    """The id that detect printed of the same log is enough."""
    pipeline = fitted()
    day = log(1, odd=(7,), extra=FRAUD)
    (finding,) = pipeline.score(day).find()
    pipeline.update(day)
    assert pipeline.update(acknowledge=[finding.id]).released == 1


def test_what_is_acknowledged_stays_so():
    """Later ones of the same kind are learned, too, should they be flagged again."""
    pipeline = fitted()
    pipeline.update(log(1, odd=(7,), extra=FRAUD))
    pipeline.update(acknowledge=["all"])
    found = pipeline.update(log(2, odd=(7,), extra=FRAUD))
    assert found.held == 0
    assert found.groups == []


def test_a_habit_is_learned_by_itself_in_time():
    """What goes on for long, on many days, as a notable part of the log, without a warning, is a habit."""
    pipeline = fitted()
    released = [
        pipeline.update(log(day, odd=range(0, 200, 20), extra=FRAUD), after="5d").released for day in range(1, 8)
    ]
    assert released[:5] == [0] * 5
    assert sum(released) >= 50
    assert strange(pipeline, day=9, odd=(4,), extra=FRAUD) == 0


@pytest.mark.parametrize(
    ("odd", "level", "after"),
    [((7,), "INFO", "3d"), (range(0, 200, 20), "WARN", "3d"), (range(0, 200, 20), "INFO", "never")],
    ids=["seldom", "warning", "never"],
)
def test_an_attack_is_not_a_habit(odd, level, after):
    """However long it goes on: what is seldom, what warns, or what shall never be learned by itself is not."""
    pipeline = fitted()
    for day in range(1, 7):
        found = pipeline.update(log(day, sessions=400, odd=odd, extra=FRAUD, level=level), after=after)
        assert found.released == 0
    assert strange(pipeline, day=9, odd=(4,), extra=FRAUD, level=level) == 1


def test_what_was_not_seen_for_long_is_forgotten():
    """A step that is gone for longer than its time to live is new when it comes back; its id stays its own."""
    pipeline = fitted(odd=range(60), extra=FRAUD)
    name = {text: id_ for id_, text in zip(pipeline.catalog.ids, pipeline.catalog.texts, strict=True)}
    assert strange(pipeline, day=1, odd=(4,), extra=FRAUD) == 0
    gone = [pipeline.update(log(day), ttl="3d").aged_out for day in range(1, 6)]
    assert sum(gone) == 1
    assert strange(pipeline, day=9, odd=(4,), extra=FRAUD) == 1
    again = {text: id_ for id_, text in zip(pipeline.catalog.ids, pipeline.catalog.texts, strict=True)}
    assert again.items() >= name.items()
    assert pipeline.memory.ttl == "3d"


@pytest.mark.parametrize("where", ["its own session", "another"])
def test_a_line_from_the_far_future_makes_nothing_forgotten(where):
    """One line with a wrong clock neither ages out what was learned nor keeps later days from being learned."""
    made = fitted()
    key = "order-9999" if where == "its own session" else "order-1007"
    stray = f"2199-01-01 00:00:00,000 INFO received order {key} with 3 items"
    done = made.update(Lines([*log(1), stray]))
    assert done.aged_out == 0
    assert made.memory.until < START + timedelta(days=2)
    assert made.memory.rehearsal.filter(pl.col("end") < START + timedelta(days=1)).height
    assert made.update(log(2)).learned == 200
    assert fitted().memory.until == fitted(sessions=200).memory.until


def test_the_same_lines_are_learned_once():
    """A log that is handed over again, longer, counts what is new of it; the same again is refused."""
    pipeline = fitted()
    both = Lines([*log(0), *log(1)])
    found = pipeline.update(both)
    assert (found.units, found.skipped, found.learned) == (400, 200, 200)
    with pytest.raises(NotEnoughDataError, match="later"):
        pipeline.update(both)
    assert pipeline.update(log(0), older=True).learned == 200


def test_a_line_worded_anew_keeps_what_was_learned_of_it():
    """After a release two lines have new words: that is told, nothing else, and an odd session is still found."""
    pipeline = fitted()
    run = pipeline.score(log(1, steps=ANEW, odd=(50,), extra=FRAUD))
    assert {(one.was.split()[0], one.now.split()[0]) for one in run.changed} == {
        ("checked", "stock"),
        ("shipped", "order"),
    }
    assert int(run.scores["is_anomaly"].sum()) == 1
    told = run.find()
    assert sorted(one.kind for one in told) == ["format changed", "new pattern"]
    (change,) = [one for one in told if one.kind == "format changed"]
    assert change.severity == "low"
    assert change.units >= 199
    assert "2 lines are worded anew" in change.reason
    assert [line.text for line in change.lines if "order-1000" in line.text]


def test_an_update_remembers_the_lines_that_changed(tmp_path):
    """Once learned, the change is no finding any more, through saving and another release."""
    pipeline = fitted()
    found = pipeline.update(log(1, steps=ANEW))
    assert len(found.changed) == 2
    assert found.quarantined == 0
    pipeline.save(tmp_path / "model")
    loaded = Pipeline.load(tmp_path / "model")
    loaded.rules = RuleSet()
    run = loaded.score(log(2, steps=ANEW, odd=(50,), extra=FRAUD))
    assert [one.kind for one in run.find()] == ["new pattern"]
    third = (ANEW[0], "{key} in stock, checked within {n} ms", *ANEW[2:])
    assert len(loaded.update(log(3, steps=third)).changed) == 1
    assert strange(loaded, day=4, steps=third) == 0
    assert strange(loaded, day=5) == 0


def test_an_update_that_fails_leaves_the_model_as_it_was():
    """A log that cannot be learned from changes nothing."""
    pipeline = fitted()
    before, texts = pipeline.memory.values(), list(pipeline.catalog.texts)
    with pytest.raises(OptionError, match="not held back"):
        pipeline.update(log(1), acknowledge=["nonsense"])
    assert pipeline.memory.values() == before
    assert pipeline.catalog.texts == texts


def test_saved_and_loaded_it_goes_on_the_same(tmp_path):
    """A model from disk learns on exactly as the one in memory."""
    pipeline = fitted()
    pipeline.update(log(1, odd=(3,), extra=FRAUD))
    pipeline.save(tmp_path / "model")
    loaded = Pipeline.load(tmp_path / "model")
    loaded.rules = RuleSet()
    results = [one.update(log(2, odd=(9,), extra=FRAUD)).as_dict() for one in (pipeline, loaded)]
    assert results[0] == results[1]
    for name, table in pipeline.memory.frames().items():
        assert_frame_equal(table, loaded.memory.frames()[name])
    assert pipeline.memory.values() == loaded.memory.values()


def test_ids_can_be_updated():
    """Sequences of ids without times go on, too; nothing ages, and nothing is known already."""
    rng = random.Random(0)
    day = [["a", "b", "c"] if rng.random() < 0.6 else ["a", "d", "c"] for _ in range(200)]
    pipeline = Pipeline(detectors=VIEWS, clean=True).fit(day)
    found = pipeline.update([*day, ["a", "x", "c"]])
    assert (found.learned, found.quarantined) == (200, 1)
    assert pipeline.score([["a", "x", "c"]] * 3).scores["is_anomaly"].all()


def test_a_model_without_a_memory_says_so():
    """A model of an older offbeat can score, but not go on to learn."""
    pipeline = fitted()
    pipeline.memory = None
    with pytest.raises(ModelError, match="fit"):
        pipeline.update(log(1))


def test_groups_say_since_when():
    """What is held back is told with the time of its first and last."""
    pipeline = fitted()
    pipeline.update(log(1, odd=(7,), extra=FRAUD))
    (group,) = pipeline.update(log(2, odd=(7,), extra=FRAUD)).groups
    assert group["first_seen"].startswith("2026-03-02")
    assert group["last_seen"].startswith("2026-03-03")
    assert isinstance(pipeline.memory.quarantine, pl.DataFrame)
    assert replace(pipeline.memory).held == 2


def test_the_command_updates_and_says_so(tmp_path, monkeypatch, capsys):
    """From the shell: JSON on stdout, another folder with -o, and the user's mistakes in one sentence with exit 2."""
    monkeypatch.chdir(tmp_path)
    fitted().save("model")
    (tmp_path / "day.log").write_text("\n".join(log(1, odd=(7,), extra=FRAUD)) + "\n")
    said = []
    for arguments, code in (
        (["model", "day.log", "-o", "next", "--json"], 0),
        (["next", "day.log"], 2),
        (["next"], 2),
        (["next", "--acknowledge", "nonsense"], 2),
        (["next", "day.log", "--ttl", "5"], 2),
        (["next", "--acknowledge", "all"], 0),
    ):
        monkeypatch.setattr("sys.argv", ["offbeat", "update", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert (end.value.code or 0) == code, arguments
        said.append(capsys.readouterr())
    assert orjson.loads(said[0].out)["quarantined"] == 1
    for one, words in zip(said[1:5], ("later than", "nothing to learn", "not held back", "--ttl"), strict=True):
        assert words in one.err
        assert one.err.count("\n") == 1
    assert "released 1 unit held back before" in said[5].out
    assert Pipeline.load("model").memory.held == 0


def test_two_updates_at_once_lose_nothing(tmp_path, monkeypatch, capsys):
    """Of two that began with the same model the later one to end says so, rather than undo what the other learned."""
    monkeypatch.chdir(tmp_path)
    fitted().save("model")
    (tmp_path / "day.log").write_text("\n".join(log(1)) + "\n")
    load = Pipeline.load.__func__

    def meanwhile(cls, path, **given):
        made = load(cls, path, **given)
        other = load(cls, path)
        other.update(log(2))
        other.save(path)
        return made

    monkeypatch.setattr(Pipeline, "load", classmethod(meanwhile))
    monkeypatch.setattr("sys.argv", ["offbeat", "update", "model", "day.log"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "by another process" in capsys.readouterr().err
    assert [one["units"] for one in load(Pipeline, "model").memory.history] == [200, 200]
