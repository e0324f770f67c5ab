"""The data model: variables, options, trajectories, features, labels and records of results."""
