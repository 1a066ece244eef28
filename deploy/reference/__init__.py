"""The API reference in `docs/api/`: made of the OpenAPI documents that the running services serve."""
