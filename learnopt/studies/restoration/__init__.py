"""Restoration: what can be supplied after a fault, by which operations, and what is proven of it."""
