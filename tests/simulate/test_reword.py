"""A release at half time words statements anew, and changes nothing else."""

import json
import re

import pytest

from offbeat.errors import OptionError
from offbeat.simulate import simulate
from offbeat.simulate.reword import ANEW, STATEMENTS
from offbeat.simulate.shop import TEMPLATES, WORDS

N = 4_000


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """The records of a log without and with a release, and the labels of both."""
    folder = tmp_path_factory.mktemp("logs")
    found = []
    for name, share in (("plain", 0.0), ("release", 0.2)):
        made = simulate(folder / name, N, 3, reword=share)
        found.append(([json.loads(line) for line in made.path.read_text().splitlines()], made.labels.read_bytes()))
    return found


def test_only_messages_after_half_time_change(logs):
    """What happens, when, where and with which labels is the same with the release and without."""
    (plain, labels), (release, others) = logs
    assert labels == others
    assert plain[: N * 45 // 100] == release[: N * 45 // 100]
    changed = [i for i, (a, b) in enumerate(zip(plain, release, strict=True)) if a["message"] != b["message"]]
    assert N * 0.45 < min(changed) < N * 0.6
    for a, b in zip(plain, release, strict=True):
        assert {**a, "message": ""} == {**b, "message": ""}


def test_a_share_of_the_statements_changes(logs):
    """A fifth of what requests say is worded anew, and from then on always."""
    (plain, _), (release, _) = logs
    shape = re.compile(r"(?:GET|POST) \S+|with \d+ in|\b[a-z]*\d[\d.]*\b|\b(?:" + "|".join(WORDS) + r")\b")
    kinds = {}
    for a, b in list(zip(plain, release, strict=True))[N * 6 // 10 :]:
        kinds.setdefault(shape.sub("*", a["message"]), set()).add(a["message"] != b["message"])
    assert all(len(states) == 1 for states in kinds.values())
    assert 2 <= sum(True in states for states in kinds.values()) <= 0.45 * len(kinds)


def test_every_new_wording_holds_the_same_values():
    """A release loses no value, or it would be another line."""
    values = re.compile(r"\{\w+\}")
    for code, text in ANEW.items():
        assert sorted(values.findall(text)) == sorted(values.findall(TEMPLATES[code].text)), TEMPLATES[code].name
        assert text != TEMPLATES[code].text


def test_nearly_all_statements_can_change():
    """The share is of all that requests say every day."""
    assert len(STATEMENTS) > 40
    assert sum(group <= ANEW.keys() for group in STATEMENTS) >= 0.9 * len(STATEMENTS)


@pytest.mark.parametrize("share", [-0.1, 0.9])
def test_a_share_out_of_range_is_refused(tmp_path, share):
    """The user's mistake gives one sentence, and nothing is written."""
    with pytest.raises(OptionError, match="reword"):
        simulate(tmp_path / "log", 100, reword=share)
    assert not list(tmp_path.iterdir())
