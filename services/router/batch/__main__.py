"""`python -m services.router.batch`."""

from services.router.batch.app import main

if __name__ == "__main__":
    main()
