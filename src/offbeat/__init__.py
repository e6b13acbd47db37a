"""offbeat learns the rhythm of a system from its logs and says what is off the beat, where and why."""

__version__ = "0.1.0"
