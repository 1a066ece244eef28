"""What can go wrong while the stack is set up or run. Each message says what to do."""


class StackError(Exception):
    """The stack cannot go on; the message is for the person who ran the command."""


class MissingPrerequisiteError(StackError):
    """A program that this machine lacks: install what the message names, then run the command again."""


class StepFailedError(StackError):
    """A step of the set-up failed: read its output, which follows the message."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(f"{message}\n{output.strip()}" if output.strip() else message)


class NotReadyError(StackError):
    """A process did not become ready in time: read the tail of its log, which follows the message."""
