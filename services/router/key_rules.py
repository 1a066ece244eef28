"""What may be a channel's key: which variables it may come from, and what it may be made of. Pure."""

from __future__ import annotations

import re

OWN_PREFIXES = (
    # Tollbook's settings, and those of its engines and of their clients.
    # What analytics tells receivers of alerts with: a route table must not send their secrets to a host of its choice.
    *("ALERT_", "ALERTMANAGER_", "PAGERDUTY_", "SLACK_", "SMTP_", "WEBHOOK_"),
    *("TOLLBOOK_", "DATABASE_", "POSTGRES_", "PG", "KAFKA_", "CLICKHOUSE_", "JAVA_"),
    # The object store's credentials; GOOGLE_API_KEY and AZURE_OPENAI_API_KEY are keys of providers.
    *("AWS_", "AZURE_STORAGE_", "AZURE_CLIENT_", "AZURE_FEDERATED_", "AZURE_TENANT_", "GOOGLE_SERVICE_", "GOOGLE_APPLICATION_"),
    # What starts the process: the operating system, the interpreter, the cluster, the supervisor.
    *("LC_", "LD_", "SSH_", "SSL_", "XDG_", "PYTHON", "KUBERNETES_", "SUPERVISOR_"),
)
OWN_NAMES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "HOSTNAME", "SHELL", "SHLVL", "PWD", "OLDPWD", "TMPDIR", "TMP", "TEMP", "TZ"),
        *("LANG", "LANGUAGE", "TERM", "DISPLAY", "EDITOR", "PAGER", "MAIL", "VIRTUAL_ENV"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    }
)
SENDABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
"""What a header carries as it is."""


def variable_fault(name: str) -> str | None:
    """Why no channel may read its key from this variable, None where it may."""
    if name not in OWN_NAMES and not name.startswith(OWN_PREFIXES):
        return None
    return (
        f"{name} is a variable of router's own, of its engines' or of the operating system's, which no host may be sent: "
        "put the key into a variable of its own, such as OPENAI_API_KEY, set it for router, and name that in the table"
    )


def secret_fault(secret: str) -> str | None:
    """Why this cannot be sent as a key, without repeating it; None where it can."""
    if SENDABLE.fullmatch(secret):
        return None
    return (
        "the secret has a space at an end, a line break, a control character or a character beyond ASCII, with which no "
        "request can be sent: give it anew on one line, as its provider shows it"
    )
