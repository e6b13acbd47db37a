"""simulate, bench and detectors."""

from __future__ import annotations

import typer

from offbeat.cli.options import Json, out

app = typer.Typer()


@app.command()
def detectors(json: Json = False) -> None:
    """List the detectors by the names used here."""
    import orjson

    from offbeat.detect import DETECTORS
    from offbeat.learn import DEFAULT

    for name, kind in DETECTORS.items():
        row = {"name": name, "default": name in DEFAULT, "labels": kind.supervised, "unit": kind.unit,
               "looks_at": kind.looks_at, "source": kind.source}  # fmt: skip
        if json:
            out(orjson.dumps(row).decode())
        else:
            out("\t".join(str(v) for v in row.values()))
