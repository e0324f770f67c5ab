"""Figures of results; every function returns a matplotlib Figure."""
