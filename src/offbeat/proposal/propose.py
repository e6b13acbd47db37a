"""A Sigma rule for a finding: searched, written, and tried before it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from offbeat.errors import OptionError
from offbeat.proposal import overall
from offbeat.proposal.check import Outcome, compiled, tried
from offbeat.proposal.literals import TOLERATED, Found, search
from offbeat.proposal.past import Past
from offbeat.proposal.write import STYLES, Writer, finished

#: Rules tried on the past, at most, and where the search already knows of too many false alarms.
_TRIED: Final = 8
_TRIED_LOUD: Final = 2


@dataclass(frozen=True)
class Proposal:
    """A rule that was tried on the past.

    Attributes:
        finding: the id of the finding that it is made for.
        rule: the rule, YAML of one or several documents.
        title: what it says, in words.
        caught: whether it catches the finding's strangest unit again.
        others: further strange units that it hits.
        strange: how many of these there are.
        false_alarms: normal units that it hits.
        normal: how many of these there are.
        on: ``log`` where the log was read again, else ``units``: the run's own.
        note: what is odd, in words; empty where nothing is.
    """

    finding: str
    rule: str
    title: str
    caught: bool
    others: float
    strange: float
    false_alarms: float
    normal: float
    on: str
    unit: str = "unit"
    note: str = ""

    @property
    def quiet(self) -> bool:
        """Whether it has at most one false alarm among 1,000 normal units."""
        return self.false_alarms <= TOLERATED * self.normal

    def summary(self) -> str:
        """Say in one sentence what it did on the past."""
        where = "the log" if self.on == "log" else f"the {self.unit}s that the run keeps"
        catches = "catches" if self.caught else "does not catch"
        false = f"{self.false_alarms:,.0f} of {self.normal:,.0f} normal {self.unit}s"
        others = f"{self.others:,.0f} of {self.strange:,.0f} other strange ones"
        return f"on {where} it {catches} the finding again, with {false} and {others}{self.note and '; '}{self.note}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "quiet": self.quiet}


def propose(run: str | Path | Past, finding: dict[str, Any], data: Any = None) -> Proposal:
    """Propose a rule that catches a finding.

    Conjunctions of up to three literals are searched over the units of the past; the best are written as Sigma and
    tried by the rules engine, until one catches the finding with at most one false alarm among 1,000 normal units. If
    none does, the one that comes nearest is returned, and says so.

    Args:
        run: what ``detect -o`` wrote, or its past, opened once for several findings.
        finding: one of ``Findings.open(run).found``.
        data: the log, where it is no longer where it was.

    Raises:
        OptionError: the finding is a rule's already, or nothing that a rule could say tells it from the rest.
    """
    past = run if isinstance(run, Past) else Past.open(run, data)
    if finding["kind"] == "drift":
        what = "says that the log has changed; that is to be learned from, and no rule"
        raise OptionError(what, where=finding["id"], hint="offbeat fit on newer logs")
    if finding["id"] not in past.target:
        return overall.propose(past, finding)
    unit = past.target[finding["id"]]
    evidence = past.evidence.row(by_predicate=pl.col("id") == finding["id"], named=True)
    corpus, at = past.corpus(unit)
    best = _unlike(search(corpus, at, evidence["kind"], evidence["template"], timed=past.timed))
    if not best:
        raise OptionError("nothing that a rule can say tells it from the rest", where=finding["id"])
    loud = best[0].false > TOLERATED * float(corpus.weight[corpus.normal].sum())
    drafts = [made for found in best[:_TRIED] for made in _written(past, found)]
    tries: list[Proposal] = []
    for made in drafts[: _TRIED_LOUD if loud else _TRIED]:
        (outcome,) = tried(past, [compiled(finished(made, finding, ""))])
        result = _result(past, finding, made, outcome, unit)
        if result.caught and result.quiet:
            return result
        tries.append(result)
    return min(tries, key=lambda one: (not one.caught, one.false_alarms))


def _unlike(best: Sequence[Found]) -> list[Found]:
    """Return the best conjunctions, of those with the same kinds of literals about the same templates the first."""
    seen: dict[Any, Found] = {}
    for found in best:
        seen.setdefault(frozenset((t.what, t.template) for t in found.terms), found)
    return list(seen.values())


def _written(past: Past, found: Found) -> list[list[dict[str, Any]]]:
    """Return the documents of a conjunction in each style that can say it, the most readable first."""
    out = []
    for style in STYLES:
        writer = Writer(past.texts, past.unit, past.by, past.seconds, past.value, style)
        documents = writer.documents(found.terms)
        if documents is not None and documents not in out:
            out.append(documents)
    return out


def _result(
    past: Past, finding: dict[str, Any], documents: list[dict[str, Any]], outcome: Outcome, unit: int
) -> Proposal:
    weight, strange = past.units["weight"].to_numpy(), past.units["is_anomaly"].to_numpy().copy()
    strange[unit] = True
    others = strange.copy()
    others[unit] = False
    result = Proposal(
        finding=finding["id"],
        rule="",
        title=documents[-1]["title"],
        caught=bool(outcome.units[unit]),
        others=float(weight[others & outcome.units].sum()),
        strange=float(weight[others].sum()),
        false_alarms=float(weight[~strange & outcome.units].sum()),
        normal=float(weight[~strange].sum()),
        on="log" if past.why_not is None else "units",
        unit=past.unit,
        note="" if past.why_not is None else f"the log was not read, for {past.why_not}",
    )
    said = f"Proposed for the finding {finding['id']}: {finding['reason']} Tried: {result.summary()}."
    return Proposal(**{**vars(result), "rule": finished(documents, finding, said)})
