"""Operation: what is measured now, what it says of the network, and whether switching pays now."""
