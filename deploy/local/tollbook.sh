#!/bin/sh
# The `tollbook` command, as `make` puts it into .venv/bin: the interpreter beside it runs services.console of the checkout around it.
checkout=$(CDPATH='' cd -- "$(dirname "$0")/../.." && pwd)
[ -d "$checkout/services/console" ] || checkout=$(CDPATH='' cd -- "$(dirname "$(readlink -f "$0")")/../.." && pwd)
module=services.console
# Backups are about the stack of this machine, whose engines only its own tools know.
[ "${1:-}" = backup ] && module=deploy.local
# -P: a folder called `services` where the command is run is not Tollbook's.
PYTHONPATH="$checkout${PYTHONPATH:+:$PYTHONPATH}" exec "$checkout/.venv/bin/python" -P -m "$module" "$@"
