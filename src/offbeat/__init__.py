"""offbeat learns the rhythm of a system from its logs and says what is off the beat, where and why.

The names below are loaded when they are first asked for, so that ``import offbeat`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offbeat.budget import Budget
    from offbeat.errors import OffbeatError, UserError
    from offbeat.evaluate.labels import Labels, read_labels
    from offbeat.feedback import Feedback
    from offbeat.finding import Finding, Line
    from offbeat.pipeline import Pipeline
    from offbeat.read import Lines
    from offbeat.run import Run

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "Feedback",
    "Finding",
    "Labels",
    "Line",
    "Lines",
    "OffbeatError",
    "Pipeline",
    "Run",
    "UserError",
    "__version__",
    "read_labels",
]

_HOMES = {
    "Budget": "offbeat.budget",
    "Feedback": "offbeat.feedback",
    "Finding": "offbeat.finding",
    "Labels": "offbeat.evaluate.labels",
    "Line": "offbeat.finding",
    "Lines": "offbeat.read",
    "OffbeatError": "offbeat.errors",
    "Pipeline": "offbeat.pipeline",
    "Run": "offbeat.run",
    "UserError": "offbeat.errors",
    "read_labels": "offbeat.evaluate.labels",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'offbeat' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
