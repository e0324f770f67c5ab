"""The Zarr store: trajectories, runs, locks, block-wise writes."""
