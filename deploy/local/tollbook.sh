#!/bin/sh
# The `tollbook` command, as `make` puts it into .venv/bin: the interpreter beside it runs services.console of the checkout around it.
checkout=$(CDPATH='' cd -- "$(dirname "$0")/../.." && pwd)
[ -d "$checkout/services/console" ] || checkout=$(CDPATH='' cd -- "$(dirname "$(readlink -f "$0")")/../.." && pwd)
# -P: a folder called `services` where the command is run is not Tollbook's.
PYTHONPATH="$checkout${PYTHONPATH:+:$PYTHONPATH}" exec "$checkout/.venv/bin/python" -P -m services.console "$@"
