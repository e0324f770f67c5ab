"""Where the work runs: this machine, a cluster that is up, or jobs of a batch system."""
