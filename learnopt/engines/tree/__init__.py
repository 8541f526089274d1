"""Exact tree search in loop space: relaxations, the compiled search, proofs for areas, blocks, the whole."""
