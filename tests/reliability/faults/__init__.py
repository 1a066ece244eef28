"""Faults at scale over the whole stack: five thousand requests with faulty upstreams, fuzzed bodies, fuzzed replies."""
