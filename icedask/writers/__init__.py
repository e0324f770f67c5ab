"""Files of trajectories with their results as columns: extended XYZ, LAMMPS dumps, tables."""
