"""TEMPLATED -> SEQUENCES: sessions by a key, or windows by count or time."""

from offbeat.group.grouping import IDLE_SECONDS, Grouping
from offbeat.group.keys import Key, find_key, parse_key
from offbeat.group.sessions import Sessions
from offbeat.group.windows import Windows, parse_window

__all__ = ["IDLE_SECONDS", "Grouping", "Key", "Sessions", "Windows", "find_key", "parse_key", "parse_window"]
