"""EVENTS to rule hits: Sigma rules, correlations and filters, on columns."""

from offbeat.rules.correlate import Firing
from offbeat.rules.engine import Engine, Hits
from offbeat.rules.load import EXAMPLES, PACK, RuleSet, load, load_pack
from offbeat.rules.rule import Correlation, Document, Filter, LogSource, Rule, RuleError

__all__ = [
    "EXAMPLES",
    "PACK",
    "Correlation",
    "Document",
    "Engine",
    "Filter",
    "Firing",
    "Hits",
    "LogSource",
    "Rule",
    "RuleError",
    "RuleSet",
    "load",
    "load_pack",
]
