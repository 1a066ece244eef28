"""`tollbook receipt …`: get a receipt that proves itself, and check one without asking anybody."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from schemas.notes import KeyFormatError, PublicKey, parse_keys
from schemas.signed_receipts import MAX_BYTES
from services.console.errors import FOUND_WRONG, BadFileError
from services.console.receipt_check import Verdict, check_receipt
from services.console.session import Json, Session, session_of

app = typer.Typer(help="Receipts that prove themselves.", no_args_is_help=True)
NOT_YET = 3
SAID = {
    "valid": "VALID: signed, sealed, and the money is what the ledger posted.",
    "signature_only": "VALID SIGNATURE: the request was refused and no money moved, so there is no entry that could be proven.",
    "pending": "NOT SEALED YET: the signature is valid, the proof is still to come. Get the receipt again in some seconds.",
    "invalid": "NOT VALID: do not believe this receipt.",
}
MAX_KEY_BYTES = 1 << 20


@app.command()
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The receipt, exactly as it was received.", metavar="FILE")],
    key: Annotated[
        list[str],
        typer.Option(
            help="A public key: a file, 64 hexadecimal digits, PEM, or the JSON of /v1/signing-keys. May be repeated."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Check a signed receipt from the file and the public key alone: no network, no database, no settings."""
    session = session_of(context)
    verdict = check_receipt(_read(file, MAX_BYTES + 1), _keys(key))
    if as_json:
        session.terminal.json({"outcome": verdict.outcome, "facts": dict(verdict.facts), "problems": verdict.problems})
    else:
        _tell(session, file, verdict)
    if verdict.outcome == "invalid":
        raise typer.Exit(FOUND_WRONG)
    if verdict.outcome == "pending":
        raise typer.Exit(NOT_YET)


@app.command()
def get(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(help="The reply's x-request-id.", metavar="REQUEST_ID")],
    *,
    signed: Annotated[bool, typer.Option("--signed", help="The file that proves itself, byte by byte.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write it to a file instead of to the terminal.")] = None,
    api_key: Annotated[str | None, typer.Option(envvar="TOLLBOOK_API_KEY", help="By default the demo's of the stack.")] = None,
) -> None:
    """Get a receipt: as text for people, or signed."""
    session = session_of(context)
    query = {"signed": "true"} if signed else {"format": "text"}
    with session.connect_customer(api_key) as edge:
        receipt = edge.read(f"/v1/requests/{quote(request_id, safe='')}", **query)
    if output is None:
        typer.echo(receipt, nl=False)
        return
    try:
        output.write_bytes(receipt)
    except OSError as error:
        raise BadFileError(f"{output} cannot be written: {error.strerror}") from error


def _tell(session: Session, file: Path, verdict: Verdict) -> None:
    session.terminal.say(f"{file}: {SAID[verdict.outcome]}")
    for name, value in verdict.facts:
        session.terminal.say(f"  {name:<12} {value}")
    for problem in verdict.problems:
        session.terminal.say(f"  does not match: {problem}")


def _keys(given: list[str]) -> dict[str, PublicKey]:
    found: dict[str, PublicKey] = {}
    for each in given:
        try:
            found |= parse_keys(_key_text(each))
        except KeyFormatError as error:
            raise BadFileError(f"--key {each[:80]}: {error}") from error
    return found


def _key_text(given: str) -> str:
    """The key itself, or the text of the file that it names."""
    if "\n" in given or len(given) > 1024 or not Path(given).is_file():
        return given
    try:
        return _read(Path(given), MAX_KEY_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFileError(f"{given} is no text: give PEM, hexadecimal digits or JSON") from error


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise BadFileError(f"{path} cannot be read: {error.strerror}") from error
