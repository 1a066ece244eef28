"""The one-machine stack: real engines and every service, started by one command."""
