"""Dask clusters: local workers, running clusters, jobs of a batch system; cost prediction."""
