"""Settlement: price books, holds, budgets, wallets, the ledger and the receipts. Postgres is its only authority on money."""
