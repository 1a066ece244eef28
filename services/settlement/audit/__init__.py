"""The auditor: invariants of a live ledger, and its books built again from the topics."""
