"""Where to build substations and lines, in which stage, at what cost, and what is proven about it."""
