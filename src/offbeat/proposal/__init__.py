"""From what was learned to what can be read: a Sigma rule that catches a finding, tried on the past."""

from offbeat.proposal.propose import Proposal, propose

__all__ = ["Proposal", "propose"]
