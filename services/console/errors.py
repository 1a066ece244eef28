"""Everything that ends a command before its work is done, and the exit code that it ends with.

ConsoleError                 3, the message says what to do
├── HintedError              a fact, and a hint that may be the same for several services
│   ├── UnknownAddressError  nobody said where a service is, or with which token
│   └── UnreachableError     the service does not answer
├── BadTokenError            a token or key with characters that none has
├── UnknownProfileError      no profile has this name
├── RefusedError             the service answered with an error: its own message
├── NotOneError              a name that nothing has, or several things
├── NobodyAskedError         what cannot be undone wants a yes, and nobody is there to give it
└── BadFileError             a file that was named cannot be read or means nothing

A command that did its work and found the books wrong ends with 1 (`FOUND_WRONG`); wrong usage ends with 2.
"""

FOUND_WRONG = 1


class ConsoleError(Exception):
    """The command cannot go on; the message is for the person who ran it."""

    exit_code = 3


class HintedError(ConsoleError):
    """A fact about one service, and what to do about it, which may be the same for several."""

    def __init__(self, fact: str, hint: str = "") -> None:
        super().__init__(f"{fact}: {hint}" if hint else fact)
        self.fact = fact
        self.hint = hint


class UnknownAddressError(HintedError):
    """Say where the service is: the message names the flag, the variable and the file."""


class UnreachableError(HintedError):
    """Nothing answers at the service's address: see that it runs."""


class RefusedError(ConsoleError):
    """The service refused: its message says why; `reason` is what one that is not ready gives."""

    def __init__(self, message: str, *, status: int, code: str | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.reason = reason


class BadTokenError(ConsoleError):
    """The token cannot be one: see where it was copied from."""


class UnknownProfileError(ConsoleError):
    """No profile has this name: the message says how to see them and how to make one."""


class NotOneError(ConsoleError):
    """A name that nothing has, or several things: give an id."""


class NobodyAskedError(ConsoleError):
    """What cannot be undone wants a yes, and nobody is there to give it: give --yes."""


class BadFileError(ConsoleError):
    """A file that the caller named cannot be used: the message names the file, and the line where there is one."""
