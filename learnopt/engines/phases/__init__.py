"""Tree search in three phases: conductors with their mutual impedances, loads of any kind held at an AC state."""
