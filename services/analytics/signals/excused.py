"""Failures that are the caller's own: they say nothing of the channel. Pure."""

EXCUSED = ("invalid_request", "content_filtered", "client_gone", "not_translatable")
