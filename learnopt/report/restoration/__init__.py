"""What restoration found: in words, as JSON, as a table and as a page."""
