"""What can go wrong in analytics, and what to do about it.

AnalyticsError
├── PoisonRecordError      set the record aside in tollbook.dead.v1 and go on
├── TransientError         start the loader's session again after a pause
│   ├── LeaseLostError     another loader has taken over, or Postgres was away: ask for the lease again
│   ├── CancelledInsideError  a library cancelled a call that nobody asked it to
│   ├── TopicMissingError  wait until the topic exists
│   ├── PostgresAwayError  answer 503, or look again a moment later
│   ├── RewoundError       the consumer went back by itself, as when a topic gets more partitions: go to the positions again
│   └── ReplayShortError   Kafka does not yet return records that were recorded as read: wait for it
├── LogTruncatedError      halt: Kafka no longer has what was not loaded; a person decides
├── SchemaDriftError       halt: an applied migration was edited
├── QueryRefusedError      answer 400: the caller asked for an impossible range
├── RulesRefusedError      answer 422: the file states no rules; every mistake is named with its line
├── RulesMovedError        answer 409: another version is in force than the caller expected
├── NoSuchRulesError       answer 404: the rules have no such version
├── RoleNotAllowedError    answer 403: the caller's roles do not have the permission that the call needs
├── UnknownAccountError    answer 404: there is no such account, or the caller has nothing to do with it
├── UnknownAlertError      answer 404: there is no such alert or silence, or the caller has nothing to do with it
├── AlertStateError        answer 409: the alert is not in a state in which that can be done
├── TooManyOfYoursError     answer 429: the caller, or their account, watches as often as one may
└── IdentityUnavailableError  answer 503: edge does not say whose an access token is
"""

from typing import Any


class AnalyticsError(Exception):
    """Base of every error that analytics raises itself."""


class PoisonRecordError(AnalyticsError):
    """The record can never become a row: set it aside. Neither `reason` nor `detail` ever quote the payload."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class TransientError(AnalyticsError):
    """Something that the loader needs is away: start the session again after a pause; nothing is lost."""


class LeaseLostError(TransientError):
    """This process no longer is the loader: forget the batch under way, ask for the lease, resume from what is recorded."""


class CancelledInsideError(TransientError):
    """A library cancelled the call that it was in, as aiokafka does when Kafka goes away: start the session again."""


class TopicMissingError(TransientError):
    """A topic does not exist yet: create it (the stack does so on start)."""


class PostgresAwayError(TransientError):
    """Postgres does not answer: ask again a moment later."""


class ReplayShortError(TransientError):
    """Kafka returned fewer records than a recorded batch names: ask again until it returns them all."""


class RewoundError(TransientError):
    """The consumer returned records from before the position: start the session again, from what is recorded."""


class LogTruncatedError(AnalyticsError):
    """Kafka no longer holds records that were never loaded. Restore the topic, or move the position by hand."""


class SchemaDriftError(AnalyticsError):
    """A migration that was applied before has another content now. Restore the file and write a new migration."""


class QueryRefusedError(AnalyticsError):
    """The range of the query makes no sense: answer 400 and name the parameter."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class RulesRefusedError(AnalyticsError):
    """The file is no rule file: answer 422 and name every mistake."""

    def __init__(self, message: str, param: str, problems: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.param = param
        self.problems = problems


class RulesMovedError(AnalyticsError):
    """Somebody else applied rules meanwhile: answer 409."""

    def __init__(self, expected: int, version: int) -> None:
        super().__init__(
            f"Version {version} of the alert rules is in force, not {expected}: look at what changed and apply again."
        )


class NoSuchRulesError(AnalyticsError):
    """The rules have no such version: answer 404."""

    def __init__(self, version: int) -> None:
        super().__init__(f"There is no version {version} of the alert rules.")


class RoleNotAllowedError(AnalyticsError):
    """The caller is known, but none of their roles has the permission: answer 403."""


class UnknownAccountError(AnalyticsError):
    """There is no such account, or it is none of the caller's business: answer 404, in the same words."""

    def __init__(self, account_id: str) -> None:
        super().__init__(f"There is no account {account_id!r}.")


class UnknownAlertError(AnalyticsError):
    """There is no such alert, or it is none of the caller's business: answer 404, in the same words."""

    def __init__(self, kind: str, entity_id: str) -> None:
        super().__init__(f"There is no {kind} {entity_id!r}.")
        self.code = f"{kind}_not_found"


class AlertStateError(AnalyticsError):
    """The alert is not in a state in which that can be done: answer 409."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TooManyOfYoursError(AnalyticsError):
    """The caller, or the users of their account, hold as many streams as they may: answer 429."""


class IdentityUnavailableError(AnalyticsError):
    """Edge does not say whose a token is: answer 503, let nobody in."""
