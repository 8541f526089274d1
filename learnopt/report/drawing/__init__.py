"""One-line diagrams, voltage profiles and loadings as pictures."""
