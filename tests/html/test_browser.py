"""What a browser makes of the page: it asks for nothing, runs nothing, and fits."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import hostile_log, page_of, scored

from offbeat.html import render
from offbeat.why import Findings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page of a hostile log lies."""
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_of(hostile_log(), "300/1000", session_by=r"order-\d+"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def addresses(address: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the page lies, and the same with explanations."""
    path: Path = tmp_path_factory.mktemp("page") / "explained.html"
    pipeline, run, findings = scored(hostile_log(), "300/1000", session_by=r"order-\d+")
    opened = Findings.of(run, findings, pipeline)
    why = {one.id: opened.explain(one.id) for one in findings[:20]}
    path.write_text(render(run, findings, trained=pipeline.summary, explained=why), encoding="utf-8")
    return {"report": address, "explained": path.as_uri()}


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("which", ["report", "explained"])
def test_it_loads_nothing_runs_nothing_and_fits(browser, addresses, which, width):
    """One request, no script, no complaint of the policy, and no sideways scrolling with everything open."""
    address = addresses[which]
    page = browser.new_page(viewport={"width": width, "height": 800})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("window.pwned") is None
    assert asked == [address]
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = "e => parseFloat(getComputedStyle(e).fontSize) < 10.9"
    assert page.evaluate(f"[...document.querySelectorAll('text, p, td, code')].filter({small}).length") == 0
    page.close()


def test_dark_and_light_differ_and_both_are_legible(browser, address):
    """Text stands out from the ground at least 4.5 to 1 (WCAG 2.2, 1.4.3) in both, and marks 3 to 1 (1.4.11)."""
    grounds = set()
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(address)
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        grounds.add(ground)
        for name, least in {
            "--ink": 4.5, "--muted": 4.5, "--critical": 4.5, "--high": 4.5, "--medium": 4.5, "--low": 4.5,
            "--label": 4.5, "--flag": 3, "--calm": 4.5, "--line": 3,
        }.items():  # fmt: skip
            color = page.evaluate(
                "name => { const e = document.body.appendChild(document.createElement('i'));"
                " e.style.color = `var(${name})`; const c = getComputedStyle(e).color; e.remove(); return c }",
                name,
            )
            assert _contrast(color, ground) >= least, (scheme, name)
        page.close()
    assert len(grounds) == 2


def _contrast(a: str, b: str) -> float:
    """Contrast of two colours as browsers write them (WCAG 2.2's relative luminance)."""

    def luminance(color: str) -> float:
        parts = [int(float(x)) / 255 for x in color[color.index("(") + 1 : -1].split(",")[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_keyboard_opens_incidents(browser, address):
    """Tab reaches an incident's line, Enter opens and closes it, and a link to it opens it."""
    page = browser.new_page()
    page.goto(address)
    first = page.locator("details.incident").first
    first.locator("summary").focus()
    assert first.evaluate("e => e.open") is True
    page.keyboard.press("Enter")
    assert first.evaluate("e => e.open") is False
    body = first.locator(".body").get_attribute("id")
    page.evaluate("id => { location.hash = id }", body)
    page.wait_for_function("() => document.querySelector('details.incident').open")
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName.toLowerCase()") in ("a", "summary")
    page.close()


def test_on_paper_every_incident_is_open(browser, address):
    """Closed incidents are printed in full."""
    page = browser.new_page()
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
    visible = "() => [...document.querySelectorAll('.incident .body')].filter(e => e.checkVisibility()).length"
    assert page.evaluate(visible) == 0
    page.emulate_media(media="print")
    assert page.evaluate(visible) == page.locator(".incident").count() > 1
    page.close()
