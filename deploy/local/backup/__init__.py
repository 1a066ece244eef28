"""Backup of a stack in use, and its restoring elsewhere. `docs/adr/0015` says why what is restored is one instant."""
