"""Table, JSON, page and tables of switching orders of one answer."""
