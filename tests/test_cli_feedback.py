"""`offbeat feedback` on the command line: what it finds by itself, and what stays when a run has gone."""

import json
import shutil
from pathlib import Path

import pytest
from cli_cases import offbeat as offbeat
from samples import shop_log

from offbeat import Lines, Pipeline

ODD = (5, 20, 40, 60)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with a model and a log with four refused orders."""
    folder = tmp_path_factory.mktemp("feedback")
    Pipeline(detectors=("presence", "count")).fit(Lines(shop_log(90, odd=()))).save(folder / "model")
    (folder / "shop.log").write_text("\n".join(shop_log(90, odd=ODD)) + "\n")
    (folder / "next.log").write_text("\n".join(shop_log(120, odd=(*ODD, 100), seed=0)) + "\n")
    return folder


@pytest.fixture
def said(offbeat, prepared, tmp_path):
    """A function that runs a command in a copy of that folder, and expects it to succeed."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)

    def run(command: str, code: int = 0):
        result = offbeat(command)
        assert result.code == code, result.err
        return result

    return run


def findings(text: str) -> list[dict]:
    """Return JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_finding_is_answered_by_its_id_alone(said, tmp_path):
    """The run in this folder is found, the answer is kept beside its model, and outlives the run."""
    said("detect shop.log -m model -o run")
    (one,) = findings(said("detect shop.log -m model --json").out)
    done = said(f"feedback add {one['id'][:6]} false-alarm --note 'a test of ours'")
    assert f"{one['id']} is false-alarm" in done.err
    shutil.rmtree(tmp_path / "run")
    quiet = said("detect shop.log -m model --json")
    assert (quiet.out, quiet.err) == ("", "offbeat: 1 finding quiet by feedback (4 sessions)\n")
    report = said("detect shop.log -m model").out
    assert "feedback 1 finding quiet by feedback (4 sessions)\n" in report
    assert "Nothing is off the beat: the strangest session scores 0." in report
    (later,) = findings(said("detect next.log -m model --json").out)
    assert (later["session"], later["units"]) == ("order-1100", 1)
    (row,) = findings(said("feedback list --json").out)
    assert row | {"added": "", "reason": ""} == {
        "finding": one["id"], "verdict": "false-alarm", "scope": "finding", "until": None, "note": "a test of ours",
        "added": "", "kind": "new pattern", "session": "order-1005", "start": one["start"], "units": 4, "reason": "",
    }  # fmt: skip
    assert said("feedback list -m model").out.startswith(f"{one['id']}  false-alarm  finding")
    said(f"feedback remove {one['id'][:4]}")
    assert len(findings(said("detect shop.log -m model --json").out)) == 1


def test_scopes_and_expiry(said):
    """A pattern is quiet in later logs, until the time given."""
    said("detect shop.log -m model -o run")
    (one,) = findings(said("detect shop.log -m model --json").out)
    said(f"feedback add {one['id']} expected --scope pattern --run run")
    assert findings(said("detect next.log -m model --json").out) == []
    said(f"feedback add {one['id']} expected --scope pattern --until 2026-03-01T08:20:00Z")
    (left,) = findings(said("detect next.log -m model --json").out)
    assert left["units"] == 2
    assert "until 2026-03-01T08:20:00Z" in said("feedback list").out


def test_the_run_says_what_was_quiet(said, tmp_path):
    """The counts are in the summary of the run that `-o` writes, and the scores say which units."""
    import polars as pl

    said("detect shop.log -m model -o run")
    (one,) = findings(said("detect shop.log -m model --json").out)
    said(f"feedback add {one['id']} expected")
    said("detect shop.log -m model -o run --scores scores.parquet --html report.html")
    summary = json.loads((tmp_path / "run" / "model.json").read_bytes())["values"]["summary"]
    assert (summary["feedback"]["findings"], summary["feedback"]["units"]) == (1, 4)
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert scores["quiet"].sum() == 4
    assert scores["is_anomaly"].sum() == 0


def test_questions_are_asked_of_runs_and_of_models(said, tmp_path):
    """The same units are asked about, and answered by id once the run has gone."""
    said("detect shop.log -m model -o run")
    asked = said("feedback ask run -n 3")
    ids = [line.split()[0] for line in asked.out.splitlines()[::2]]
    assert len(set(ids)) == 3
    assert "“payment gateway refused <*> after <*> tries” was never seen in training. shop.log:" in asked.out
    assert f"feedback add {ids[0]} confirmed" in asked.err
    of_model = said("feedback ask model shop.log -n 3 --json").out
    assert [row["id"] for row in findings(of_model)] == ids
    shutil.rmtree(tmp_path / "run")
    said(f"feedback add {ids[0]} confirmed -m model")
    assert ids[0] not in said("feedback ask model shop.log -n 3").out


def test_without_a_model_answers_stay_beside_the_run(said):
    """A log that was learned from itself has no model; its answers are used with --store."""
    said("detect shop.log --detector presence,count -o run")
    (one,) = findings(said("detect shop.log --detector presence,count --json").out)
    said(f"feedback add {one['id']} expected --run run")
    again = said("detect shop.log --detector presence,count --json --store run.feedback.sqlite")
    assert again.out == ""


def test_a_model_learned_again_keeps_its_answers(said):
    """`fit -o` replaces the model as a whole; what people said is not lost with it."""
    said("detect shop.log -m model -o run")
    (one,) = findings(said("detect shop.log -m model --json").out)
    said(f"feedback add {one['id']} expected --scope pattern")
    said("fit next.log -o model --detector presence,count --clean --threshold quantile:0.9")
    assert "1 finding quiet" in said("detect shop.log -m model").out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("feedback add nothing expected", "'nothing' is no finding of the runs in this folder (--run names"),
        ("feedback add nothing expected --run run", "'nothing' is no finding of run"),
        ("feedback add x maybe", "VERDICT: 'maybe' is none (one of: expected, false-alarm, confirmed)"),
        ("feedback add x expected --scope all", "--scope: 'all' is none (one of: finding, pattern, session)"),
        ("feedback add x expected --until soon", "--until: 'soon' is no time"),
        ("feedback add x expected --run model", "is an offbeat model, and an offbeat run is asked for"),
        ("feedback add x expected --run nowhere", "there is no offbeat run here"),
        ("feedback list", "there are no answers in this folder (name the model"),
        ("feedback remove x -m model", "'x' is none of those answered (these are: none)"),
        ("feedback list --store shop.log", "cannot be used as a file of answers"),
        ("feedback ask model", "is an offbeat model, and an offbeat run is asked for"),
        ("feedback ask run shop.log", "run: is a run, which holds its log"),
        ("detect shop.log -m model --store none.sqlite", "there is no file of answers here"),
    ],
)
def test_mistakes_are_said_in_one_sentence(said, command, words):
    """Each mistake ends with 2, one line that says what and where, and leaves no file behind."""
    said("detect shop.log -m model -o run")
    before = sorted(p.name for p in Path().iterdir())
    result = said(command, code=2)
    assert words in result.err
    assert result.err.count("\n") == 1
    assert sorted(p.name for p in Path().iterdir()) == before
