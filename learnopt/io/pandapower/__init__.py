"""Nets of pandapower, and what comes by way of them: SimBench codes and CGMES profiles."""
