"""Rule files to rules: found, compiled once and kept, and what cannot be used said with its place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from offbeat.errors import InputError
from offbeat.rules.engine import index_of, usable
from offbeat.rules.match import applies
from offbeat.rules.rule import Correlation, Document, Filter, Rule, RuleError, from_dict, keys, to_dict, with_where

#: Changes with what compiling makes of the same text.
VERSION: Final = 2
SUFFIXES: Final = (".yml", ".yaml")
#: Ends the name of a file with examples for the rule beside it.
EXAMPLES: Final = ".test.yml"
PACK: Final = Path(__file__).parent / "pack"


@dataclass(frozen=True)
class RuleSet:
    """Rules that can be used, and why others cannot.

    Attributes:
        documents: rules, correlations and filters, in the order of their files.
        refused: one error a document that cannot be used.
        notes: (place, words) on what is odd but does no harm; see also ``idle``.
        files: how many were read.
    """

    documents: tuple[Document, ...] = ()
    refused: tuple[RuleError, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    files: int = 0

    @property
    def rules(self) -> list[Rule | Correlation]:
        """What may find something."""
        return [d for d in self.documents if not isinstance(d, Filter)]

    @property
    def idle(self) -> list[tuple[str, str]]:
        """(place, words) on each filter that leaves nothing out here: it is for none of the rules, or names others."""
        rules = [d for d in self.documents if isinstance(d, Rule)]
        known = {key for rule in rules for key in keys(rule)}
        out = []
        for one in (d for d in self.documents if isinstance(d, Filter)):
            unknown = [name for name in one.rules or () if name not in known]
            if unknown:
                out.append((one.where, f"names {', '.join(unknown)}, and no rule on single events is called that"))
            elif not any(applies(one, rule) for rule in rules):
                out.append((one.where, "is for none of these rules"))
        return out

    def joined(self, other: RuleSet) -> RuleSet:
        """Return both, where a rule of ``other`` with an id or name already there is left out."""
        mine = {key for d in self.documents for key in (d.id, d.name) if key}
        more = [d for d in other.documents if not {d.id, d.name} & mine]
        documents, refused = _filtering((*self.documents, *more))
        return RuleSet(
            tuple(documents),
            (*self.refused, *other.refused, *refused),
            (*self.notes, *other.notes),
            self.files + other.files,
        )


def load(paths: Sequence[str | Path], placeholders: Mapping[str, Sequence[str]] | None = None) -> RuleSet:
    """Read rule files and folders.

    Args:
        paths: files, or folders to be searched for ``.yml`` and ``.yaml`` files; those with examples are left out.
        placeholders: values for ``%name%`` under the modifier ``expand``.

    Raises:
        InputError: a path is absent or cannot be read, or a folder holds no rule.
    """
    files = list(dict.fromkeys(file for path in paths for file in _files(Path(path))))
    documents: list[Document] = []
    refused: list[RuleError] = []
    for file in files:
        for item in _compiled(file, placeholders or {}):
            if isinstance(item, RuleError):
                refused.append(item)
            else:
                documents.append(item)
    documents += _beside([Path(path) for path in paths], documents, placeholders or {})
    kept, missing = usable(documents)
    kept, vain = _filtering(kept)
    return RuleSet(tuple(kept), (*refused, *missing, *vain), tuple(_notes(kept)), len(files))


def _filtering(documents: Sequence[Document]) -> tuple[list[Document], list[RuleError]]:
    """Leave out filters of correlations, which have no events of their own; return what is left, and why."""
    index = index_of(documents)
    refused = []
    for one in documents:
        for name in (one.rules or ()) if isinstance(one, Filter) else ():
            target = documents[index[name]] if name in index else None
            if isinstance(target, Correlation):
                what = f"{name} is a correlation, and filters are for rules on single events"
                hint = f"name those that it counts: {', '.join(target.rules)}"
                refused.append(RuleError(what, where=one.where, hint=hint, field="filter.rules", title=one.title))
    bad = {error.where for error in refused}
    return [d for d in documents if not (isinstance(d, Filter) and d.where in bad)], refused


def _beside(
    paths: Sequence[Path], documents: Sequence[Document], placeholders: Mapping[str, Sequence[str]]
) -> list[Document]:
    """Return the rules that correlations refer to and that stand in other files beside theirs."""
    index = index_of(documents)
    missing = {ref for d in documents if isinstance(d, Correlation) for ref in d.rules if ref not in index}
    if not missing:
        return []
    known = {d.where for d in documents}
    folders = dict.fromkeys(path.parent for path in paths if path.is_file())
    files = [f for folder in folders for f in sorted(folder.iterdir()) if f.suffix in SUFFIXES]
    items = [i for f in files if not f.name.endswith(EXAMPLES) for i in _compiled(f, placeholders)]
    others = [d for d in items if not isinstance(d, RuleError) and not isinstance(d, Filter) and d.where not in known]
    found: list[Document] = []
    while missing:
        more = [d for d in others if d not in found and any(key in missing for key in keys(d))]
        found += more
        missing = {ref for d in more if isinstance(d, Correlation) for ref in d.rules}
    return found


def load_pack() -> RuleSet:
    """Return the rules that ship with offbeat, which were compiled when it was built; needs no pySigma."""
    import orjson

    values = orjson.loads((PACK / "pack.json").read_bytes())
    return RuleSet(tuple(from_dict(value) for value in values["documents"]), files=values["files"])


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES and not f.name.endswith(EXAMPLES))
        if not found:
            raise InputError("holds no rule", where=str(path), hint="rules are files that end in .yml")
        return found
    if not path.exists():
        raise InputError("there is no such file", where=str(path), hint="name a rule file or a folder of them")
    return [path]


def _compiled(file: Path, placeholders: Mapping[str, Sequence[str]]) -> list[Document | RuleError]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "is not UTF-8"
        raise InputError(f"cannot be read: {why}", where=str(file)) from None
    kept = _Cache(text, placeholders)
    items = kept.read()
    if items is None:
        from offbeat.rules.sigma import compile_text

        items = compile_text(text, "", placeholders)
        kept.write(items)
    return [_placed(item, str(file)) for item in items]


def _placed(item: Document | RuleError, path: str) -> Document | RuleError:
    if isinstance(item, RuleError):
        item.where = f"{path}{item.where}"
        return item
    return with_where(item, f"{path}{item.where}")


@dataclass
class _Cache:
    """What a text compiled to the last time, in the user's cache folder; nothing is lost where there is none."""

    text: str
    placeholders: Mapping[str, Sequence[str]]
    path: Path | None = field(init=False)

    def __post_init__(self) -> None:
        given = {name: list(values) for name, values in sorted(self.placeholders.items())}
        digest = hashlib.blake2s(f"{VERSION}\0{given}\0{self.text}".encode(), digest_size=16).hexdigest()
        root = os.environ.get("XDG_CACHE_HOME")
        try:
            folder = Path(root) if root else Path.home() / ".cache"
        except RuntimeError:  # there is no home
            self.path = None
            return
        self.path = folder / "offbeat" / "rules" / f"{digest}.json"

    def read(self) -> list[Document | RuleError] | None:
        import orjson

        try:
            values = orjson.loads(self.path.read_bytes()) if self.path else None
            return None if values is None else [_from_kept(value) for value in values]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # absent, or written by something else

    def write(self, items: Iterable[Document | RuleError]) -> None:
        import orjson

        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            new.write_bytes(orjson.dumps([_to_kept(item) for item in items]))
            new.replace(self.path)
        except OSError:
            return  # a full or read-only disk costs time, not the rules


def _to_kept(item: Document | RuleError) -> dict[str, Any]:
    if not isinstance(item, RuleError):
        return to_dict(item)
    values = {"what": item.what, "where": item.where, "hint": item.hint, "field": item.field, "title": item.title}
    return {"type": "refused", **values}


def _from_kept(value: dict[str, Any]) -> Document | RuleError:
    if value["type"] != "refused":
        return from_dict(value)
    del value["type"]
    return RuleError(value.pop("what"), **value)


def _notes(documents: Sequence[Document]) -> list[tuple[str, str]]:
    """Return what is odd: what compiling noted, and ids that are there twice."""
    out = [(d.where, note) for d in documents for note in d.notes]
    seen: dict[str, Document] = {}
    for document in documents:
        for key in (document.id, document.name):
            if key and key in seen:
                out.append((document.where, f"{key} is also that of {seen[key].where}"))
            elif key:
                seen[key] = document
    return out
