"""explain: why a finding of a run is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offbeat.cli.options import Html, Json, Mask, mask_key, out, out_json, say
from offbeat.errors import OptionError
from offbeat.explain.words import change_words, rate, shortened

if TYPE_CHECKING:
    from offbeat.why import Explanation

app = typer.Typer()

#: Steps of the nearest normal sequence shown around each difference, and edits shown.
_AROUND = 1
_EDITS = 20
_SIGNS = {"add": "+", "remove": "-", "keep": " ", "move": "~"}


@app.command()
def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="What detect -o wrote.")],
    name: Annotated[str | None, typer.Argument(metavar="ID", help="A finding's id, or its beginning.")] = None,
    json: Json = False,
    as_rule: Annotated[
        bool, typer.Option("--as-rule", help="Propose a Sigma rule that catches it, tried on the run's own log.")
    ] = False,
    tree: Annotated[
        bool, typer.Option("--surrogate", help="A decision tree that stands in for all views, with its fidelity.")
    ] = False,
    output: Annotated[str | None, typer.Option("-o", "--output", help="With --as-rule: write the rule there.")] = None,
    log: Annotated[
        list[str] | None,
        typer.Option("--log", help="The run's log, for --as-rule and --surrogate, if it lies elsewhere now."),
    ] = None,
    mask: Mask = False,
    html: Html = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Explain so many findings in --html.")] = 20,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="How to divide the LSTM's score: integrated gradients, the same by captum to check, or occlusion.",
        ),
    ] = "gradients",
) -> int:
    """Say why a finding is one: offbeat explain RUN ID. Without an id, list the findings."""
    from offbeat.inside import METHODS, check_method
    from offbeat.why import Findings

    if not as_rule and (output or (log and not tree)):
        raise OptionError("goes with --as-rule", where="-o" if output else "--log", hint="explain RUN ID --as-rule")
    if tree and (as_rule or name is not None):
        raise OptionError("is about all findings, not one", where="--surrogate", hint="explain RUN --surrogate")
    if (as_rule or tree) and html:
        raise OptionError("give one of them", where=f"{'--as-rule' if as_rule else '--surrogate'}, --html")
    if tree:
        return _surrogate(run, json, log, mask)
    if as_rule and name is None:
        raise OptionError("needs a finding", where="--as-rule", hint="explain RUN ID --as-rule")
    check_method(method)
    if html:
        from offbeat.detection import check_outputs

        check_outputs(html=html)
    by = next(known for known in METHODS if known == method)
    opened = Findings.open(run)
    if as_rule and name is not None:
        return _as_rule(run, opened.finding(name), json, output, log, mask)
    if html:
        from offbeat.html import write_explanations

        names = [opened.finding(name)["id"]] if name else [one["id"] for one in opened.found[:limit]]
        write_explanations(opened, {id_: opened.explain(id_, by) for id_ in names}, html)
    if name is None:
        _list(opened.found, json, quiet=html is not None)
        return 0
    explanation = opened.explain(name, by)
    if json:
        out_json(explanation.as_dict())
        return 0
    from offbeat.printable import printable

    for line in words(explanation, opened.unit):
        out(printable(line, 400))
    return 0


def _list(found: Sequence[dict[str, Any]], json: bool, quiet: bool) -> None:
    """Print the findings of a run, one a line; nothing for people where a page was written."""
    from offbeat.printable import printable

    for one in found:
        if json:
            out_json(one)
        elif not quiet:
            out(printable(f"{one['id']}  {one['severity']:8}  {one['kind']:14}  {one['reason']}", 400))


def _as_rule(
    run: str, finding: dict[str, Any], json: bool, output: str | None, log: list[str] | None, mask: bool
) -> int:
    """Print a proposed rule, or write it, and say what it did on the past."""
    from pathlib import Path

    from offbeat import bundle
    from offbeat.proposal import propose
    from offbeat.proposal.past import Past

    if output and Path(output).is_dir():
        raise OptionError("is a folder; a rule is a file", where=output)
    made = propose(Past.open(run, log, mask_key(mask)), finding)
    if output:
        bundle.replace_file(output, made.rule.encode())
    if json:
        out_json(made.as_dict())
    elif not output:
        for line in made.rule.removesuffix("\n").split("\n"):
            out(line)
    say(f"{made.title}: {made.summary()}")
    return 0


def _surrogate(run: str, json: bool, log: list[str] | None, mask: bool) -> int:
    """Print the tree that comes nearest to the verdicts of a run, and how near."""
    from offbeat.printable import printable
    from offbeat.proposal.past import Past
    from offbeat.proposal.surrogate import surrogate

    past = Past.open(run, log, mask_key(mask))
    made = surrogate(past)
    if json:
        out_json(made.as_dict())
    else:
        for line in made.lines():
            out(printable(line, 400))
    if past.why_not:
        say(f"over the {past.unit}s that the run keeps: the log was not read, for {past.why_not}")
    return 0


def words(one: Explanation, unit: str) -> Iterator[str]:
    """Yield an explanation as lines for people: the sentence first."""
    yield one.finding["reason"]
    yield f"expected: {one.finding['expected']}"
    if one.score is None:
        yield ""
        if one.finding["kind"] == "rule":
            yield "It is what a rule looks for; no model has a part in it."
        else:
            yield f"It is about the log as a whole, not about one {unit}."
        if one.course:
            yield f"course    {one.course['sentence']}"
        return
    yield ""
    yield f"score     {one.score:.2f}, an anomaly from {one.threshold:.2f} nats on"
    made = ", ".join(f"{v['view']} {v['share']:.0%}" for v in one.views if v["share"] >= 0.01)
    yield f"made by   {made}"
    telling = sorted((e for e in one.events if e["adds"] >= 0.05), key=lambda e: -e["adds"])[:5]
    for i, event in enumerate(telling):
        at = f"line {event['line']}" if event["line"] is not None else f"event {event['place'] + 1}"
        yield f"{'adds most' if i == 0 else '':9} {event['adds']:+6.2f}  {at}: {shortened(event['template'])}"
    if one.network:
        yield from _inside(one)
    for event in one.events:
        if "expected" in event:
            yield from _instead(event)
    for i, gone in enumerate(one.missing[:5]):
        share = rate(gone["share"], unit)
        yield f"{'missing' if i == 0 else '':9} {shortened(gone['template'])} (in {share})"
    if one.counterfactual:
        yield from _otherwise(one)
    else:
        yield f"otherwise {one.unturned}"
    if one.nearest:
        held = f"{one.nearest['units']:,.0f} of {one.nearest['of']:,.0f} {unit}s"
        many = one.nearest["edits"]
        yield f"nearest   normal sequence ({held}), {many} difference{'' if many == 1 else 's'}:"
        yield from _difference(one.nearest["steps"])


def _otherwise(one: Explanation) -> Iterator[str]:
    """Yield the changes that make it normal, and their events."""
    found = one.counterfactual or {}
    edits, many = found["edits"], found["changes"]
    more = [f"{len(edits)} events"] if len(edits) > many else []
    more += ["fewer will not do"] if 1 < len(edits) == found["at_least"] else []
    what = f"{many} change{'' if many == 1 else 's'}" + (f" ({'; '.join(more)})" if more else "")
    yield f"otherwise with {what} it would be normal (score {found['score']:.2f}, scored to check):"
    shown = edits[:_EDITS]
    for _, run in groupby(shown, key=lambda e: e["change"]):
        same = list(run)
        whole = [e for e in edits if e["change"] == same[0]["change"]]
        head = change_words(whole, len(one.events))
        if len(whole) == 1:
            yield f"          {_SIGNS[same[0]['how']]} {head}: {shortened(same[0]['template'])}"
            continue
        yield f"          {head}:"
        for edit in same:
            yield f"          {_SIGNS[edit['how']]} {shortened(edit['template'])}"
    if len(edits) > len(shown):
        yield f"          … and {len(edits) - len(shown)} more"


def _inside(one: Explanation) -> Iterator[str]:
    """Yield what the LSTM's own score is made of: the events that add most to it, by the method that was used."""
    network = one.network or {}
    by = network["method"]
    yield f"network   the LSTM's own score is {network['score']:.2f} nats; what adds to it most, by {by}:"
    most = sorted((e for e in one.events if e["attributed"] >= 0.05), key=lambda e: -e["attributed"])[:3]
    for event in most:
        yield f"          {event['attributed']:+6.2f}  event {event['place'] + 1}: {shortened(event['template'])}"


def _instead(event: dict[str, Any]) -> Iterator[str]:
    rank = f"rank {event['rank']}" if event["rank"] else "unknown to the network"
    yield f"event {event['place'] + 1:<4}{shortened(event['template'])}: {rank}, probability {event['probability']:.2g}"
    for choice in event["expected"]:
        text = "the end" if choice.get("end") else shortened(choice["template"])
        yield f"          expected {choice['probability']:.2g}  {text}"


def _difference(steps: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the steps that differ with their neighbours; what is alike between them is counted."""
    changed = [i for i, step in enumerate(steps) if step["how"] != "keep"]
    shown = {j for i in changed for j in range(i - _AROUND, i + _AROUND + 1)}
    left_out = 0
    for i, step in enumerate(steps):
        if i in shown:
            if left_out:
                yield f"            … {left_out} alike"
            left_out = 0
            yield f"          {_SIGNS[step['how']]} {shortened(step['template'])}"
        else:
            left_out += 1
    if left_out:
        yield f"            … {left_out} alike"
