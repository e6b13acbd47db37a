"""Rules proposed for findings: they load, they catch, and their figures are those of the engine."""

import json
from pathlib import Path

import pytest
from cli_cases import offbeat  # noqa: F401 - a fixture
from samples import shop_log

from offbeat.decide.incidents import finding_id
from offbeat.detection import write_run
from offbeat.errors import InputError, OptionError
from offbeat.pipeline import Pipeline
from offbeat.proposal import propose
from offbeat.proposal.overall import _events
from offbeat.proposal.past import Past
from offbeat.proposal.write import STYLES, selection, span, written
from offbeat.rules import load

VIEWS = ["presence", "count", "ngram", "new-template", "length", "timing"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run over a shop: one order is refused, one is not charged, one is shipped before it is charged, one is slow."""
    folder = tmp_path_factory.mktemp("proposal")
    made = Pipeline(detectors=VIEWS).fit(_written(folder / "before.log", shop_log(300, odd=())))
    log = [line for line in shop_log(300, odd=(41,), seed=3) if not ("charged" in line and "order-1077" in line)]
    at = [i for i, line in enumerate(log) if "order-1120" in line and ("charged" in line or "shipped" in line)]
    swapped = [log[at[1]][24:], log[at[0]][24:]]
    for i, text in zip(at, swapped, strict=True):
        log[i] = log[i][:24] + text
    run = made.score(_written(folder / "app.log", log))
    write_run(run, run.find(), folder / "run", made)
    return folder / "run"


def _written(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


@pytest.fixture(scope="module")
def past(run):
    """Its past."""
    return Past.open(run)


def about(past, session):
    """Return the finding about a session."""
    (found,) = [one for one in past.findings if one["session"] == session]
    return found


def test_what_was_never_seen_is_a_rule_on_words(past):
    """A refusal is caught by its words alone, in plain Sigma, without a false alarm."""
    found = propose(past, about(past, "order-1041"))
    assert found.caught
    assert (found.false_alarms, found.normal) == (0, 297)
    assert "message: payment gateway refused * after * tries" in found.rule
    assert "offbeat.session" not in found.rule


def test_what_is_missing_is_a_correlation(past):
    """An order that is not charged is caught by what its session lacks."""
    found = propose(past, about(past, "order-1077"))
    assert found.caught
    assert found.quiet
    assert "not charged_card_for" in found.rule


def test_an_order_of_events_is_a_correlation(past):
    """A shipment before the charge is caught by the order of the two."""
    found = propose(past, about(past, "order-1120"))
    assert found.caught
    assert found.quiet
    assert "temporal_ordered" in found.rule


def test_every_rule_loads_and_hits_the_same_again(past, tmp_path):
    """Each rule is one that ``rules check`` takes, with a title, an id and a level on what finds."""
    told = [finding for finding in past.findings if finding["kind"] not in ("rule", "drift")]
    assert told
    for finding in told:
        file = tmp_path / "rule.yml"
        made = propose(past, finding)
        assert made.caught
        file.write_text(made.rule)
        found = load([file])
        assert not found.refused
        assert found.documents[-1].id
        assert found.documents[-1].level == finding["severity"]


def test_detect_finds_it_with_the_rule(run, offbeat, past):  # noqa: F811 - the fixture
    """The proposed rule, given to ``detect``, finds the very session, and the other that was not charged."""
    name = about(past, "order-1077")["id"]
    said = offbeat(f"explain {run} {name} --as-rule -o rule.yml")
    assert said.code == 0
    assert "it catches the finding again, with 0 of 297 normal sessions" in said.err
    assert said.out == ""
    log = run.parent / "app.log"
    found = offbeat(f"detect {log} --detector presence,count --no-pack --rules rule.yml --json")
    ruled = [one["session"] for one in map(json.loads, found.out.splitlines()) if one["rules"]]
    assert sorted(ruled) == ["order-1041", "order-1077"]  # what is refused is not charged either


def test_the_rule_is_printed_or_told_as_json(run, offbeat, past):  # noqa: F811 - the fixture
    """On stdout stands the rule, which can be kept as it is; ``--json`` has the figures, too."""
    name = about(past, "order-1041")["id"]
    said = offbeat(f"explain {run} {name} --as-rule")
    told = json.loads(offbeat(f"explain {run} {name} --as-rule --json").out)
    assert told["rule"] == said.out
    assert (told["caught"], told["quiet"], told["on"]) == (True, True, "log")
    Path("kept.yml").write_text(said.out)
    assert offbeat("rules check kept.yml").code == 0


def test_without_the_log_the_units_of_the_run_are_used(run, past, tmp_path):
    """Where the log is gone the rule is tried on the sequences that the run keeps, unless its new place is named."""
    gone = run.parent / "app.log"
    kept = gone.rename(tmp_path / "moved.log")
    try:
        alone = Past.open(run)
        found = propose(alone, about(past, "order-1077"))
        assert (found.on, found.caught, found.quiet) == ("units", True, True)
        assert "the log was not read" in found.summary()
        assert propose(Past.open(run, [str(kept)]), about(past, "order-1077")).on == "log"
    finally:
        kept.rename(gone)


def test_another_log_is_refused(run, tmp_path):
    """A log that the run is not about gets one sentence, rather than figures that mean nothing."""
    other = _written(tmp_path / "other.log", shop_log(30, seed=9))
    with pytest.raises(InputError, match="not the log that the run is about"):
        Past.open(run, [other])


def test_options_that_need_each_other(run, offbeat):  # noqa: F811 - the fixture
    """``-o`` without ``--as-rule``, and that without a finding, are mistakes that are said."""
    assert offbeat(f"explain {run} -o x.yml").code == 2
    assert offbeat(f"explain {run} --as-rule").code == 2


def test_what_is_no_rule_is_refused(past):
    """That a log has changed is to be learned from; a rule's own finding has its rule."""
    some = dict(past.findings[0])
    with pytest.raises(OptionError, match="no rule"):
        propose(past, some | {"kind": "drift"})
    with pytest.raises(OptionError, match="rule’s already"):
        propose(past, some | {"kind": "rule", "id": "other", "rules": ["Mine"]})


def test_a_burst_of_one_address_is_counted_by_address(tmp_path):
    """Many failures of one address become an event count by address, that no other address reaches."""
    lines = []
    for second in range(0, 14_400, 20):
        at = f"2026-03-01 {8 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        lines.append(f"{at} INFO request from 192.0.2.{second // 20 % 50} served")
        if second % 600 == 0:
            lines.append(f"{at} WARN bad password from 192.0.2.{second // 600 % 50}")
        if 7200 <= second < 7500:
            lines += [f"{at} WARN bad password from 198.51.100.9"] * 12
    made = Pipeline(detectors=["presence", "count"], window=20).fit(_written(tmp_path / "web.log", lines))
    run = made.cross_score()
    write_run(run, run.find(), tmp_path / "run", made)
    past = Past.open(tmp_path / "run")
    bursts = [f for f in past.findings if f["session"] == "198.51.100.9"]
    assert bursts
    found = propose(past, bursts[0])
    assert found.caught
    assert found.false_alarms == 0
    assert "event_count" in found.rule
    assert "src_ip" in found.rule


def test_numbers_that_are_off_for_a_while_become_a_bound_that_is_counted(tmp_path):
    """A service at full load for minutes becomes an event count of its lines with a number beyond the usual."""
    lines = []
    for i in range(900):
        at = f"2026-03-01T{8 + i // 120:02}:{i // 2 % 60:02}:{30 * (i % 2):02}Z"
        for n, who in enumerate(("web", "db", "cart")):
            cpu = 90 + i % 5 if who == "db" and 600 <= i <= 615 else 30 + (7 * i + n) % 13
            lines.append(json.dumps({"timestamp": at, "service": who, "message": "health checked", "cpu": cpu}))
    made = Pipeline(detectors=["presence"], window=20).fit(_written(tmp_path / "health.jsonl", lines))
    run = made.cross_score()
    write_run(run, run.find(), tmp_path / "run", made)
    past = Past.open(tmp_path / "run")
    (shift,) = [f for f in past.findings if f["kind"] == "shift"]
    found = propose(past, shift)
    assert found.caught
    assert found.false_alarms == 0
    assert "cpu|gte: 6" in found.rule
    assert "offbeat.source: db" in found.rule


def test_a_heartbeat_that_stops_becomes_a_count_of_none_by_its_source(tmp_path):
    """A silence of one service becomes a rule on its own lines, whatever the others write."""
    lines = []
    for i in range(900):
        at = f"2026-03-01T{8 + i // 120:02}:{i // 2 % 60:02}:{30 * (i % 2):02}Z"
        said = [("db", "query served")]
        said += [
            (who, "health checked, all well") for who in ("web", "db", "cart") if who != "db" or not 600 <= i <= 660
        ]
        lines += [json.dumps({"timestamp": at, "service": who, "message": text}) for who, text in said]
    made = Pipeline(detectors=["presence"], window=20).fit(_written(tmp_path / "health.jsonl", lines))
    run = made.cross_score()
    write_run(run, run.find(), tmp_path / "run", made)
    past = Past.open(tmp_path / "run")
    (silence,) = [f for f in past.findings if f["kind"] == "silence"]
    assert silence["reason"].startswith("“health checked, all well” of db does not come for 31 minutes")
    found = propose(past, silence)
    assert found.caught
    assert "falls silent" in found.title
    assert "offbeat.source: db" in found.rule


def test_templates_as_selections():
    """Words with wildcards, the words alone, or the template; what holds no words has only the last."""
    text = "user * <*> took <num> ms…"
    assert [selection(text, style) for style in STYLES] == [
        {"message": "user \\* * took * ms*"},
        {"message|contains|all": ["user \\*", "took", "ms"]},
        {"offbeat.template": "user \\* <\\*> took <num> ms…"},
    ]
    assert selection("<*> <*>", "glob") is None


def test_spans_as_people_write_them():
    """A span is the next usual one, in the largest unit that divides it."""
    assert [written(span(seconds)) for seconds in (0, 31, 61, 4000, 90_000)] == ["1s", "1m", "5m", "2h", "2d"]


def test_rules_read_numbers_pauses_and_addresses(tmp_path, offbeat):  # noqa: F811 - the fixture
    """A rule may compare the number in a message, the pause before it in its session, and the address in it."""
    lines = [
        f"2026-03-01 08:{n:02}:{s:02} INFO {text} for order-{n}"
        for n in range(40)
        for s, text in ((1, "received from 192.0.2.7"), (2, "stored in 5 ms"), (3, "sent"))
    ]
    lines[31] = lines[31].replace("5 ms", "700 ms")  # order-10
    lines[62] = lines[62].replace(":03 ", ":50 ")  # order-20
    lines[90] = lines[90].replace("192.0.2.7", "198.51.100.9")  # order-30
    _written(tmp_path / "app.log", lines)
    for field, value, order in (("value|gte", 0.5, 10), ("gap|gt", 30, 20), ("address", "198.51.100.9", 30)):
        rule = (
            f"title: t\nlogsource:\n  category: any\ndetection:\n  s:\n    offbeat.{field}: {value}\n  condition: s\n"
        )
        _written(tmp_path / "rule.yml", rule.split("\n"))
        said = offbeat(
            "detect app.log --session-by order-[0-9]+ --detector presence,count --no-pack --rules rule.yml --json"
        )
        found = [one for one in map(json.loads, said.out.splitlines()) if one["rules"]]
        assert [line["text"].split()[-1] for one in found for line in one["lines"] if line["mark"] == "worst"] == [
            f"order-{order}"
        ]


def test_what_was_counted_is_told_by_the_id():
    """A rise of one level, or of all lines, is counted as that, whatever words the finding has for it."""
    for what, name, field in (("level", "ERROR", "offbeat.level|gte"), ("all", "", "message")):
        start = "2026-03-01T08:00:00Z"
        finding = {"id": finding_id("volume", f"{what} {name}", "", start), "kind": "volume", "start": start}
        finding |= {"templates": [{"template": "x <*>"}], "sources": ["a"], "reason": "WARN lines come 29 times"}
        (_, chosen), *others = _events(finding)
        assert field in chosen
        assert others[0][0] == "x <*>"
