"""Compiled kernels over NumPy arrays: neighbour lists, Voronoi cells, vector registers."""
