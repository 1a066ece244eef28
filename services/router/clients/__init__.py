"""The APIs that clients speak: each reads a request into an `Ask` and writes the reply in its own shape."""
