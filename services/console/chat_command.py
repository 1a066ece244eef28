"""`tollbook chat`: try a key."""

import sys
from typing import Annotated

import typer

from services.console.chat_turn import Asking, Message, ask, said
from services.console.errors import ConsoleError
from services.console.service_client import ServiceClient
from services.console.session import Json, Session, session_of


def chat(
    context: typer.Context,
    message: Annotated[
        str | None, typer.Argument(help="The question; without one it is read from a pipe, or a conversation begins.")
    ] = None,
    *,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="By default the first chat model that the key may use.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="ID", help="Within this run's budget.")] = None,
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="Instructions for the model.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="The answer's bound.")] = None,
    api_key: Annotated[str | None, typer.Option(envvar="TOLLBOOK_API_KEY", help="By default the demo's of the stack.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a model, and see the answer, the route that it took and what it cost.

    The answer goes to stdout and the facts to stderr; `--json` prints one document. An empty line ends a conversation.
    """
    session = session_of(context)
    if message is None and not sys.stdin.isatty():
        message = sys.stdin.read().strip()
        if not message:
            raise typer.BadParameter("there is no question: give one, or write it into the pipe", param_hint="MESSAGE")
    if message is None and as_json:
        raise typer.BadParameter("a conversation is for people: with --json give a question", param_hint="MESSAGE")
    opening: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    with session.connect_customer(api_key) as edge:
        asking = Asking(model=model or _first_model(session, edge), run=run, max_tokens=max_tokens)
        if message is None:
            _conversation(session, edge, asking, opening)
        elif as_json:
            turn = ask(edge, asking, [*opening, _user(message)], lambda _: None)
            session.terminal.json({"reply": turn.text, **turn.facts})
        else:
            _one(session, edge, asking, [*opening, _user(message)])


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _first_model(session: Session, edge: ServiceClient) -> str:
    models = [each["id"] for each in edge.get("/v1/models")["data"] if each.get("mode", "chat") == "chat"]
    if not models:
        raise ConsoleError("this key may use no chat model: see `tollbook routes export` and the key's policy")
    session.terminal.progress(f"Asking {models[0]}, the first of {len(models)} models that this key may use; -m names another.")
    return str(models[0])


def _one(session: Session, edge: ServiceClient, asking: Asking, messages: list[Message]) -> Message:
    """One answer, told as it comes; the message that a conversation goes on with."""
    turn = ask(edge, asking, messages, session.terminal.write)
    session.terminal.write("\n")
    session.terminal.progress(said(turn.facts))
    return {"role": "assistant", "content": turn.text}


def _conversation(session: Session, edge: ServiceClient, asking: Asking, messages: list[Message]) -> None:
    """Question after question. One that is refused is said and forgotten, and the next may be asked."""
    while text := _typed():
        asked = [*messages, _user(text)]
        try:
            messages = [*asked, _one(session, edge, asking, asked)]
        except ConsoleError as error:
            session.terminal.error(str(error))


def _typed() -> str:
    """What a person types; nothing at the end of the input."""
    try:
        text: str = typer.prompt(">", prompt_suffix=" ", default="", show_default=False, err=True)
    except typer.Abort:
        return ""
    return text.strip()
