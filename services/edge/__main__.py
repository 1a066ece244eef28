"""`python -m services.edge` runs the edge."""

from services.edge.app import main

main()
