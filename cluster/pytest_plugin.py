"""pytest plugin for users tests; see LocalCluster."""
