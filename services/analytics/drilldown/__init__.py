"""From a figure of the dashboard to the requests behind it, and from a request to its receipt."""
