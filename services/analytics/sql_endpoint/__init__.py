"""The embedded ClickHouse for others to read: a read-only endpoint that speaks ClickHouse's own HTTP interface."""
