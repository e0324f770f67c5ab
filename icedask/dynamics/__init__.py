"""Series in time: smoothing, transitions between states."""
