"""The ledger in memory: settlement's own pure decisions over tables that are lists and dictionaries."""
