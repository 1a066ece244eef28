"""`tollbook init`: from an empty installation to a first answer."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import typer

from services.console.chat_turn import Asking, ask, said
from services.console.errors import FOUND_WRONG, ConsoleError
from services.console.session import Json, Session, Yes, session_of
from services.console.setup import steps
from services.console.setup.answers import NO_PROVIDER, NOTHING, Answers, How, Questions, keys_of
from services.console.setup.catalog import Ready, providers, ready
from services.console.setup.steps import Step
from services.console.stack_file import CHECKOUT

CATALOG = CHECKOUT / "deploy" / "catalog" / "ready"
LOCAL_HOSTS = ("http://127.0.0.1", "http://localhost")
CHECK_TOKENS = 16
SHOWN_ONCE = {"access_token": "This is the owner's access token, for `tollbook login`.", "api_key": "This is the key."}
Table = Literal["merge", "replace", "keep"]
BaseUrl = Annotated[str | None, typer.Option(metavar="URL", help="Where the provider is, if not where the file says.")]
KeyVariable = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The variable with the provider's key. Where it is set here, its value goes to router, which keeps it sealed; "
        "else router reads it from its own environment.",
    ),
]
Seal = Annotated[
    bool | None, typer.Option("--seal/--no-seal", help="Hand the key to router, or let router read the variable itself.")
]
TopUps = Annotated[
    list[str] | None, typer.Option(metavar="BUCKET=AMOUNT", help="A first payment, such as credit=20; may be repeated.")
]
Budgets = Annotated[
    list[str] | None,
    typer.Option(metavar="BUCKET=AMOUNT/WINDOW", help="A limit, such as credit=50/month; may be repeated."),
]
Routes = Annotated[Table | None, typer.Option(help="Beside the routes that are in force, in their place, or neither.")]


def init(
    context: typer.Context,
    *,
    provider: Annotated[str | None, typer.Option(help=f"{', '.join(providers(CATALOG))}, or {NO_PROVIDER}.")] = None,
    base_url: BaseUrl = None,
    api_key_env: KeyVariable = None,
    seal: Seal = None,
    channel: Annotated[str | None, typer.Option(metavar="NAME", help="The channel's name, by default the provider's.")] = None,
    account_name: Annotated[str | None, typer.Option(help="The account.")] = None,
    project_name: Annotated[str | None, typer.Option(help="Its project.")] = None,
    key_name: Annotated[str | None, typer.Option(help="The project's key.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="NAME", help="A user who owns the account; - for none.")] = None,
    topup: TopUps = None,
    budget: Budgets = None,
    routes: Routes = None,
    prices: Annotated[Table, typer.Option(help="The same for prices.")] = "merge",
    check: Annotated[bool | None, typer.Option("--check/--no-check", help="Try the new key with one cheap request.")] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Set up a first account, project, key, money, prices and routes: by questions, or by flags with `--yes`.

    Run again, it finds what is there and adds what is missing. It never changes a route, a price or a limit that is there.
    """
    session = session_of(context)
    questions = Questions(yes=yes, present=sys.stdin.isatty())
    chosen = questions.choice(provider, "Which provider answers", [*providers(CATALOG), NO_PROVIDER], "openai")
    own = None if chosen == NO_PROVIDER else ready(CATALOG, chosen)
    current = None if own is None else steps.current_routes(session)
    variable, secret = _key(session, questions, own, api_key_env, seal)
    bucket = "credit" if own is None else own.bucket
    answers = Answers(
        provider=None if own is None else chosen,
        base_url=_base_url(questions, own, base_url),
        key_variable=variable,
        secret=secret,
        channel=channel,
        account=questions.text(account_name, "Name of the account", "main"),
        project=questions.text(project_name, "Name of its project", "main"),
        key=questions.text(key_name, "Name of its key", "first"),
        owner=_named(questions.text(owner, "Name of a user who owns the account (- for none)", NOTHING)),
        topups=questions.amounts(topup, "First payment (- for none)", f"{bucket}=20", "--topup", windows=False),
        budgets=questions.amounts(budget, "Limit (- for none)", f"{bucket}=50/month", "--budget", windows=True),
        routes=_how(session, questions, routes, current),
        prices=prices,
        check=_yes_no(questions, check, own),
    )
    _run(session, answers, own, current, as_json=as_json)


def _key(
    session: Session, questions: Questions, own: Ready | None, given: str | None, seal: bool | None
) -> tuple[str | None, str | None]:
    """The variable that router reads, or the secret that it is given."""
    if own is None or (given is None and own.key_variable is None):
        return None, None
    variable = questions.text(given, "Variable with the provider's key", own.key_variable or "")
    value = session.variables.get(variable)
    if seal and not value:
        raise typer.BadParameter(f"{variable} is not set here: set it, or let router read it (--no-seal)", param_hint="--seal")
    if not value or seal is False:
        return variable, None
    if seal is None:
        question = f"{variable} is set here. Hand it to router, which keeps it sealed (yes), or does router have it itself (no)"
        if questions.choice(None, question, ["yes", "no"], "yes") == "no":
            return variable, None
    return None, value.strip()


def _base_url(questions: Questions, own: Ready | None, given: str | None) -> str | None:
    """Asked for a provider on a machine of one's own alone: the others are where their files say."""
    if given is not None or own is None or not own.channel["base_url"].startswith(LOCAL_HOSTS):
        return given
    return questions.text(None, "Where it is", own.channel["base_url"])


def _how(session: Session, questions: Questions, given: How | None, current: dict[str, Any] | None) -> How | None:
    """What becomes of a table that is there. Nothing is asked where there is none."""
    if given is not None or current is None or not current["table"]["channels"]:
        return given
    names = ", ".join(channel["id"] for channel in current["table"]["channels"][:6])
    typer.echo(f"Routes are in force already (version {current['version']}: {names}).", err=True)
    simulator = session.names().get("TOLLBOOK_PROVIDER_URL")
    if simulator and any(channel["base_url"].startswith(simulator) for channel in current["table"]["channels"]):
        typer.echo(
            "Some are the demo's simulator. Where you merge, it goes on answering its models, first and at its prices.",
            err=True,
        )
    question = "Put the new ones beside them, in their place, or keep them as they are"
    found = questions.choice(None, question, ["merge", "replace", "keep"], "merge")
    return "replace" if found == "replace" else "keep" if found == "keep" else "merge"


def _named(text: str) -> str | None:
    return None if text in (NOTHING, "") else text


def _yes_no(questions: Questions, given: bool | None, own: Ready | None) -> bool:
    if given is not None or own is None:
        return bool(given)
    return questions.choice(None, "Try the key with one cheap request", ["yes", "no"], "no") == "yes"


def _run(session: Session, answers: Answers, own: Ready | None, current: dict[str, Any] | None, *, as_json: bool) -> None:
    done: list[Step] = []
    for step in _steps(session, answers, own, current, done):
        done.append(step)
        if not as_json:
            session.terminal.say(f"{step.name + ':':<9} {step.said}")
    shown: dict[str, str] = {
        name: step.facts[name] for step in done for name in ("access_token", "api_key") if name in step.facts
    }
    api_key = shown.get("api_key")
    routes = next((step.facts for step in done if step.name == "routes"), {})
    tried = _tried(session, own, routes, api_key) if answers.check and own is not None else None
    if as_json:
        facts = [{"step": step.name, "new": step.new, "said": step.said, **_public(step)} for step in done]
        session.terminal.json({"steps": facts, "api_key": None, "access_token": None, **shown, "check": tried})
    else:
        _say_end(session, shown, tried, answers, None if own is None else _cheapest(own, routes.get("asked_first", ())))
    if tried is not None and tried["ok"] is False:
        raise typer.Exit(FOUND_WRONG)


def _steps(
    session: Session, answers: Answers, own: Ready | None, current: dict[str, Any] | None, done: list[Step]
) -> Iterator[Step]:
    """Prices come before routes, so that nothing is routed that has no price, and money before the key is told."""
    if own is not None and current is not None:
        if answers.routes != "keep":
            yield steps.prices(session, own, answers)
        yield steps.routes(session, own, answers, current)
    account = steps.account(session, answers)
    yield account
    project = steps.project(session, answers, account.facts["id"])
    yield project
    if answers.owner is not None:
        yield steps.owner(session, answers, account.facts["id"])
    yield from steps.topups(session, answers, account.facts["id"])
    yield from steps.budgets(session, answers, account.facts["id"])
    yield steps.key(session, answers, project.facts["id"])


def _public(step: Step) -> dict[str, Any]:
    return {name: value for name, value in step.facts.items() if name not in SHOWN_ONCE}


def _tried(session: Session, own: Ready, routes: Mapping[str, Any], api_key: str | None) -> dict[str, Any]:
    """One request with the new key, for a model that the new channel is asked for first. It costs what so few tokens cost."""
    if api_key is None:
        return {"ok": None, "said": "not tried: the key was made before, give it to `tollbook chat --api-key`"}
    models = routes.get("asked_first", [])
    if not models:
        channel = routes.get("channel", own.channel["id"])
        return {"ok": None, "said": f"not tried: no model is asked at {channel} first; see `tollbook routes export`"}
    asking = Asking(model=_cheapest(own, models), max_tokens=CHECK_TOKENS)
    try:
        with session.connect_customer(api_key) as edge:
            turn = ask(edge, asking, [{"role": "user", "content": "Say hello."}], lambda _: None)
    except ConsoleError as error:
        return {"ok": False, "said": str(error)}
    ours = turn.facts["channel"] == routes["channel"]
    return {"ok": ours, "said": said(turn.facts) + ("" if ours else f": {routes['channel']} did not answer"), **turn.facts}


def _cheapest(own: Ready, among: Sequence[str] = ()) -> str:
    """The provider's chat model whose output costs least, of these or of all."""
    price = {each["model"]: Decimal(each["output"]) for each in own.book["prices"]}
    chat = [model for model in own.table["models"] if model.get("mode", "chat") == "chat"]
    chosen = [model for model in chat if model["id"] in among] or chat
    return str(min(chosen, key=lambda model: price[model["candidates"][0]["upstream_model"]])["id"])


def _say_end(
    session: Session, shown: Mapping[str, str], tried: dict[str, Any] | None, answers: Answers, model: str | None
) -> None:
    terminal = session.terminal
    if tried is not None:
        terminal.say(f"check:    {tried['said']}", style="red" if tried["ok"] is False else None)
    for name, secret in shown.items():
        terminal.say("")
        terminal.say(secret, style="bold")
        terminal.progress(f"{SHOWN_ONCE[name]} Keep it now: it is not shown again.")
    named = "" if model is None else f" -m {model}"
    terminal.progress(f"Next: tollbook chat 'Say hello.'{named} --api-key KEY")
    if model is not None and keys_of(answers.key_variable, None) and answers.routes != "keep":
        terminal.progress(
            f"Router reads {answers.key_variable} from its own environment: set it there, and start router again."
        )
