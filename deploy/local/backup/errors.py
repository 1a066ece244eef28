"""What can go wrong with a backup. Each message says what to do."""

from deploy.local.errors import StackError


class BackupError(StackError):
    """No backup was made, or none was restored; the message says why, and what it would take."""


class BrokenBackupError(BackupError):
    """The backup is not what its manifest says: take another one."""
