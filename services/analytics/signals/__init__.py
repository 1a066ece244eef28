"""The six signals: what is usual, when a window leaves it, and the file that says how much is too much."""
