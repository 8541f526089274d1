"""Learned, exact, certified reconfiguration of distribution feeders."""

__version__ = "0.1.0"
