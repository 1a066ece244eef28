"""`tollbook reconcile`: a provider's invoice or usage export against the ledger."""
