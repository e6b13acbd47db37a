"""The page says why: what was expected, who made the score, what would be normal; log text stays text there, too."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cli_cases import offbeat  # noqa: F401 - a fixture
from pages import HOSTILE, hostile_log, scored
from samples import shop_log
from test_page import big_finding, check_safe

from offbeat import Lines, Pipeline
from offbeat.detection import write_run
from offbeat.explain.decompose import decompose, explain_series
from offbeat.html import render, render_explanations
from offbeat.html.page import INCIDENTS
from offbeat.why import Explanation, Findings
from offbeat.why.course import around

VIEWS = ["presence", "count", "lstm"]


@pytest.fixture(scope="module")
def orders():
    """A shop learned with a small network, and a run in which one order is refused and one lacks a step."""
    made = Pipeline(detectors=VIEWS, params={"lstm.hidden": 16, "lstm.learning_rate": 0.01, "lstm.epochs": 12}).fit(
        Lines(shop_log(200, odd=()))
    )
    log = [x for x in shop_log(200, seed=3) if not ("charged card" in x and "order-1077" in x)]
    run = made.score(Lines(log))
    return made, run, run.find()


def explained(made, run, findings):
    """Return explanations of all findings."""
    opened = Findings.of(run, findings, made)
    return opened, {one.id: opened.explain(one.id) for one in findings}


def test_each_part_of_an_explanation_is_on_the_page(orders):
    """Probabilities and rank, what is missing, what each event adds, the states, shares, edits and the difference."""
    made, run, findings = orders
    _, why = explained(made, run, findings)
    words = check_safe(render(run, findings, trained=made.summary, explained=why)).words
    one = next(e for e in why.values() if e.finding["session"] == "order-1041")
    instead = min((e for e in one.events if "expected" in e), key=lambda e: e["probability"])
    rank = f"rank {instead['rank']}" if instead["rank"] else "unknown to the network"
    assert f"seen, {rank}" in words
    assert "by integrated gradients" in words
    assert "What these hidden units react to most" in words
    assert f"{one.views[0]['view']}{one.views[0]['share']:.0%}" in words
    assert "Missing, and the share of sessions that have it" in words
    assert "Nearest normal session" in words
    turned = next(e for e in why.values() if e.counterfactual)
    assert f"it scores {turned.counterfactual['score']:.1f}, below its threshold" in words


def test_nothing_is_explained_unless_asked(orders):
    """The usual page holds no explanation, and still shows each view's score."""
    made, run, findings = orders
    words = check_safe(render(run, findings, trained=made.summary)).words
    assert "Expected against seen" not in words
    assert "Score by view" in words


def test_hostile_text_stays_text_in_explanations():
    """Templates of hostile lines make no markup where they are explained."""
    made, run, findings = scored(hostile_log(), "300/1000", session_by=r"order-\d+")
    opened, why = explained(made, run, findings[:20])
    for text in (render(run, findings, trained=made.summary, explained=why), render_explanations(opened, why)):
        page = check_safe(text)
        assert "What each event adds" in page.words
        # Of a template, in which numbers are placeholders.
        assert HOSTILE[4].split("}}")[1] in page.words


def big_explanation(finding, n=400):
    """Return an explanation with as much to say as any: many events, differences, edits and hidden units."""
    rng = np.random.default_rng(0)
    named = {"template_id": "t1", "template": "word " * 40}
    events = [
        {"place": i, "line": 9_000 + i, **named, "adds": float(rng.normal()), "attributed": float(rng.normal())}
        for i in range(n)
    ]
    for event in events[:5]:
        event |= {"probability": 0.001, "rank": 77, "expected": [named | {"probability": 0.3}] * 3}
    steps = [{"how": ("keep", "add", "remove")[i % 3], **named} for i in range(n)]
    units = [{"unit": i, "reacts_to": named | {"mean": 0.5, "usual": 0.1}} for i in range(24)]
    network = {"method": "occlusion", "score": 9.0, "delta": None, "first": 0, "last": 2, "begin": 0, "units": units,
               "hidden": rng.uniform(-1, 1, (40, 24)).tolist()}  # fmt: skip
    edits = [{"how": "add", "place": i, "change": i, **named} for i in range(12)]
    views = [{"view": f"view-{i}", "nats": 1.0, "share": 0.09} for i in range(11)]
    turned = {"edits": edits, "changes": 12, "at_least": 12, "score": 2.0}
    return Explanation(
        finding.as_dict(), 9.0, 3.0, views, events, [{"share": 0.9, **named}] * 30,
        {"units": 3, "of": 10.0, "edits": 99, "steps": steps}, turned, None, network,
    )  # fmt: skip


def test_an_explained_report_stays_small():
    """200 incidents, 20 of them explained at length, take less than 5 MB."""
    made, run, _ = scored([[f"{i:04d} template" for i in range(k, k + 20)] for k in range(0, 2_000, 20)] * 5)
    findings = [big_finding(i, run) for i in range(INCIDENTS)]
    why = {one.id: big_explanation(one) for one in findings[:20]}
    text = render(run, findings, trained=made.summary, explained=why)
    assert len(text.encode()) < 5_000_000
    words = check_safe(text).words
    assert words.count(" events before") >= 1


def course():
    """Return what is said of a spike in the sixth of nine days, and its parts."""
    step = 3_600_000_000
    hours = np.arange(9 * 24)
    counts = np.random.default_rng(0).poisson(100 * (1 + 0.7 * np.sin(2 * np.pi * hours / 24))).astype(float)
    counts[130] += 300
    d = decompose(hours * step, counts)
    said = explain_series(hours * step, counts, 130, decomposition=d)
    return said | {"parts": around(d, said["time"])}


def test_a_series_is_drawn_in_its_parts(orders):
    """A finding about volume shows the series, its trend, its rhythm and the rest, with the part it sticks out of."""
    made, run, findings = orders
    said = course()
    assert said["parts"]["seen"][said["parts"]["at"]] == said["seen"]
    why = {findings[0].id: Explanation(findings[0].as_dict(), course=said)}
    page = check_safe(render(run, findings, trained=made.summary, explained=why))
    assert said["sentence"] in page.words
    assert all(name in page.words for name in ("trend", "day’s rhythm", "rest"))
    rings = [a for tag, a in page.tags if tag == "circle" and a.get("class") == "here"]
    assert len(rings) == 2


def test_long_series_are_cut_around_the_finding():
    """Of a long series the buckets around the one in question are told, and it is among them."""
    hours = np.arange(600)
    counts = np.random.default_rng(0).poisson(50, 600).astype(float)
    d = decompose(hours * 3_600_000_000, counts)
    for at in (0, 3, 300, 599):
        time = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=at)).isoformat()
        parts = around(d, time)
        assert len(parts["seen"]) == 400
        assert parts["seen"][parts["at"]] == counts[at]


def test_the_commands_write_pages(orders, tmp_path, offbeat):  # noqa: F811 - the fixture
    """The command explain --html explains the whole run or one finding; what cannot be is refused in one sentence."""
    made, run, findings = orders
    folder, page = tmp_path / "run", tmp_path / "why.html"
    write_run(run, findings, folder, made)
    assert len(findings) > 1
    assert offbeat(f"explain {folder} --html {page} --method occlusion").code == 0
    whole = check_safe(page.read_text(encoding="utf-8"))
    assert f"{len(findings)} incidents explained" in whole.words
    assert "by occlusion" in whole.words
    assert offbeat(f"explain {folder} --html {page} --limit 1").code == 0
    assert f"{len(findings) - 1} more incidents of this run are not explained" in page.read_text(encoding="utf-8")
    one = offbeat(f"explain {folder} {findings[-1].id} --html {page}")
    assert one.out.startswith(findings[-1].reason)
    text = page.read_text(encoding="utf-8")
    assert findings[-1].id in text
    assert findings[0].id not in text
    assert offbeat(f"explain {folder} --html {tmp_path}").code == 2
    assert offbeat(f"explain {folder} --method guess").code == 2


def test_detect_explains_where_asked(tmp_path, shop_file, offbeat):  # noqa: F811 - the fixture
    """The command detect --html --explain writes explanations into the report; without --html it is refused."""
    page = tmp_path / "report.html"
    done = offbeat(f"detect {shop_file} --detector presence,count --budget 3/1000 --html {page} --explain")
    assert done.code == 0
    assert "What each event adds" in check_safe(page.read_text(encoding="utf-8")).words
    refused = offbeat(f"detect {shop_file} --explain")
    assert refused.code == 2
    assert "--html" in refused.err
