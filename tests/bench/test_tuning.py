"""Searching parameters: on later units, resumable, in flags that fit takes."""

import importlib.util
import shlex
import sys
from pathlib import Path

import orjson
import pytest
from samples import shop_log

from offbeat.bench.space import search_space
from offbeat.cli import main
from offbeat.detect import DETECTORS
from offbeat.errors import OptionError

ODD = (7, 23, 71, 88, 103, 112)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a log of 120 sessions and its labels, as the working folder."""
    (tmp_path / "shop.log").write_text("\n".join(shop_log(120, ODD)) + "\n")
    keys = "".join(f"order-{1000 + n},{int(n in ODD)}\n" for n in range(120))
    (tmp_path / "labels.csv").write_text("key,label\n" + keys)
    (tmp_path / "early.csv").write_text("key,label\norder-1007,1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str, capsys, monkeypatch) -> tuple[int, str, str]:
    """Run a command line; returns exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["offbeat", *shlex.split(command)])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


COMMAND = "tune shop.log --session-by 'order-\\d+' --detector ngram "


def test_the_best_parameters_are_flags_that_fit_takes(folder, capsys, monkeypatch):
    """What is printed goes into fit as it is; with labels the goal is average precision on later sessions."""
    code, out, err = run(COMMAND + "--labels labels.csv --trials 5", capsys, monkeypatch)
    assert code == 0, err
    assert "average precision on the validation part's labels: best" in err
    assert out.startswith("--param ngram.prior=")
    fit = f"fit shop.log --session-by 'order-\\d+' -o model --detector presence,ngram {out.strip()}"
    assert run(fit, capsys, monkeypatch)[0] == 0
    model = orjson.loads(Path("model/model.json").read_bytes())
    assert model["values"]["views"]["ngram"]["params"]["prior"] == float(out.strip().partition("=")[2])


def test_a_search_goes_on_where_it_ended(folder, capsys, monkeypatch):
    """Three trials and three more are six, the defaults first; another goal in the same folder is refused."""
    first = run(COMMAND + "--trials 3 -o study --json", capsys, monkeypatch)
    assert first[0] == 0, first[2]
    again = run(COMMAND + "--trials 6 -o study --json", capsys, monkeypatch)
    rows = [orjson.loads(out) for _, out, _ in (first, again)]
    assert [row["trials"] for row in rows] == [3, 6]
    assert rows[1]["best"] >= rows[0]["best"] >= rows[0]["default"]
    assert rows[0]["default"] == rows[1]["default"]
    assert orjson.loads(run(COMMAND + "--trials 6 -o study --json", capsys, monkeypatch)[1])["trials"] == 6
    code, _, err = run(COMMAND + "--trials 9 -o study --labels labels.csv", capsys, monkeypatch)
    assert code == 2
    assert "offbeat: study: holds a search with another objective (name another folder" in err


def test_two_searches_with_one_seed_find_the_same(folder, capsys, monkeypatch):
    """Nothing depends on anything but data, detector, space and seed."""
    found = [run(COMMAND + "--trials 4 --json", capsys, monkeypatch)[1] for _ in range(2)]
    assert found[0] == found[1]


def test_no_trial_begins_when_time_is_up(folder, capsys, monkeypatch):
    """A tenth of a second is not over before the first trial, and ends the search soon after."""
    code, out, err = run(COMMAND + "--time 0.1s --json", capsys, monkeypatch)
    assert code == 0, err
    assert 1 <= orjson.loads(out)["trials"] < 60


@pytest.mark.slow
def test_a_network_is_judged_by_its_validation_loss(folder, capsys, monkeypatch):
    """Without labels a network's own loss on what it held back is the goal."""
    command = COMMAND.replace("ngram", "lstm") + "--trials 2 --space hidden=4:8 --space learning_rate=0.01,0.02 --json"
    code, out, err = run(command, capsys, monkeypatch)
    assert code == 0, err
    row = orjson.loads(out)
    assert row["objective"] == "the network's validation loss, negated"
    assert row["best"] < 0
    assert set(row["params"]) == {"hidden", "learning_rate"}


@pytest.mark.parametrize("name", [n for n, kind in DETECTORS.items() if set(kind().get_params()) - {"seed"}])
def test_every_parameter_searched_can_be_used(name):
    """The ends of each range are values that the detector takes."""
    try:
        space = search_space(name, {})
    except OptionError as problem:
        assert "has no parameter to search" in str(problem)  # noqa: PT017 - both outcomes are checked
        return
    for end in (0, -1):
        params = {}
        for parameter, choice in space.items():
            value = choice.some[end] if choice.some else (choice.low, choice.high)[end]
            params[parameter] = int(value) if choice.whole else value
        DETECTORS[name](**params).check_params()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("--labels early.csv", "shop.log: the validation part, the last 36 units, holds only normal units"),
        ("--objective labels", "--objective labels: needs labels, and they are hidden (loss or altered)"),
        ("--objective luck", "--objective: 'luck' is no objective (labels, loss or altered)"),
        ("--objective loss", "--objective loss: ngram is no network"),
        ("--space prior", "--space: 'prior' is no range (as in --space hidden=16:128)"),
        ("--space prior=9:1", "--space: '9:1' is no range for prior (prior=LOW:HIGH or prior=A,B,C)"),
        ("--space order=3", "--space: ngram has no parameter 'order' (it has: prior)"),
        ("--detector timing", "--objective altered: altered sequences say nothing of timestamps (give --labels)"),
        ("--detector svm", "detector svm: learns from labels, and there are none (give --labels"),
        ("--detector lsdm", "--detector: there is no detector 'lsdm'"),
        ("--time now", "--time: 'now' is no stretch of time (90s, 15m or 2h)"),
        ("-o shop.log", "shop.log: is a file; a folder is written here"),
    ],
    ids=lambda value: value[:30],
)
def test_mistakes_are_one_clear_sentence(options, error, folder, capsys, monkeypatch):
    """Exit code 2, nothing on stdout, and one sentence that says what and where."""
    code, out, err = run(COMMAND + options, capsys, monkeypatch)
    assert (code, out) == (2, "")
    assert error in err
    assert err.count("\n") == 1


def test_too_little_to_choose_by_is_said_at_once(folder, capsys, monkeypatch):
    """With a handful of sessions nothing can be chosen, and no time is spent on trying."""
    Path("short.log").write_text("\n".join(Path("shop.log").read_text().splitlines()[:12]) + "\n")
    code, out, err = run(COMMAND.replace("shop.log", "short.log"), capsys, monkeypatch)
    assert (code, out) == (2, "")
    assert "at least 20 are needed" in err


def test_without_optuna_it_is_said_what_to_install(folder, capsys, monkeypatch):
    """The extra is named before anything is read."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "optuna" else find(name, *a))
    code, _, err = run(COMMAND.replace("shop.log", "none.log"), capsys, monkeypatch)
    assert (code, err) == (2, "offbeat: tune: needs Optuna, which is not installed (pip install 'offbeat[tune]')\n")
