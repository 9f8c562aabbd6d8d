"""Features to a distribution over symbols, or to a point."""
