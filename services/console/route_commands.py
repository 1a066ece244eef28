"""`tollbook route explain`: where a request would go, and why, without making it."""

from typing import Annotated, Any

import typer

from services.console.session import Json, Session, session_of
from services.console.terminal import Terminal

app = typer.Typer(help="How requests find their way.", no_args_is_help=True)
KEY_PREFIX = "sk-tb-"
COLUMNS = ("", "channel", "upstream model", "bucket", "in, out per million", "of late", "now", "why")
Model = Annotated[str, typer.Option("--model", "-m", help="The model that is asked for.")]
Key = Annotated[
    str | None,
    typer.Option("--key", "-k", help="An API key, or its id; without it no policy and no money counts."),
]


@app.command()
def explain(
    context: typer.Context,
    *,
    model: Model,
    key: Key = None,
    run: Annotated[str | None, typer.Option("--run", help="As a request of this run.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="As a stream: latency is that of the first chunk.")] = False,
    input_tokens: Annotated[int, typer.Option(min=0, help="Tokens of the prompt.")] = 1000,
    output_tokens: Annotated[int | None, typer.Option(min=1, help="The client's max_tokens.")] = None,
    user: Annotated[str | None, typer.Option(help="The request's `user`, by which it may be sticky.")] = None,
    cache_key: Annotated[str | None, typer.Option(help="The request's `prompt_cache_key`.")] = None,
    as_json: Json = False,
) -> None:
    """Print the plan that a request would get: each candidate's place and why, and what is left out and why.

    Exit code 1 where nothing may be called now.
    """
    session = session_of(context)
    asked: dict[str, Any] = {"model": model, "stream": stream, "input_tokens": input_tokens}
    asked |= {"output_tokens": output_tokens, "user": user, "prompt_cache_key": cache_key}
    plan = _asked(session, asked, key, run)
    first = next((each for each in plan["candidates"] if not each["skipped"]), None)
    if as_json:
        session.terminal.json({**plan, "first": None if first is None else first["channel"]})
    else:
        _say(session.terminal, plan, first)
    if first is None:
        raise typer.Exit(1)


def _asked(session: Session, asked: dict[str, Any], key: str | None, run: str | None) -> dict[str, Any]:
    if key is None:
        if run is not None:
            raise typer.BadParameter("a run belongs to a key: give --key too", param_hint="--run")
        with session.connect("router") as router:
            plan: dict[str, Any] = router.post("/admin/route-plan", asked)
        return plan
    with session.connect("edge") as edge:
        plan = edge.post("/admin/route-plans", {**asked, "key_id": key_id_of(key), "run_id": run})
    return plan


def key_id_of(key: str) -> str:
    """The public id of a key, of which the secret part is not needed and not sent."""
    return key.removeprefix(KEY_PREFIX).partition("-")[0] if key.startswith(KEY_PREFIX) else key


def _say(terminal: Terminal, plan: dict[str, Any], first: dict[str, Any] | None) -> None:
    terminal.say(f"{plan['model']}: {plan['strategy']}, {plan['strategy_means']}")
    terminal.say(
        f"route table {plan['table_version']}, price book {plan['price_version']}, attempts at most {plan['max_attempts']}"
    )
    if plan["sticky_seconds"]:
        terminal.say(f"sticky for {plan['sticky_seconds']} s after each answer")
    if plan["explore_percent"]:
        terminal.say(f"{plan['explore_percent']} % of requests try another place of the same bucket first")
    terminal.table(COLUMNS, [_row(each) for each in plan["candidates"]])
    if plan["left_out"]:
        terminal.say("left out:")
        terminal.table(
            ("channel", "upstream model", "bucket", "reason", "why"),
            [
                (each["channel"], each["upstream_model"], each["bucket"], each["reason"], each["why"])
                for each in plan["left_out"]
            ],
        )
    if first is None:
        terminal.say("nothing may be called now", style="red")
    else:
        terminal.say(f"asked first: {first['channel']} ({first['upstream_model']}), paid from {first['bucket']}")


def _row(candidate: dict[str, Any]) -> tuple[Any, ...]:
    prices, recent_ms = candidate["prices"], candidate["recent_ms"]
    return (
        candidate["place"],
        candidate["channel"],
        candidate["upstream_model"],
        candidate["bucket"],
        None if prices is None else f"{prices['input']}, {prices['output']} {prices['currency']}",
        None if recent_ms is None else f"{recent_ms} ms",
        candidate["skipped"] or ("sticky" if candidate["sticky"] else "ready"),
        candidate["why"],
    )
