"""Compile the rules that ship: python -m offbeat.rules.pack."""

from __future__ import annotations

from pathlib import Path

from offbeat.rules.pack.build import compiled

if __name__ == "__main__":
    (Path(__file__).parent / "pack.json").write_bytes(compiled())
