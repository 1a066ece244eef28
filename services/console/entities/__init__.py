"""Commands over what the services keep: accounts, projects, keys, money, runs, requests."""
