"""`python -m services.settlement`: the HTTP API."""

from services.settlement.app import run
from services.settlement.settings import Settings

if __name__ == "__main__":
    run(Settings())
