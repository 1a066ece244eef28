"""Any sequence of operations on a ledger: the rules are written once, whatever backend they drive."""
