"""Replay says what another setting would have given, and gives what detect gives."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_cases import offbeat as offbeat
from samples import shop_log

from offbeat import Budget, Lines, Pipeline
from offbeat.decide import parse_threshold
from offbeat.errors import OptionError
from offbeat.feedback import Feedback
from offbeat.questions import questions
from offbeat.replay import TODAY, Setting, line_of, replay
from offbeat.rules import RuleSet, load
from offbeat.store import Answer

ODD = (5, 20, 21, 60)
_RULE = """
title: Refused
id: 00000000-0000-4000-8000-000000000001
status: test
logsource:
    category: any
detection:
    keywords:
        - checked stock for order-1007
    condition: keywords
level: high
"""
_FILTER = """
title: Orders of ours
logsource:
    category: any
filter:
    rules: any
    selection:
        message|contains: order-1007
    condition: not selection
"""
_SCORED = _RULE.replace("- checked stock for order-1007", "- checked stock").replace(
    "    condition: keywords", "    strange:\n        offbeat.score|gte: 5\n    condition: keywords and strange"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model, a log with four refused orders and its labels, rules and a filter."""
    folder = tmp_path_factory.mktemp("replay")
    Pipeline(detectors=("presence", "count")).fit(Lines(shop_log(90, odd=()))).save(folder / "model")
    (folder / "shop.log").write_text("\n".join(shop_log(90, odd=ODD)) + "\n")
    (folder / "labels.csv").write_text("key,label\n" + "".join(f"order-{1000 + n},1\n" for n in ODD[:3]))
    for name, text in (("rule", _RULE), ("filter", _FILTER), ("scored", _SCORED)):
        (folder / f"{name}.yml").write_text(text)
    return folder


def decided(folder: Path, *settings: Setting, labels=None):
    """Replay the log by settings."""
    pipeline = Pipeline.load(folder / "model")
    return replay(pipeline, str(folder / "shop.log"), settings, labels=labels)


def test_each_setting_gives_what_scoring_anew_gives(folder):
    """Deciding once more is the same as detecting with the setting."""
    rules = load([folder / "rule.yml"])
    scored = load([folder / "scored.yml"])
    budget, none = Budget.parse("2/1000"), RuleSet()
    found = decided(
        folder,
        Setting(TODAY, rules=none),
        Setting("budget", budget, rules=none),
        Setting("rules", rules=rules),
        Setting("scored", rules=scored),
    )
    anew = []
    for given, limit in ((none, None), (none, budget), (rules, None), (scored, None)):
        pipeline = Pipeline.load(folder / "model")
        pipeline.rules = given
        run = pipeline.score(str(folder / "shop.log"))
        anew.append((run if limit is None else run.with_budget(limit)).find())
    assert [[one.as_dict() for one in outcome.findings] for outcome in found] == [
        [one.as_dict() for one in some] for some in anew
    ]
    assert [len(some) for some in anew] == [1, 1, 2, 1]
    assert any("Refused" in one.rules for one in anew[3])


def test_what_appears_and_disappears_is_named(folder):
    """Against today a rule adds a finding, a budget keeps the incident by one of its units, a high line loses it."""
    rules = load([folder / "rule.yml"])
    today, ruled, high, low = decided(
        folder,
        Setting(TODAY, rules=RuleSet()),
        Setting("rules", rules=rules),
        Setting("high", threshold="99", rules=RuleSet()),
        Setting("low", threshold="-99", rules=RuleSet()),
    )
    assert (today.units, ruled.units, high.units, low.units) == (4, 4, 0, 90)
    assert [one.rules for one in ruled.appear] == [["Refused"]]
    assert ruled.disappear == []
    assert (high.appear, high.disappear) == ([], today.findings)
    assert low.disappear == []
    assert ruled.as_dict()["kinds"] == {"rule": 1, "new pattern": 1}
    assert ruled.by_day() == {"2026-03-01": {"new pattern": 1, "rule": 1}}
    assert today.a_day == pytest.approx(1 / today.days)


def test_suppressions_quiet_rules(folder):
    """A filter that leaves the event out makes the rule's finding disappear."""
    rules = load([folder / "rule.yml"])
    both = load([folder / "rule.yml", folder / "filter.yml"])
    _, then = decided(folder, Setting(TODAY, rules=rules), Setting("suppressed", rules=both))
    assert [one.rules for one in then.disappear] == [["Refused"]]


def test_answers_and_labels_say_how_good_a_setting_is(folder):
    """With feedback the quality by labels changes, and it is said what was answered and is told."""
    from offbeat.evaluate.labels import read_labels

    run = Pipeline.load(folder / "model").score(str(folder / "shop.log"))
    (question,) = questions(run, run.find())
    known = Feedback([Answer(question, "false-alarm")])
    labels = read_labels(folder / "labels.csv")
    today, without = decided(
        folder, Setting(TODAY, rules=RuleSet(), feedback=known), Setting("without", rules=RuleSet()), labels=labels
    )
    assert (today.quiet, len(today.findings), len(without.findings)) == (1, 0, 1)
    assert today.answered == {"false-alarm": {"told": 0, "of": 1}}
    assert without.answered == {"false-alarm": {"told": 1, "of": 1}}
    assert today.quality == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert without.quality == {"precision": 0.75, "recall": 1.0, "f1": pytest.approx(0.8571)}


@pytest.mark.parametrize("text", ["quantile:0.9", "sigma:2", "knee"])
def test_rules_for_thresholds_see_the_training_scores(text):
    """What the calibration keeps of the training scores gives the line that the scores themselves give."""
    pipeline = Pipeline(detectors=("presence", "count"), rules=RuleSet()).fit(Lines(shop_log(200, odd=(41, 77))))
    learned = pipeline.fitted
    fused = learned.decision(learned.out_of_fold)
    expected = parse_threshold(text).fit(fused, np.ones(len(fused)))
    assert line_of(text, learned.decision) == pytest.approx(expected, abs=1e-6)
    assert line_of("7.5", learned.decision) == 7.5


def test_impossible_thresholds_are_said_before_anything_is_read(folder):
    """A mistake in a setting costs no time."""
    with pytest.raises(OptionError, match="is no threshold"):
        replay(Pipeline.load(folder / "model"), "nowhere.log", [Setting(TODAY), Setting("x", threshold="much")])


def test_the_command_prints_a_table_and_json(folder, offbeat):
    """A row a setting, what appears below it, and the same as JSON lines."""
    at = f"replay {folder}/model {folder}/shop.log"
    said = offbeat(f"{at} --budget 2/1000 --threshold 99 --labels {folder}/labels.csv")
    rows = said.out.splitlines()
    assert rows[0].split()[:4] == ["setting", "findings", "a", "day"]
    assert [row.split("  ")[0] for row in rows[1:4]] == ["today", "--budget 2/1000", "--threshold 99"]
    assert "--threshold 99:" in rows
    assert any(row.startswith("  - high") and "never seen in training" in row for row in rows)
    assert "0.750" in rows[1]
    lines = [json.loads(line) for line in offbeat(f"{at} --rules {folder}/rule.yml --json").out.splitlines()]
    assert [line["findings"] for line in lines] == [1, 2]
    assert lines[1]["appear"][0]["kind"] == "rule"
    assert lines[1]["setting"].startswith("today with ")
    quiet = offbeat(f"{at} --use {folder}/rule.yml --suppress {folder}/filter.yml --json").out.splitlines()
    assert [json.loads(line)["findings"] for line in quiet] == [2, 1]
    assert "next: --budget" in offbeat(at).err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--budget many", "--budget: 'many' is no budget"),
        ("--threshold much", "--threshold: 'much' is no threshold"),
        ("--threshold knee:0.2", "--threshold knee:0.2: is found where a model is learned"),
        ("--suppress nowhere.yml", "nowhere.yml"),
        ("--store nowhere.sqlite", "there is no file of answers here"),
    ],
)
def test_mistakes_are_said_in_one_sentence(folder, offbeat, options, words):
    """Each ends with 2 and one line."""
    said = offbeat(f"replay {folder}/model {folder}/shop.log {options}")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert words in said.err
