"""What a computation would take: measured on a few of its blocks, extrapolated to all."""
