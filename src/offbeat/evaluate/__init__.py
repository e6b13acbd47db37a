"""Labels, and how well scores and alarms agree with them."""

from offbeat.evaluate.labels import Labels, UnitLabels, read_labels
from offbeat.evaluate.metrics import Metrics, PrecisionRecall, Roc, deduplicated, measure, pr_curve, roc_curve

__all__ = [
    "Labels",
    "Metrics",
    "PrecisionRecall",
    "Roc",
    "UnitLabels",
    "deduplicated",
    "measure",
    "pr_curve",
    "read_labels",
    "roc_curve",
]
