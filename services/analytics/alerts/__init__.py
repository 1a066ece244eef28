"""Alerts: one state machine for what the meter and the scheduled rules see, its store, its calls and its actions."""
