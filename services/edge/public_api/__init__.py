"""What clients may call, as an OpenAPI document: read by people and generators, and held to the running edge by tests."""
