"""Dask graphs in waves, reductions over blocks, progress."""
