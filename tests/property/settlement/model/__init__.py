"""What the ledger must be after each operation: dictionaries, and LEDGER.md's words as arithmetic."""
