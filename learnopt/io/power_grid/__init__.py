"""Reader of power-grid-model's own JSON datasets."""
