"""Bytes to EVENTS: finds the files, finds the format, splits every line into time, level, source and message."""

from offbeat.read.files import Lines
from offbeat.read.frames import events_from_frame
from offbeat.read.layouts import FORMATS
from offbeat.read.logs import Logs, LogText, open_logs
from offbeat.read.sniff import Sniffed, sniff
from offbeat.read.summary import ReadSummary

__all__ = ["FORMATS", "Lines", "LogText", "Logs", "ReadSummary", "Sniffed", "events_from_frame", "open_logs", "sniff"]
