"""Table, page and map of a plan of substations and lines."""
