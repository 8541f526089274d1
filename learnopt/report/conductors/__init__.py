"""Table, page and map of a plan of conductors."""
