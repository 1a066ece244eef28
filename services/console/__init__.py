"""The `tollbook` command line, over the services' own admin APIs."""
