"""The bench: closed-loop load against a running stack, beside the upstream alone and, if asked, beside other gateways.

`python -m tests.bench --help` lists the options; `docs/performance.md` says what the figures mean.
"""
