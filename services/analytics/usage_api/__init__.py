"""Usage and its cost, by whatever one asks for: the reports of `/v1/usage` and `/admin/usage`."""
