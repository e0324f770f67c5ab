"""Neural networks: training in one process or on the ranks of a process group."""
