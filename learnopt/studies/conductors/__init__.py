"""Which conductor each line gets together with the switches, and what is proven about it."""
