"""What a network file holds and what looks wrong in it, told."""
