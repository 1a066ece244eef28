"""`tollbook secrets …`: the keys of channels, as router keeps them."""

import typer

from services.console.session import Json, session_of

app = typer.Typer(help="The sealed keys of channels.", no_args_is_help=True)
OLD = "(before keys had ids)"


@app.command()
def status(context: typer.Context, *, json: Json = False) -> None:
    """Show under which keys secrets are sealed: a former key that none is under may be forgotten."""
    session = session_of(context)
    with session.connect("router") as router:
        found = router.get("/admin/secrets")
    if json:
        session.terminal.json(found)
        return
    current = found["current_key_id"]
    rows = [(row["key_id"] or OLD, row["secrets"], "current" if row["key_id"] == current else "") for row in found["sealed"]]
    session.terminal.table(("key", "secrets", ""), rows)


@app.command()
def rotate(context: typer.Context, *, json: Json = False) -> None:
    """Seal every stored secret anew under the current key (TOLLBOOK_SECRETS_KEY of router).

    Before: give every router the new key as TOLLBOOK_SECRETS_KEY and the old one in TOLLBOOK_FORMER_SECRETS_KEYS, and start
    them again. After: the old key may be left out.
    """
    session = session_of(context)
    with session.connect("router") as router, session.terminal.working("sealing every secret anew", quiet=json):
        done = router.post("/admin/secrets/reseal")
    if json:
        session.terminal.json(done)
    else:
        session.terminal.say(f"{done['resealed']} sealed anew under {done['key_id']}, {done['already']} were already.")
        for each in done["unreadable"]:
            session.terminal.say(f"version {each['version']}: {each['reason']}", style="red")
    if done["unreadable"]:
        raise typer.Exit(1)
