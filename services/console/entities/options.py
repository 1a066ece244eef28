"""Options that many commands take, in one wording."""

from typing import Annotated

import typer

from services.console.completion import ids_of
from services.console.entities.naming import ACCOUNT, KEY, PROJECT

Account = Annotated[
    str | None,
    typer.Option(
        "--account",
        "-a",
        help="The account, by id or name; by default the profile's, or the only one.",
        autocompletion=ids_of(ACCOUNT.path, ACCOUNT.id_field),
        show_default=False,
    ),
]
Project = Annotated[
    str | None,
    typer.Option("--project", "-p", help="By id or name.", autocompletion=ids_of(PROJECT.path, PROJECT.id_field)),
]
KeyOption = Annotated[
    str | None, typer.Option("--key", "-k", help="By id or name.", autocompletion=ids_of(KEY.path, KEY.id_field))
]
Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, over as many pages as it takes.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the record.", show_default=False)]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        help="A name of this very call: repeated under it, it is done once. Without it each call has one of its own, which is"
        " kept until the answer is there, so that the same command after a cut is done once too.",
        show_default=False,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="TOLLBOOK_API_KEY", help="The key that it is done with; by default the profile's, or the demo's."
    ),
]
Bucket = Annotated[str, typer.Option("--bucket", "-b", help="The balance, such as credit or wallet.", show_default=False)]
MaybeBucket = Annotated[str | None, typer.Option("--bucket", "-b", help="Only this balance, such as credit or wallet.")]
Amount = Annotated[str, typer.Argument(help="Such as 25, 12.50 or 25 USD (in quotes).", show_default=False)]
