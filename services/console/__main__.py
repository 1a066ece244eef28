"""`python -m services.console`: the `tollbook` command."""

from services.console.cli import main

if __name__ == "__main__":
    main()
