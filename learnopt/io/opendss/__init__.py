"""OpenDSS master files and their load shapes, reduced to positive sequence."""
