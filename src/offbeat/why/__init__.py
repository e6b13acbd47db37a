"""Why a finding is one: explanations of what ``detect -o RUN`` wrote, each checked by scoring again."""

from offbeat.why.explanation import Explanation
from offbeat.why.findings import Findings

__all__ = ["Explanation", "Findings"]
