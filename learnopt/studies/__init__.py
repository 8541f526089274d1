"""Questions people ask of a feeder, one folder each; none of them imports torch or a report."""
