"""FINDINGS -> why: expected against seen, and one plain sentence."""

from offbeat.explain.words import Facts, sentence

__all__ = ["Facts", "sentence"]
