"""Bounds of the AC loss in loop space: what every radial configuration loses at least."""
