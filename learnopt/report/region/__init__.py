"""What was found for the feeders of a region: a row each, in a file that can be gone on with, and in words."""
