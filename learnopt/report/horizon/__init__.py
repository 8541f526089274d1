"""Table, JSON and page of a plan over time."""
