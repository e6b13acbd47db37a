"""SCORES -> FINDINGS: calibrate, fuse, draw the line, join what belongs together."""

from offbeat.decide.calibrate import Calibration
from offbeat.decide.decision import Decision, Drift, check_drift, contributions
from offbeat.decide.threshold import Knee, Quantile, Share, Sigma, Threshold, parse_threshold

__all__ = [
    "Calibration",
    "Decision",
    "Drift",
    "Knee",
    "Quantile",
    "Share",
    "Sigma",
    "Threshold",
    "check_drift",
    "contributions",
    "parse_threshold",
]
