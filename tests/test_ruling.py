"""Rules while a log is read: their findings, and one incident with what the models find."""

import datetime as dt
import json
import math
from collections import Counter
from pathlib import Path

import pytest

from offbeat.errors import UserError
from offbeat.finding import Finding
from offbeat.pipeline import Pipeline
from offbeat.rules import RuleSet, load
from offbeat.ruling import Joiner

VIEWS = ("presence", "count")
_START = dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC)


def _line(seconds: float, service: str, trace: str, msg: str, level: str = "INFO", **more: object) -> str:
    time = (_START + dt.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return json.dumps({"time": time, "level": level, "service": service, "trace_id": trace, "msg": msg, **more})


def _trace(seconds: float, number: int, broken: bool) -> list[str]:
    """Return a request through two services; a broken one fails where it is charged for."""
    trace = f"{number:016x}"
    out = [_line(seconds, "gateway", trace, f"received POST /orders/{number}")]
    if broken:
        out.append(_line(seconds + 0.01, "order", trace, "handler failed: no field price in the row", "ERROR"))
    else:
        out.append(_line(seconds + 0.01, "order", trace, f"order {number} stored"))
        out.append(_line(seconds + 0.02, "order", trace, f"order {number} confirmed"))
    status = 500 if broken else 200
    out.append(_line(seconds + 0.03, "gateway", trace, f"answered POST with {status}", status=status))
    return out


@pytest.fixture(scope="module")
def deployed() -> list[str]:
    """An hour of requests; after a deployment twelve of them fail within two minutes, then it is rolled back."""
    out: list[str] = []
    for i in range(360):
        if i == 200:
            out.append(_line(10 * i - 1, "order", "0" * 16, "version 2.4.0 started"))
        if i == 212:
            out.append(_line(10 * i - 1, "order", "0" * 16, "version 2.3.9 started"))
        out += _trace(10 * i, i, broken=200 <= i < 212)
    return out


@pytest.fixture(scope="module")
def attacked() -> list[str]:
    """A host that people log in to; one address tries sixty passwords within two minutes, and gets in."""
    out = []
    for i in range(400):
        time = _START + dt.timedelta(minutes=3 * i)
        said = f"Accepted password for user{i % 9} from 10.0.{i % 40}.{i % 7} port {4000 + i} ssh2"
        out.append((time, f"sshd[{100 + i}]: {said}"))
    for i in range(60):
        time = _START + dt.timedelta(minutes=600, seconds=2 * i)
        out.append((time, f"sshd[{900 + i}]: Failed password for root from 203.0.113.9 port {5000 + i} ssh2"))
    end = _START + dt.timedelta(minutes=602, seconds=4)
    out.append((end, "sshd[999]: Accepted password for root from 203.0.113.9 port 5999 ssh2"))
    return [f"{time:%b %d %H:%M:%S} web-1 {text}" for time, text in sorted(out)]


def test_errors_after_a_deployment_are_one_incident(deployed: list[str]):
    """The first case study: what fails after a deployment is found by a rule and by the models, and told once."""
    pipeline = Pipeline(detectors=VIEWS, session_by="trace_id")
    found = pipeline.fit(deployed).cross_score().find()
    both = [f for f in found if f.rules]
    assert [f.rules for f in both] == [["Burst of server errors"]]
    assert both[0].kind != "rule"
    assert both[0].units >= 12
    assert "handler failed" in " ".join(line.text for line in both[0].lines)
    assert "Rule “Burst of server errors”: 12 events" in both[0].reason
    assert both[0].severity in ("high", "critical")


def test_failed_logins_from_one_address_are_one_incident(attacked: list[str]):
    """The second case study: brute force is found by rules and as a burst, and told once, with the login at its end."""
    found = Pipeline(detectors=VIEWS).fit(attacked).cross_score().find()
    both = [f for f in found if f.rules]
    assert len(both) == 1
    assert both[0].kind == "volume"
    assert both[0].session == "203.0.113.9"
    assert both[0].severity == "critical"
    assert set(both[0].rules) >= {"Brute force from one address", "Login after many failures"}
    assert any("Accepted password for root" in line.text for line in both[0].lines)
    assert not any(f.kind == "rule" for f in found)


def test_models_find_both_case_studies_by_themselves(deployed: list[str], attacked: list[str]):
    """Without rules the failing requests and the burst of failed logins are still the first finding of each log."""
    none = RuleSet()
    shop = Pipeline(detectors=VIEWS, session_by="trace_id", rules=none).fit(deployed).cross_score().find()
    auth = Pipeline(detectors=VIEWS, rules=none).fit(attacked).cross_score().find()
    assert (shop[0].units, shop[0].rules) == (12, [])
    assert (auth[0].kind, auth[0].session, auth[0].rules) == ("volume", "203.0.113.9", [])


def test_what_a_rule_finds_often_ranks_behind_what_it_finds_once(tmp_path: Path):
    """A p-value is the share of the log's hours in which a rule fires as strongly; the rarer rule is told first."""
    rules = tmp_path / "rules.yml"
    shape = (
        "title: {0}\nlogsource:\n    category: any\ndetection:\n    k:\n        - {0}\n    condition: k\nlevel: high\n"
    )
    rules.write_text("---\n".join(shape.format(word) for word in ("job 7777", "job 8888")))
    lines = []
    for minute in range(0, 20 * 60, 5):
        number = 7777 if minute % 120 == 0 else 8888 if minute == 605 else minute
        time = _START + dt.timedelta(minutes=minute)
        lines.append(f"{time:%Y-%m-%d %H:%M:%S} INFO service did job {number}")
    found = Pipeline(detectors=VIEWS, rules=load([rules])).fit(lines).cross_score().find()
    told = {f.rules[0]: f for f in reversed(found) if f.kind == "rule"}
    # A line years ago makes the log no longer than it is.
    stray = [lines[0].replace("2024", "1999"), *lines]
    again = Pipeline(detectors=VIEWS, rules=load([rules])).fit(stray).cross_score().find()
    once = next(f for f in again if f.rules == ["job 8888"])
    assert once.p_value == told["job 8888"].p_value
    assert told["job 8888"].p_value == pytest.approx(1 / (1195 / 60), rel=1e-3)
    assert told["job 7777"].p_value == pytest.approx(10 / (1195 / 60), rel=1e-3)
    assert told["job 8888"].score == pytest.approx(math.log(1195 / 60), rel=1e-3)
    order = [f.rules[0] for f in found if f.kind == "rule"]
    assert order[0] == "job 8888"


def test_rules_can_be_left_out_and_score_nothing(attacked: list[str]):
    """Without rules the scores are the same, and no finding names one."""
    pipeline = Pipeline(detectors=VIEWS).fit(attacked)
    with_rules = pipeline.cross_score()
    without = Pipeline(detectors=VIEWS, rules=RuleSet()).fit(attacked).cross_score()
    assert without.scores.equals(with_rules.scores)
    assert not any(f.rules for f in without.find())


def test_findings_of_rules_are_the_same_every_time(attacked: list[str], tmp_path: Path):
    """A finding's id and content do not depend on the run, nor on whether lines come from a file."""
    path = tmp_path / "auth.log"
    path.write_text("\n".join(attacked) + "\n")
    runs = [Pipeline(detectors=VIEWS).fit(data).cross_score().find() for data in (attacked, attacked, str(path))]
    assert [f.as_dict() for f in runs[0]] == [f.as_dict() for f in runs[1]]
    assert [f.id for f in runs[0]] == [f.id for f in runs[2]]


def test_a_model_looks_for_rules_too(attacked: list[str]):
    """A log scored by a model is looked at by rules as well; times outside the stretch asked for are left out."""
    pipeline = Pipeline(detectors=VIEWS).fit(attacked[:200])
    run = pipeline.score(attacked)
    assert any("Brute force from one address" in f.rules for f in run.find())
    late = run.between(run.scores["end"].max() - dt.timedelta(minutes=10), None)
    assert not any(f.rules for f in late.find())


def test_the_command_line_takes_rules(tmp_path: Path, attacked: list[str], capfdbinary: pytest.CaptureFixture[bytes]):
    """`detect --rules` adds rules to those that ship, says which cannot be used, and takes those of the user first."""
    pytest.importorskip("sigma")
    from offbeat.cli import app

    log, rules = tmp_path / "auth.log", tmp_path / "rules"
    log.write_text("\n".join(attacked) + "\n")
    rules.mkdir()
    own = "title: Root logs in\nlogsource:\n    product: linux\n    service: sshd\ndetection:\n    s:\n"
    own += "        message|contains: Accepted password for root\n    condition: s\nlevel: low\n"
    (rules / "own.yml").write_text(own)
    (rules / "bad.yml").write_text(own.replace("contains", "nonsense"))

    def found(*more: str) -> list[list[str]]:
        args = ["detect", str(log), "--json", "--detector", "presence,count", *more]
        assert app(args, standalone_mode=False) in (0, None)
        out = capfdbinary.readouterr()
        found.err = out.err.decode()
        return [json.loads(line)["rules"] for line in out.out.splitlines()]

    assert ["Root logs in"] in found("--rules", str(rules), "--no-pack")
    assert "bad.yml:7: detection.s.message|nonsense" in found.err
    everything = [name for names in found("--rules", str(rules)) for name in names]
    assert {"Root logs in", "Brute force from one address"} <= set(everything)
    assert not any(found("--no-pack"))
    with pytest.raises(UserError, match=r"bad\.yml:7"):
        app(["detect", str(log), "--rules", str(rules / "bad.yml")], standalone_mode=False)


def test_rules_may_read_what_the_models_know(deployed: list[str], tmp_path: Path):
    """A rule on score, p-value, template or session sees the events of the strange units, once they are scored."""
    pytest.importorskip("sigma")
    from offbeat.rules import load

    text = "title: {n}\nlogsource:\n    category: any\ndetection:\n    s:\n        {item}\n    condition: s\n"
    items = {
        "strange": "offbeat.p_value|lt: 0.05",
        "template": "offbeat.template|contains: 'handler failed'",
        "session": "offbeat.session: '00000000000000c9'",
        "errors": "offbeat.score|gt: 1\n        message|contains: failed",
        "new": "offbeat.new_template: true",
    }
    (tmp_path / "r.yml").write_text("---\n".join(text.format(n=n, item=item) for n, item in items.items()))
    pipeline = Pipeline(detectors=VIEWS, session_by="trace_id", rules=load([tmp_path / "r.yml"]))
    first = pipeline.fit(deployed[:400]).score(deployed)
    assert first.ruling is not None
    events: Counter[str] = Counter()
    for firing in first.ruling.firings:
        events[first.ruling.rules.documents[firing.key].title] += firing.events
    assert events == {"strange": 36 + 2, "template": 12, "session": 3, "errors": 12, "new": 12 + 2}
    learned = pipeline.fit(deployed).cross_score()
    assert learned.ruling is not None
    titles = [learned.ruling.rules.documents[f.key].title for f in learned.ruling.firings]
    assert "new" not in titles
    assert "template" in titles


def test_rules_that_inform_are_no_findings_and_too_many_are_counted(
    attacked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An informational rule alerts nobody; more findings than anybody reads are counted, the gravest told."""
    pytest.importorskip("sigma")
    from offbeat.rules import load

    own = "title: {n}\nlogsource:\n    product: linux\ndetection:\n    s:\n        message|contains: {n}\n"
    own += "    condition: s\nlevel: {level}\n"
    texts = [own.format(n="Accepted", level="informational"), own.format(n="password", level="low")]
    (tmp_path / "r.yml").write_text("---\n".join([*texts, own.format(n="Failed", level="high")]))
    monkeypatch.setattr("offbeat.ruling._TOLD", 1)
    run = Pipeline(detectors=VIEWS, rules=load([tmp_path / "r.yml"])).fit(attacked).cross_score()
    assert [f.rules for f in run.find() if f.rules] == [["Failed"]]
    assert run.ruling is not None
    assert run.ruling.untold > 0


def test_a_silence_that_a_rule_finds_too_is_told_once():
    """A beat that stops and the rule for silent sources are one finding where they name the same source at one time."""

    def finding(kind: str, source: str, hours: float) -> Finding:
        since = _START + dt.timedelta(hours=hours)
        until = since + dt.timedelta(minutes=70)
        rules = ["Silent source"] if kind == "rule" else []
        return Finding(
            f"{kind} {source} {hours}", kind, "medium", "", 9.0, 0.01, since, until, None, [source], [], rules, kind,
            "", [], 1, {},
        )  # fmt: skip

    beats, rule = finding("silence", "payment", 0.0), finding("rule", "payment", 0.1)
    (one,) = Joiner().joined([beats], [rule], ["app.log"])
    assert (one.kind, one.rules) == ("silence", ["Silent source"])
    for other in (finding("rule", "cart", 0.1), finding("rule", "payment", 9.0)):
        assert len(Joiner().joined([beats], [other], ["app.log"])) == 2
