"""The page says what was found, and whatever a log says stays text."""

import base64
import dataclasses
import hashlib
import math
import re
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from pages import HOSTILE, Page, hostile_log, page_of, scored
from samples import shop_log

from offbeat import Lines, report
from offbeat.decide import Drift
from offbeat.errors import OptionError
from offbeat.finding import Finding, Line
from offbeat.html import _environment, charts, render, write_html
from offbeat.html.page import ALL_PATTERNS, INCIDENTS
from offbeat.run import Run

#: Everything the templates and charts are made of. A script, a form, a frame, an image or a link out is none of it.
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "figure", "figcaption"),
    *(
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "div",
        "span",
        "a",
        "b",
        "strong",
        "em",
        "small",
    ),
    *("code", "time", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
    *("svg", "defs", "path", "circle", "rect", "line", "text", "use"),
}
ADDRESSES = {"src", "srcset", "href", "xlink:href", "action", "formaction", "data", "poster", "background", "ping"}


def check_safe(html: str) -> Page:
    """Return the page, having looked at every element and attribute of it."""
    page = Page.of(html)
    assert page.left_open == []
    assert page.names <= ELEMENTS
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, attributes)
            assert name != "style", (tag, attributes)
            assert name not in ADDRESSES or (value or "").startswith("#"), (tag, attributes)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", html)
    return page


@pytest.fixture(scope="module")
def shop_page() -> str:
    """The page of a small shop's log."""
    return page_of(Lines(shop_log()), session_by=r"order-\d+")


def test_the_page_is_sound(shop_page):
    """Elements are closed in order, ids are unique, and every link leads to one of them."""
    page = check_safe(shop_page)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    links = {a["href"] for tag, a in page.tags if tag in ("a", "use")}
    assert len(ids) == len(set(ids))
    assert links <= {f"#{name}" for name in ids}


def test_the_policy_allows_this_style_and_nothing_else(shop_page):
    """The policy comes before the style, and its hash is that of the style."""
    css = re.search(r"<style>(.*?)</style>", shop_page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = next(a["content"] for _, a in Page.of(shop_page).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in css
    assert "@import" not in css


def test_it_says_what_the_terminal_says():
    """Every fact of the terminal's head, each finding's sentence, expectation, lines and id are on the page."""
    pipeline, run, findings = scored(Lines(shop_log()), session_by=r"order-\d+")
    words = Page.of(render(run, findings, trained=pipeline.summary)).words
    assert findings
    for (_, _), *rest in report.head(run, pipeline.summary, len(findings), len(findings)):
        assert " ".join("".join(text for text, _ in rest).split()) in words
    for one in findings:
        for text in (one.severity, one.kind, one.reason, one.expected, one.id, one.session):
            assert text in words
        assert all(" ".join(line.text.split()) in words for line in one.lines)
        assert all(source in words for source in one.sources[:12])


@pytest.mark.parametrize("options", [{"session_by": r"order-\d+"}, {"window": 10}], ids=["sessions", "windows"])
def test_hostile_log_text_stays_text(options):
    """No line makes an element, an attribute, a comment or an invisible mark; Jinja's signs are shown as they are."""
    page = check_safe(page_of(hostile_log(), "500/1000", **options))
    assert "<script>pwned=1</script>" in page.words
    assert "{{ 7 * 7 }}{% for" in page.words
    assert "\\x1b[31mred" in page.words
    assert "\\u202egnp.exe" in page.words


def test_hostile_names_stay_text():
    """Sources, session keys, file names, template names and the title are as little trusted as lines."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    n = 40 * len(HOSTILE)
    frame = pl.DataFrame(
        {
            "timestamp": [start] * n,
            "message": [f"step {i % 3} {HOSTILE[i % len(HOSTILE)]}" for i in range(n - 1)] + ["never seen"],
            "source": [HOSTILE[i % len(HOSTILE)] for i in range(n)],
            "fields.id": [HOSTILE[i // 4 % len(HOSTILE)] + str(i // 4) for i in range(n)],
        }
    )
    pipeline, run, findings = scored(frame, session_by="id")
    run.summary["files"] = ["/var/log/<script>pwned=1</script>\u202e.log"]
    page = check_safe(render(run, findings, trained=pipeline.summary, title=HOSTILE[0] + HOSTILE[8]))
    assert findings
    assert HOSTILE[0] in page.words


def test_whatever_a_template_prints_is_made_visible():
    """Even a value that no filter touched is escaped, with controls and bidirectional marks shown."""
    text = _environment().from_string("<b>{{ x }}</b>").render(x="<i>\x1b[0m\u202e&")
    assert text == "<b>&lt;i&gt;\\x1b[0m\\u202e&amp;</b>"


def test_the_same_run_gives_the_same_page(shop_page):
    """Learning and rendering again gives the same bytes."""
    assert page_of(Lines(shop_log()), session_by=r"order-\d+") == shop_page


def big_finding(i: int, run: Run) -> Finding:
    """Return a finding with as much to say as any: 20 long lines, 12 sources, 20 templates."""
    rng = np.random.default_rng(i)
    words = [f"{'<&>' if k % 9 == 0 else ''}word{rng.integers(1e6)}" for k in range(60)]
    text = " ".join(words)
    lines = [Line("app.log", 100 * i + k, 0, text, "worst" if k == 10 else None) for k in range(20)]
    return Finding(
        id=f"{i:012x}",
        kind="rare pattern",
        severity=("critical", "high", "medium", "low")[i % 4],
        severity_reason="3 times as surprising as the threshold",
        score=float(run.scores["score"][i]),
        p_value=0.001,
        start=None,
        end=None,
        session=run.scores["key"][i],
        sources=[f"service-{k}" for k in range(12)],
        templates=[{"template_id": f"t{k}", "template": text[:200]} for k in range(20)],
        rules=[],
        reason=f"“{text[:90]}” is here; usually only 1 in 900 sessions holds it.",
        expected="1 in 900 sessions holds it",
        lines=lines,
        units=3,
        views={"presence": 7.0, "count": 3.0, "lstm": 2.0, "timing": 1.0, "values": 0.5},
    )


@pytest.fixture(scope="module")
def big() -> str:
    """A page of 200 incidents and 5,000 templates."""
    names = [f"{i:05d} " + "template with quite a few words in it " * 3 for i in range(5_000)]
    pipeline, run, _ = scored([names[i : i + 20] for i in range(0, 5_000, 20)] * 2)
    findings = [big_finding(i, run) for i in range(INCIDENTS + 7)]
    return render(run, findings, trained=pipeline.summary)


def test_a_large_report_stays_small(big):
    """200 incidents with 20 long lines each and 5,000 templates take less than 5 MB, and what is left out is said."""
    assert len(big.encode()) < 5_000_000
    page = check_safe(big)
    assert sum(tag == "details" and "incident" in (a.get("class") or "") for tag, a in page.tags) == INCIDENTS
    assert f"All {ALL_PATTERNS:,} patterns" in page.words
    assert "7 less severe incidents are not shown here" in page.words


def test_charts_draw_few_points(big):
    """However much was scored, the timeline is a few hundred bars."""
    d = [a["d"] for tag, a in Page.of(big).tags if tag == "path" and "d" in a]
    assert max(len(re.findall("[MLV]", one)) for one in d) <= 2_000


def test_nothing_strange_is_said_calmly():
    """Without findings the page says so, with the highest score and what was looked at."""
    pipeline, run, _ = scored(Lines(shop_log()), session_by=r"order-\d+")
    calm = dataclasses.replace(run, scores=run.scores.with_columns(is_anomaly=pl.lit(False)), threshold=99.0)
    page = check_safe(render(calm, calm.find(), trained=pipeline.summary))
    assert "Nothing is off the beat" in page.words
    assert "the threshold is 99" in page.words
    assert 'id="incidents"' not in page.words


def test_without_times_the_axis_is_order():
    """Ids without times give a page that says units are in order, with no empty dates."""
    ids = [["a", "b", "c"]] * 60 + [["a", "x"]]
    words = check_safe(page_of(ids)).words
    assert "There are no times: sessions are in the order of the input" in words
    assert "1970" not in words


def test_drift_has_a_notice():
    """A raised threshold is said at the top, on the scale of the scores that are shown."""
    pipeline, run, findings = scored(Lines(shop_log()), session_by=r"order-\d+")
    run = dataclasses.replace(run, drift=Drift(0.31, 0.012, 11.5), threshold=8.25)
    words = check_safe(render(run, findings, trained=pipeline.summary)).words
    assert "The log no longer fits what was learned. 31% of the sessions are improbable where 1.2% were" in words
    assert f"flagged from a score of 8.2 on ({run.decision.threshold:.1f} as learned)" in words
    assert "11.5" not in words
    line = charts.short(run.decision.threshold)
    drift = dataclasses.replace(findings[0], kind="drift", score=12.0)
    words = check_safe(
        render(dataclasses.replace(run, learned=run.scores["score"]), [drift], trained=pipeline.summary)
    ).words
    assert f"Score 12.0, threshold {line}, p" in " ".join(words.split())


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("still fits", "What was learned still fits this log."),
        ("getting old", "What was learned is getting old. “stock checked” is gone."),
        ("no longer fits", "What was learned no longer fits. “stock checked” is gone."),
    ],
)
def test_the_page_says_whether_the_model_fits(verdict, said):
    """Whether what was learned still fits stands at the top, with what changed."""
    pipeline, run, findings = scored(Lines(shop_log()), session_by=r"order-\d+")
    fit = {"verdict": verdict, "changed": ["“stock checked” is gone"], "words": verdict}
    words = check_safe(render(dataclasses.replace(run, fit=fit), findings, trained=pipeline.summary)).words
    assert said in " ".join(words.split())


def test_a_finding_about_the_log_as_a_whole_has_a_mark_and_no_threshold():
    """A rule's finding is marked on the timeline where it begins, and is not compared with the threshold of units."""
    pipeline, run, findings = scored(Lines(shop_log()), session_by=r"order-\d+")
    rule = dataclasses.replace(
        findings[0], id="0123456789ab", kind="rule", session=None, sources=["gateway"], views={}, unit=None, members=()
    )
    page = check_safe(render(run, [rule], trained=pipeline.summary))
    assert any(tag == "a" and a.get("href") == "#i-0123456789ab" for tag, a in page.tags)
    assert "Score by view" not in page.words
    assert f"Score {rule.score:.1f}, p" in " ".join(page.words.split())


def test_labels_bring_curves_and_the_confusion_matrix():
    """A run scored with labels is compared with them; its counts add up."""
    pipeline, run, findings = scored(Lines(shop_log(200, (41, 90))), session_by=r"order-\d+")
    label = run.scores["key"].is_in(["order-1041", "order-1090"])
    run = dataclasses.replace(run, scores=run.scores.with_columns(label=label))
    page = check_safe(render(run, findings, trained=pipeline.summary))
    assert "average precision" in page.words
    cells = re.search(r"normal(\d+)rightly passed(\d+)false alarms anomalous(\d+)missed(\d+)caught", page.words)
    assert cells is not None
    counts = [int(n) for n in cells.groups()]
    assert sum(counts) == run.scores.height
    assert counts[2] + counts[3] == 2
    one_class = dataclasses.replace(run, scores=run.scores.with_columns(label=pl.lit(False)))
    assert "ROC curve" not in render(one_class, findings, trained=pipeline.summary)


def test_a_budget_of_nothing_has_no_threshold():
    """An infinite threshold draws no line and breaks nothing."""
    pipeline, run, _ = scored(Lines(shop_log()), session_by=r"order-\d+")
    scores = run.scores.with_columns(is_anomaly=pl.lit(False))
    run = dataclasses.replace(run, scores=scores, threshold=math.inf)
    check_safe(render(run, run.find(), trained=pipeline.summary))


def test_a_stray_time_does_not_flatten_the_timeline():
    """One line dated decades off is left off the axis, and the page says so."""
    lines = [*shop_log(), "1999-01-01 00:00:00,000 INFO received order order-7 with 3 items"]
    words = check_safe(page_of(Lines(lines), session_by=r"order-\d+")).words
    assert "1 session lies off this axis" in words


def test_writing_replaces_a_file_and_refuses_a_folder(tmp_path):
    """The file holds the page; a folder is refused with a word on what is wanted."""
    pipeline, run, findings = scored(Lines(shop_log()), session_by=r"order-\d+")
    path = tmp_path / "report.html"
    path.write_text("old")
    write_html(run, findings, path, trained=pipeline.summary, title="Monday")
    assert path.read_text(encoding="utf-8") == render(run, findings, trained=pipeline.summary, title="Monday")
    assert "<title>" in path.read_text(encoding="utf-8")
    with pytest.raises(OptionError, match="is a folder"):
        write_html(run, findings, tmp_path, trained=pipeline.summary)


def test_the_command_writes_it(tmp_path, shop_file):
    """--html writes the page beside the usual output."""
    from typer.testing import CliRunner

    from offbeat.cli import app

    path = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["detect", str(shop_file), "--detector", "presence", "--html", str(path)])
    assert done.exit_code == 0, done.output
    assert "shop.log" in check_safe(path.read_text(encoding="utf-8")).words
