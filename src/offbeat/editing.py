"""Templates edited by a person: merged, split, renamed, or given beforehand. Edits are kept over updates."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from offbeat.errors import InputError, ModelError, OptionError
from offbeat.finding import iso
from offbeat.lives import one_each
from offbeat.memory import LINEAGE
from offbeat.mine import Catalog
from offbeat.updating import names_of, update

if TYPE_CHECKING:
    from offbeat.pipeline import Pipeline

_KINDS: Final = ("merge", "split", "rename", "seed")


@dataclass(frozen=True)
class Edit:
    """One edit: ``merge`` and ``split`` have ids, ``rename`` an id and a text, ``seed`` a text; ``where`` it stands."""

    kind: str
    ids: tuple[str, ...]
    text: str
    where: str


def read_edits(lines: Iterable[str], name: str) -> list[Edit]:
    """Read edits, one a line; blank lines and those that begin with ``#`` say nothing.

    Raises:
        InputError: a line is no edit; says which.
    """
    out = []
    for number, line in enumerate(lines, 1):
        kind, _, rest = line.strip().partition(" ")
        where, words = f"{name}:{number}", rest.split()
        if not kind or kind.startswith("#"):
            continue
        if kind not in _KINDS:
            raise InputError(f"{kind!r} is no edit", where=where, hint="one of: " + ", ".join(_KINDS))
        least = {"merge": 2, "split": 1, "rename": 2, "seed": 1}[kind]
        if len(words) < least:
            shape = {"merge": "merge ID ID", "split": "split ID", "rename": "rename ID TEXT", "seed": "seed TEXT"}[kind]
            raise InputError("is cut short", where=where, hint=f"as in: {shape}")
        ids = tuple(words) if kind in ("merge", "split") else (words[0],) if kind == "rename" else ()
        text = (
            rest.strip().removeprefix(words[0]).strip() if kind == "rename" else rest.strip() if kind == "seed" else ""
        )
        out.append(Edit(kind, ids, text, where))
    return out


def edit(pipeline: Pipeline, edits: Sequence[Edit]) -> None:
    """Edit the templates of a model; it is as it was where this raises.

    Merged templates are one line from now on, and the views are learned again from the rehearsal, so that what was
    learned of each holds for all. Templates that are split are apart from now on; what was learned of them together
    is told apart as it ages.

    Raises:
        InputError: an id names no template, or a seed would match every line.
        ModelError: the model keeps nothing to go on from, or was learned from ids.
    """
    if pipeline.memory is None or not isinstance(pipeline.catalog, Catalog):
        raise ModelError("has no templates that can be edited", where="templates", hint="learn it from a log: fit")
    made = copy.copy(pipeline)
    made.memory = memory = copy.copy(pipeline.memory)
    made.catalog = catalog = pipeline.catalog.copy(pipeline.catalog.limits)
    for one in edits:
        for name in one.ids:
            if catalog.code(name) is None:
                raise InputError(f"there is no template {name!r}", where=one.where, hint="offbeat templates MODEL")
        if one.kind == "merge":
            first, *others = one.ids
            rows = [(other, first, None, None) for other in others if other != first]
            rest = memory.lineage.filter(~pl.col("new").is_in(others))
            memory.lineage = pl.concat([rest, pl.DataFrame(rows, schema=LINEAGE, orient="row")])
        elif one.kind == "split":
            if not memory.lineage["new"].is_in(list(one.ids)).any():
                raise InputError(f"{one.ids[0]!r} is one by itself", where=one.where, hint="offbeat templates MODEL")
            memory.lineage = memory.lineage.filter(~pl.col("new").is_in(list(one.ids)))
        else:
            try:
                _name(catalog, one)
            except OptionError as problem:
                raise InputError(problem.what, where=one.where, hint=problem.hint) from None
    if any(one.kind == "merge" for one in edits):
        update(made, None)
        made.memory.history[-1]["what"] = "edit"
    pipeline.__dict__.update(made.__dict__)


def _name(catalog: Catalog, one: Edit) -> None:
    if one.kind == "seed":
        catalog.seed([one.text])
    else:
        code = catalog.code(one.ids[0])
        assert code is not None  # noqa: S101 - edit looked
        catalog.rename(code, one.text)


def listed(pipeline: Pipeline) -> list[dict[str, object]]:
    """Return one row a template of a model, the commonest first.

    ``template_id``, ``template``, ``count`` (lines learned), ``first_seen``, ``last_seen`` (null where it was
    forgotten, or there is no time) and ``same_as`` (the id of the line that it is, in other words).
    """
    catalog = pipeline.catalog
    if not isinstance(catalog, Catalog):
        raise ModelError("was learned from ids, which are no templates", where="templates")
    names = names_of(pipeline)
    lives = one_each(pipeline.memory.lives) if pipeline.memory is not None else pl.DataFrame()
    seen = {row["template"]: row for row in lives.iter_rows(named=True)}
    rows = []
    for code in sorted(range(len(catalog)), key=lambda code: (-catalog.counts[code], code)):
        life = seen.get(code)
        times = (iso(life["first_seen"]), iso(life["last_seen"])) if life else (None, None)
        same = catalog.ids[names[code]] if code in names else None
        rows.append({"template_id": catalog.ids[code], "template": catalog.texts[code], "count": catalog.counts[code],
                     "first_seen": times[0], "last_seen": times[1], "same_as": same})  # fmt: skip
    return rows
