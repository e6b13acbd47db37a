"""A labelled JSON log of a small shop, with faults you choose."""

from offbeat.simulate.plan import KINDS
from offbeat.simulate.simulator import Incident, Simulation, simulate

__all__ = ["KINDS", "Incident", "Simulation", "simulate"]
