"""From what was learned to what can be read: a Sigma rule that catches a finding, and a tree that stands in for all."""

from offbeat.proposal.propose import Proposal, propose
from offbeat.proposal.surrogate import Surrogate, surrogate

__all__ = ["Proposal", "Surrogate", "propose", "surrogate"]
