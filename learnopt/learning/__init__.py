"""Learning which switches are closed, as a distribution over spanning trees. Knows no solver and no tracker."""
