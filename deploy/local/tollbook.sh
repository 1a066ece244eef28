#!/bin/sh
# The `tollbook` command, as `make` puts it into .venv/bin: the interpreter beside it runs services.console of the checkout around it.
self=$0
[ -d "$(dirname "$self")/../../services/console" ] || self=$(readlink -f "$self")
checkout=$(CDPATH='' cd -- "$(dirname "$self")/../.." && pwd)
# -P: a folder called `services` where the command is run is not Tollbook's.
PYTHONPATH="$checkout${PYTHONPATH:+:$PYTHONPATH}" exec "$checkout/.venv/bin/python" -P -m services.console "$@"
