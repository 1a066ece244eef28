"""How Tollbook runs: the one-machine stack (`deploy.local`), containers and Kubernetes."""
