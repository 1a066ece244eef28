"""Fewer collections: what a process begins with stays, and batches of events die young without being looked through."""

import gc

YOUNG_OBJECTS = 50_000
"""Collect after so many new containers instead of 700: a batch of 200 events, most of whose cost that was, makes 20,000."""
BACKLOG_OBJECTS = 500_000
"""The worker's: what it has fetched, and has read ahead, under a backlog are 200,000 containers, none of them a cycle."""


def calm(young_objects: int = YOUNG_OBJECTS) -> None:
    """Called once, when everything is wired."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(young_objects, 20, 20)
