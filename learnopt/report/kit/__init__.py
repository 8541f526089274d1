"""Numbers, files and the frame of a page: what every report uses."""
