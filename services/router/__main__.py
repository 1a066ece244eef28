"""`python -m services.router` runs the router."""

from services.router.app import main

main()
