"""Delivery of alerts: a queue in Postgres, messages for each kind of receiver, and the loop that sends them."""
