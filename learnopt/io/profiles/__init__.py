"""Load profiles: their record, one table format, its clock, and the entry that finds a profile by name or file."""
