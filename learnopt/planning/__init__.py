"""Planning: which substations and lines to build, at which cost, and what is proven about the plan."""
