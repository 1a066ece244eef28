"""A provider simulator: speaks a provider's wire format with scripted token counts, latencies and faults.

`python -m deploy.local.provider --host 127.0.0.1 --port 8100` serves it. A channel is the first segment of the
path (`/{channel}/v1/chat/completions`), so that faults and figures are kept per channel.
"""
