"""Templates that a person merged, split, renamed or gave beforehand, kept over updates."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from offbeat import Lines, Pipeline
from offbeat.cli import main
from offbeat.editing import edit, listed, read_edits
from offbeat.errors import InputError, ModelError
from offbeat.rules import RuleSet

VIEWS = ("presence", "count", "new-template")


def log(day: int, last: str = "parcel sent for {key}") -> Lines:
    """Return a day of 120 sessions of three lines."""
    rng = random.Random(day)
    lines = []
    for number in range(120):
        for step, text in enumerate(("order {key} taken", "card of {key} charged", last)):
            time = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day, seconds=60 * number + 5 * step + rng.random())
            lines.append(f"{time:%Y-%m-%d %H:%M:%S} INFO {text.format(key=f'job-{day * 1000 + number}')}")
    return Lines(lines)


@pytest.fixture
def model() -> Pipeline:
    """Learned from one day, and from a second one on which half of the sessions end with other words."""
    both = [line for i, pair in enumerate(zip(log(0), log(0, "goods left the house: {key}"), strict=True))
            for line in [pair[(i // 3) % 2]]]  # fmt: skip
    return Pipeline(detectors=VIEWS, session_by=r"job-\d+", clean=True, rules=RuleSet()).fit(Lines(both))


def ids(model: Pipeline) -> dict[str, str]:
    """Return the first word of each template with its id."""
    return {str(row["template"]).split()[0]: str(row["template_id"]) for row in listed(model)}


def made(model: Pipeline, *lines: str) -> None:
    """Edit a model as a file would."""
    edit(model, read_edits(lines, "edits.txt"))


def test_merged_templates_are_one_line(model, tmp_path):
    """What was learned of each holds for both, through saving and an update."""
    name = ids(model)
    made(model, "# the warehouse words it so", "", f"merge {name['parcel']} {name['goods']}")
    assert {str(row["same_as"]) for row in listed(model) if row["same_as"]} == {name["parcel"]}
    assert model.memory.history[-1]["what"] == "edit"
    model.save(tmp_path / "model")
    again = Pipeline.load(tmp_path / "model")
    again.rules = RuleSet()
    run = again.score(log(2, "goods left the house: {key}"))
    codes = {code for one in run.kept["templates"].to_list() for code in one}
    assert len(codes) == 3
    again.update(log(3))
    assert again.memory.lineage.height == 1


def test_an_update_counts_merged_templates_as_one(model):
    """That a line has two wordings which a person made one is no drift when the log is read again."""
    name = ids(model)
    made(model, f"merge {name['parcel']} {name['goods']}")
    both = Lines([*log(1), *log(2, "goods left the house: {key}")])
    fit = model.update(both).fit
    assert fit is not None
    assert fit["templates"] == 0.0


def test_split_undoes_a_merge(model):
    """Apart again they are two lines."""
    name = ids(model)
    made(model, f"merge {name['parcel']} {name['goods']}")
    made(model, f"split {name['goods']}")
    assert not any(row["same_as"] for row in listed(model))


def test_a_renamed_template_keeps_its_id(model, tmp_path):
    """The words shown are others, and lines still find it."""
    name = ids(model)
    made(model, f"rename {name['card']} payment of <job> taken")
    model.save(tmp_path / "model")
    again = Pipeline.load(tmp_path / "model")
    again.rules = RuleSet()
    before = len(again.catalog.texts)
    again.score(log(2))
    assert len(again.catalog.texts) == before
    row = next(row for row in listed(again) if row["template_id"] == name["card"])
    assert row["template"] == "payment of <job> taken"
    again.update(log(3))
    assert next(r for r in listed(again) if r["template_id"] == name["card"])["template"] == "payment of <job> taken"


def test_a_seed_takes_the_lines_that_it_matches(model):
    """Lines that had another template get the seed's from then on, and over an update."""
    made(model, "seed parcel sent for <job>")
    code = model.catalog.texts.index("parcel sent for <job>")
    model.update(log(1))
    assert model.catalog.counts[code] == 120


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("fuse a b", "edits.txt:1: 'fuse' is no edit"),
        ("merge t00000000", "edits.txt:1: is cut short"),
        ("merge t00000000 t11111111", "edits.txt:1: there is no template 't00000000'"),
        ("rename t00000000", "edits.txt:1: is cut short"),
        ("seed <*>", "edits.txt:1: .* every line"),
    ],
)
def test_an_edit_that_cannot_be_is_said_with_its_line(model, line, says):
    """One sentence: which line, what, and what to try; the model is as it was."""
    before = listed(model)
    with pytest.raises(InputError, match=says):
        made(model, line)
    assert listed(model) == before


def test_what_is_one_by_itself_cannot_be_split(model):
    """There is nothing to undo."""
    with pytest.raises(InputError, match="by itself"):
        made(model, f"split {ids(model)['card']}")


def test_ids_are_no_templates():
    """A model learned from ids has no words to edit."""
    found = Pipeline(detectors=VIEWS).fit([["a", "b"], ["a", "c"]] * 20)
    with pytest.raises(ModelError, match="edited"):
        edit(found, [])


def test_the_command_shows_and_edits(model, tmp_path, monkeypatch, capsys):
    """From the shell: the list, an edit, and the list again."""
    monkeypatch.chdir(tmp_path)
    model.save("model")
    (tmp_path / "edits.txt").write_text(f"rename {ids(model)['card']} payment taken\n")
    for arguments in (["templates", "model", "--edits", "edits.txt"], ["templates", "model"]):
        monkeypatch.setattr("sys.argv", ["offbeat", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
    said = capsys.readouterr()
    assert "1 edit made" in said.err
    assert "payment taken" in said.out
