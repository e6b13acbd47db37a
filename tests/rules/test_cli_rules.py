"""`offbeat rules check`, `list` and `test`, as a user sees them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import needs_sigma  # noqa: F401 - skips where pySigma is absent

from offbeat.cli import app
from offbeat.errors import UserError

Outcome = tuple[int, list[str], str]

_RULE = """\
title: Refused at night
logsource:
    category: webserver
detection:
    refused:
        sc-status: 403
    night:
        offbeat.timestamp|hour: [0, 1, 2, 3]
    crawler:
        cs-user-agent|contains: Googlebot
    condition: refused and night and not crawler
"""
_LINE = '192.0.2.7 - - [17/May/2015:0{h}:05:03 +0000] "GET /admin HTTP/1.1" {s} 203 "-" "{a}"\n'


@pytest.fixture
def offbeat(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run the command line; returns the exit code, the lines on stdout, and stderr."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*args: object) -> Outcome:
        code = app([str(arg) for arg in args], standalone_mode=False)
        out = capfdbinary.readouterr()
        return code or 0, out.out.decode().splitlines(), out.err.decode()

    return run


@pytest.fixture
def rule(tmp_path: Path) -> Path:
    """A rule for access logs."""
    path = tmp_path / "night.yml"
    path.write_text(_RULE)
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three refused requests, of which one is at night and by no crawler."""
    path = tmp_path / "access.log"
    lines = [(2, 403, "curl/8"), (9, 403, "curl/8"), (2, 403, "Googlebot/2"), (3, 200, "curl/8")]
    path.write_text("".join(_LINE.format(h=h, s=s, a=a) for h, s, a in lines))
    return path


def test_test_counts_events_and_matches(offbeat: Callable[..., Outcome], rule: Path, log: Path):
    """With --json one line a rule: its title and both counts."""
    code, lines, _ = offbeat("rules", "test", rule, log, "--json")
    assert code == 0
    assert [json.loads(line) for line in lines] == [{"rule": "Refused at night", "events": 4, "matched": 1}]


@pytest.mark.parametrize("command", [("check",), ("list",), ("test", "--any-log")], ids=lambda c: c[0])
def test_a_rule_cannot_steer_the_terminal(offbeat: Callable[..., Outcome], tmp_path: Path, log: Path, command: tuple):
    """Titles, fields and values of a rule are somebody's text: controls in them are shown, not obeyed."""
    steer = r"\e]0;taken\a"
    text = f'title: "{steer}"\nlogsource:\n    category: webserver\ndetection:\n    s:\n        "{steer}": "{steer}"\n'
    (tmp_path / "good.yml").write_text(text + "    condition: s\n")
    (tmp_path / "bad.yml").write_text(text.replace('":', '|nope":') + "    condition: s\n")
    files = [tmp_path / "good.yml", *([log] if command[0] == "test" else [tmp_path / "bad.yml"])]
    _, lines, err = offbeat("rules", *command, *files)
    assert "taken" in "".join(lines) + err
    assert not [line for line in [*lines, *err.splitlines()] if not line.isprintable()]


def test_test_shows_what_matched_and_why_not(offbeat: Callable[..., Outcome], rule: Path, log: Path):
    """Without --json it shows the lines that match, and for the others which selection fails on which field."""
    _, lines, _ = offbeat("rules", "test", rule, log)
    text = "\n".join(lines)
    assert "1 event matches, of 4 events" in text
    assert f"{log}:1" in text
    assert "refused fails for 1 event: sc-status is 403; seen: '200'" in text
    assert "crawler fails for 1 event: the condition says not, and it holds" in text
    assert "night fails for 1 event" in text


def test_why_not_is_told_by_what_comes_nearest(offbeat: Callable[..., Outcome], log: Path, tmp_path: Path):
    """Of what does not match the event stands for all that fits most; other logs' events hide no reason."""
    rule = tmp_path / "near.yml"
    rule.write_text(
        "title: Near\nlogsource:\n    category: webserver\ndetection:\n    s:\n        sc-status: 403\n"
        "        c-ip: 192.0.2.9\n    known:\n        offbeat.p_value|lt: 0.1\n    condition: s and known\n"
    )
    _, lines, _ = offbeat("rules", "test", rule, log)
    text = "\n".join(lines)
    assert "s fails for 4 events: c-ip is '192.0.2.9'; seen: " in text
    assert "which only models know: offbeat detect --rules" in text
    assert "of the first" not in text


def test_events_of_other_logs_hide_no_reason(offbeat: Callable[..., Outcome], tmp_path: Path):
    """Some events being of another log, the others' reasons are told as well, and of how many events they are."""
    rule, log = tmp_path / "user.yml", tmp_path / "mixed.log"
    rule.write_text(
        "title: User\nlogsource:\n    product: linux\n    service: sshd\ndetection:\n    s:\n        user: b\n"
        "    condition: s\n"
    )
    accepted = "Mar 27 13:06:56 host sshd[7]: Accepted password for a from 1.2.3.4 port 5 ssh2\n"
    log.write_text("Mar 27 13:06:55 host cron[7]: tick\n" + accepted * 2_100)
    text = "\n".join(offbeat("rules", "test", rule, log)[1])
    assert "of the first 2,000 that do not match" in text
    assert "log source fails for 1 event: the rule is for product linux, service sshd; seen: source 'cron'" in text
    assert "s fails for 1,999 events: user is 'b'; seen: 'a'" in text


def test_test_without_a_log_runs_the_examples(offbeat: Callable[..., Outcome], rule: Path, tmp_path: Path):
    """The rule's own test file is run; an example that is not as it says is shown, and the exit code is 1."""
    line = _LINE.format(h=1, s=403, a="curl/8").strip()
    (tmp_path / "night.test.yml").write_text(f"- name: one\n  events: |\n    {line}\n  matched: 1\n")
    assert offbeat("rules", "test", rule)[:2] == (0, ["as expected: Refused at night: one"])
    (tmp_path / "night.test.yml").write_text(f"- name: one\n  events: |\n    {line}\n  matched: 7\n")
    code, lines, _ = offbeat("rules", "test", rule)
    assert code == 1
    assert lines[0].startswith("NOT as expected")
    code, lines, _ = offbeat("rules", "test", tmp_path, "--json")
    assert json.loads(lines[0])["as_expected"] is False


def test_examples_that_are_none_are_said(offbeat: Callable[..., Outcome], rule: Path, tmp_path: Path):
    """A missing or malformed test file is one sentence."""
    with pytest.raises(UserError, match="there are no examples"):
        offbeat("rules", "test", rule)
    (tmp_path / "night.test.yml").write_text("name: x\n")
    with pytest.raises(UserError, match="is no list of examples"):
        offbeat("rules", "test", rule)
    (tmp_path / "night.test.yml").write_text("- name: x\n")
    with pytest.raises(UserError, match="is no example"):
        offbeat("rules", "test", rule)


def test_check_says_place_key_reason_and_what_is_supported(offbeat: Callable[..., Outcome], rule: Path):
    """A bad rule is told with path:line, the key, what is wrong and what is supported; the exit code is 2."""
    assert offbeat("rules", "check", rule)[0] == 0
    rule.write_text(_RULE.replace("|contains", "|holds"))
    code, lines, err = offbeat("rules", "check", rule)
    assert code == 2
    assert lines[0].startswith(f"{rule}:10: detection.crawler.cs-user-agent|holds: Unknown modifier")
    assert "startswith" in lines[0]
    assert "1 in 1 file: 0 can be used, 1 cannot" in err
    told = json.loads(offbeat("rules", "check", rule, "--json")[1][0])
    assert (told["usable"], told["field"]) == (False, "detection.crawler.cs-user-agent|holds")


def test_a_path_that_is_absent_is_said(offbeat: Callable[..., Outcome], tmp_path: Path):
    """A missing file and an empty folder are one sentence each."""
    with pytest.raises(UserError, match="there is no such file"):
        offbeat("rules", "check", tmp_path / "nothing.yml")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no rule"):
        offbeat("rules", "check", tmp_path / "empty")


def test_list_shows_the_pack_or_what_is_named(offbeat: Callable[..., Outcome], rule: Path):
    """Without a path the rules that ship are listed, else those in the path."""
    _, lines, _ = offbeat("rules", "list")
    assert lines[0].split() == ["LEVEL", "KIND", "LOG", "RULE"]
    assert any("Brute force from one address" in line for line in lines)
    _, lines, _ = offbeat("rules", "list", rule, "--json")
    row = json.loads(lines[0])
    assert (row["rule"], row["kind"], row["log"]) == ("Refused at night", "event", "category webserver")


def test_expand_gives_values_to_placeholders(offbeat: Callable[..., Outcome], rule: Path, log: Path):
    """A rule with placeholders works with the values given, and says what to give where there are none."""
    rule.write_text(_RULE.replace("cs-user-agent|contains: Googlebot", "cs-user-agent|expand: '*%Crawlers%*'"))
    assert offbeat("rules", "test", rule, log, "--json")[0] == 2
    code, lines, _ = offbeat("rules", "test", rule, log, "--json", "--expand", "Crawlers=Googlebot,bingbot")
    assert (code, json.loads(lines[0])["matched"]) == (0, 1)
    with pytest.raises(UserError, match="names no values"):
        offbeat("rules", "test", rule, log, "--expand", "Crawlers")


def test_any_log_tries_a_rule_on_a_log_that_it_is_not_for(offbeat: Callable[..., Outcome], rule: Path, log: Path):
    """A rule for another log says so; --any-log looks all the same."""
    rule.write_text(_RULE.replace("category: webserver", "product: windows"))
    _, lines, _ = offbeat("rules", "test", rule, log)
    assert "log source fails for 4 events: the rule is for product windows" in "\n".join(lines)
    assert json.loads(offbeat("rules", "test", rule, log, "--json", "--any-log")[1][0])["matched"] == 1
