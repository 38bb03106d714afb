"""Honest fakes for the tests of edgeseq and of those who build on it."""

from edgeseq.testing.clock import ManualClock
from edgeseq.testing.disk import FaultyDisk, PowerCut

__all__ = ["FaultyDisk", "ManualClock", "PowerCut"]
