"""FINDINGS -> why: expected against seen, and one plain sentence."""

from offbeat.explain.words import Facts, sentence, shortened

__all__ = ["Facts", "sentence", "shortened"]
