"""Runs and pages that these tests share, and a reader of HTML that trusts nothing."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from samples import shop_log

from offbeat import Lines, Pipeline
from offbeat.budget import Budget
from offbeat.finding import Finding
from offbeat.html import render
from offbeat.run import Run

#: Text that would become markup, script, an address, a template or an invisible mark, were it not made harmless.
HOSTILE = (
    "<script>pwned=1</script>",
    "</style></svg><img src=x onerror=pwned=1>",
    "\"><svg onload='pwned=1'>",
    "' autofocus onfocus=pwned=1 x='",
    "{{ 7 * 7 }}{% for x in y %}{# note #}",
    "&lt;script&gt; &amp;quot; &#x3c;b&#x3e;",
    "javascript:pwned=1 //evil.example/x.js",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe\u2066x\u2069 \u200f\u061c",
    "]]> --> <!-- <![CDATA[",
    "\x00\x08\x7f\x9b2J",
)


@dataclass
class Page(HTMLParser):
    """What a browser would see: elements, their attributes, and the text."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    left_open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def of(cls, html: str) -> "Page":
        """Read a page; elements that end before they begin are errors."""
        page = cls()
        page.feed(html)
        page.close()
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img", "link", "input"):
            self.left_open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        # A cell and a row may be closed by what follows them.
        while self.left_open[-1] != tag and self.left_open[-1] in ("td", "tr"):
            self.left_open.pop()
        assert self.left_open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def names(self) -> set[str]:
        """Names of the elements."""
        return {tag for tag, _ in self.tags}

    @property
    def words(self) -> str:
        """All text, with single spaces."""
        return " ".join("".join(self.text).split())


def scored(data: Any, budget: str | None = None, **options: Any) -> tuple[Pipeline, Run, list[Finding]]:
    """Return what came of looking at a log with views that learn in a moment; with a budget, so many are flagged."""
    pipeline = Pipeline(detectors=["presence", "count"], **options).fit(data)
    run = pipeline.cross_score()
    if budget:
        run = run.with_budget(Budget.parse(budget))
    return pipeline, run, run.find()


def page_of(data: Any, budget: str | None = None, **options: Any) -> str:
    """Return the page of a log."""
    pipeline, run, findings = scored(data, budget, **options)
    return render(run, findings, trained=pipeline.summary)


def hostile_log() -> Lines:
    """Return a log in which every name, source and message is hostile; one odd session has all, and others one each."""
    lines = []
    for i, line in enumerate(shop_log()):
        bad = HOSTILE[i % len(HOSTILE)].replace("\n", " ")
        lines.append(f"{line} {bad}")
    odd = [(f"2026-03-01 08:2{i % 10}:00,000 ERROR {bad}", 2_000 + i) for i, bad in enumerate(HOSTILE)]
    return Lines([*lines, *(f"{line} order-{n}" for line, own in odd for n in (1041, own))])
