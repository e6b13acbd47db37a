"""The report as one self-contained page: no network, no script, and nothing a log says becomes markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from offbeat import bundle
from offbeat.detection import check_outputs
from offbeat.html import page
from offbeat.html.explained import explanations
from offbeat.printable import visible

if TYPE_CHECKING:
    import jinja2

    from offbeat.bench.report import Report
    from offbeat.finding import Finding
    from offbeat.run import Run
    from offbeat.why import Explanation, Findings

__all__ = ["EXPLAINED", "render", "render_bench", "render_explanations", "write_explanations", "write_html"]

#: Incidents of a page that are explained, unless said otherwise.
EXPLAINED: Final = 20
_SHEETS: Final = ("report.css", "why.css")


def render(
    run: Run,
    findings: Sequence[Finding],
    *,
    trained: Mapping[str, Any],
    title: str | None = None,
    explained: Mapping[str, Explanation] | None = None,
) -> str:
    """Return the report as HTML; the same run gives the same text.

    Args:
        run: what ``Pipeline.score`` or ``Pipeline.cross_score`` gave.
        findings: what ``run.find()`` gave, in its order.
        trained: ``Pipeline.summary``.
        title: of the page; the names of the files unless given.
        explained: explanations by id of the finding, as ``Findings.explain`` gives them; none unless given.
    """
    return _page("report.html.j2", page.context(run, findings, trained, title, explained), _SHEETS)


def render_explanations(opened: Findings, explained: Mapping[str, Explanation], *, title: str | None = None) -> str:
    """Return the page of a run that was written, with explanations of some of its findings; the others are left out.

    Args:
        opened: the run.
        explained: explanations by id of the finding.
        title: of the page; the names of the files unless given.
    """
    return _page("explain.html.j2", explanations(opened, explained, title), _SHEETS)


def write_explanations(opened: Findings, explained: Mapping[str, Explanation], path: str | Path) -> None:
    """Write the page of a run's explanations to a file, in one step; raises OptionError where it cannot be written."""
    check_outputs(html=path)
    bundle.replace_file(path, render_explanations(opened, explained).encode())


def render_bench(report: Report) -> str:
    """Return a benchmark's report as HTML; the same report gives the same text."""
    from offbeat.html import bench_page

    return _page("bench.html.j2", bench_page.context(report), ("report.css", "bench.css"))


def _page(template: str, values: Mapping[str, Any], sheets: tuple[str, ...]) -> str:
    """Return a page that holds its style sheets and may load or run nothing else."""
    css = "".join(_css(sheet) for sheet in sheets)
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return _environment().get_template(template).render(values, css=css, policy=policy)


def write_html(
    run: Run,
    findings: Sequence[Finding],
    path: str | Path,
    *,
    trained: Mapping[str, Any],
    title: str | None = None,
    explained: Mapping[str, Explanation] | None = None,
) -> None:
    """Write the report to a file, in one step. Arguments as for ``render``.

    Raises:
        OptionError: the path is a folder, or cannot be written.
    """
    check_outputs(html=path)
    text = render(run, findings, trained=trained, title=title, explained=explained)
    bundle.replace_file(path, text.encode())


@cache
def _css(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    import jinja2
    from markupsafe import Markup

    def shown(value: object) -> object:
        # Escaping is autoescape's; this makes controls and bidirectional marks visible, wherever text comes from.
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cut": page.cut, "pattern": page.pattern, "share": page.share}
    return environment
