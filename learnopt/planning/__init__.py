"""Planning: what to build, on the network model, formulations and judge of operation, and what is proven about it."""
