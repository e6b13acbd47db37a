"""SCORES -> FINDINGS: calibrate, fuse, draw the line, join what belongs together."""

from offbeat.decide.calibrate import Calibration
from offbeat.decide.decision import Decision, Drift, check_drift, contributions
from offbeat.decide.groups import GROUP, Groups, parse_calibrate
from offbeat.decide.tail import Follow, Pot, Rate, Timed, asked_share, on_units, parse_threshold, timed, verdicts
from offbeat.decide.threshold import Apart, Knee, Quantile, Share, Sigma, Threshold

__all__ = [
    "GROUP",
    "Apart",
    "Calibration",
    "Decision",
    "Drift",
    "Follow",
    "Groups",
    "Knee",
    "Pot",
    "Quantile",
    "Rate",
    "Share",
    "Sigma",
    "Threshold",
    "Timed",
    "asked_share",
    "check_drift",
    "contributions",
    "on_units",
    "parse_calibrate",
    "parse_threshold",
    "timed",
    "verdicts",
]
