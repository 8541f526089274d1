"""Table, JSON and page of a savings study."""
