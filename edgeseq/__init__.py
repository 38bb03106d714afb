"""Forecast sensor streams at the edge, one reading at a time, and say when they misbehave."""

__version__ = "0.1.0"
