"""How an event becomes one row of one ClickHouse table. Pure: bytes in, columns or a poison verdict out."""
