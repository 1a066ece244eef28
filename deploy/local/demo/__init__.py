"""The story that `make demo` tells: from nothing to a bill that explains itself."""
