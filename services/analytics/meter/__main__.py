"""`python -m services.analytics.meter`: the velocity meter, until a signal comes."""

from mode import Worker

from services.analytics.logs import configure_logging
from services.analytics.meter.app import build
from services.analytics.settings import MeterSettings

if __name__ == "__main__":
    configure_logging()
    Worker(build(MeterSettings()), override_logging=False, redirect_stdouts=False).execute_from_commandline()
