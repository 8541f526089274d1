"""Reports of swapped phases."""
