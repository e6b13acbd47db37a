"""What the rules that ship compile to, so that running them needs no pySigma."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def compiled() -> bytes:
    """Return the content of ``pack.json``.

    Raises:
        RuleError: a rule cannot be used.
    """
    import orjson

    from offbeat.rules.engine import index_of, ordered
    from offbeat.rules.load import EXAMPLES
    from offbeat.rules.rule import Document, RuleError, to_dict
    from offbeat.rules.sigma import compile_text

    documents: list[Document] = []
    files = sorted(path for path in FOLDER.glob("*.yml") if not path.name.endswith(EXAMPLES))
    for path in files:
        for item in compile_text(path.read_text(encoding="utf-8"), f"offbeat/{path.name}"):
            if isinstance(item, RuleError):
                raise item
            documents.append(item)
    ordered(documents, index_of(documents))
    values = {"files": len(files), "documents": [to_dict(document) for document in documents]}
    return orjson.dumps(values, option=orjson.OPT_INDENT_2) + b"\n"
