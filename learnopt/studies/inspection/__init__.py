"""What a feeder file holds, and whether it is the network that its own tool computes."""
