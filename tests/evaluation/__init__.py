"""How often the alert rules are right and wrong, measured through the production decision functions with a clock of its own."""
