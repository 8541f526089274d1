"""Reports of operation: advice, and the replay of a recorded time."""
