"""The loops as directed arcs: dual bounds over arborescences and chains, best-first search, kicks at held currents."""
