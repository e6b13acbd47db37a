"""parse, patterns and sniff."""

from __future__ import annotations

import typer

app = typer.Typer()
