"""What somebody who owns the database may do to a sealed ledger: its triggers are off, its signing key is elsewhere."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from schemas.merkle import Frontier, leaf_hash
from schemas.notes import Checkpoint, SigningKey
from schemas.sealing import ORIGIN
from services.settlement.seal_facts import Subject, entry, read_facts
from services.settlement.seal_tree import KEPT_LEVELS

Connection = psycopg.Connection[TupleRow]
SEALED = ("txn", "posting", "account", "balance_move", "hold", "receipt", "price_book", "seal", "seal_node", "seal_checkpoint")
ENDED = sql.SQL("state in ('CAPTURED', 'RELEASED', 'EXPIRED')")
"""An open or a refused hold has moved no money: it is not sealed."""
THIEF = SigningKey("66" * 32)


class NothingChangedError(Exception):
    """The database refused it, or it came to the same: draw again."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name and the name of its type."""

    table: str
    name: str
    type: str
    nullable: bool


@dataclass(slots=True)
class Forger:
    """Draws tamperings and commits them to nothing: the caller rolls back."""

    connection: Connection
    dice: random.Random
    columns: Sequence[Column]

    def mutate(self) -> str:
        """Change one column of one row."""
        column = self.dice.choice(self.columns)
        value = self._another(column)
        changed = self._run(
            sql.SQL(
                "update {table} set {column} = {value} where ctid = {place} and {column}::text is distinct from ({value})::text"
            ),
            table=sql.Identifier(column.table),
            column=sql.Identifier(column.name),
            value=value,
            place=self._place(column.table),
        )
        self._must(changed)
        return f"mutate {column.table}.{column.name}"

    def delete(self) -> str:
        """Remove a row, or some."""
        table = self._table()
        some = self.dice.choice([1, 1, 1, 2, 5])
        rows = sql.SQL(" or ").join([sql.SQL("ctid = {}").format(self._place(table)) for _ in range(some)])
        self._must(self._run(sql.SQL("delete from {table} where {rows}"), table=sql.Identifier(table), rows=rows))
        return f"delete from {table}"

    def truncate(self) -> str:
        """Remove the last entries with everything of theirs, as if they had never been; or a whole table."""
        if self.dice.random() < 0.3:
            table = self._table()
            self._run(sql.SQL("truncate {table} cascade"), table=sql.Identifier(table))
            return f"truncate {table}"
        size = self._one("select count(*) from seal")
        left = self.dice.randint(max(0, size - 40), size - 1)
        self._cut(left)
        return "truncate the tail of the ledger"

    def swap(self) -> str:
        """Exchange one column of two rows."""
        column = self.dice.choice(self.columns)
        one, other = self._place(column.table), self._place(column.table)
        names: dict[str, sql.Composable] = {
            "table": sql.Identifier(column.table), "column": sql.Identifier(column.name), "one": one, "other": other,
        }  # fmt: skip
        changed = self._run(
            sql.SQL(
                "with a as (select ctid as at, {column} as v from {table} where ctid = {one}),"
                " b as (select ctid as at, {column} as v from {table} where ctid = {other})"
                " update {table} t set {column} = case when t.ctid = a.at then b.v else a.v end"
                " from a, b where t.ctid in (a.at, b.at) and a.v::text is distinct from b.v::text"
            ),
            **names,
        )
        self._must(changed)
        return f"swap {column.table}.{column.name}"

    def insert(self) -> str:
        """Add a forged row: a copy of one under another key."""
        table = self._table()
        mine = [column for column in self.columns if column.table == table]
        keys = {"txn": ("id", "idem_key"), "posting": ("line",), "account": ("id", "name"), "balance_move": ("account", "seq")}
        more = {"hold": ("id", "request_id"), "receipt": ("request_id",), "price_book": ("version",), "seal": ("seq",)}
        fresh = (keys | more | {"seal_node": ("number",), "seal_checkpoint": ("size",)})[table]
        subject = ("txn", "account", "price_book")
        values = []
        for column in mine:
            if column.name in fresh:
                values.append(self._fresh(column))
            elif table == "seal" and column.name in subject:
                values.append(sql.SQL("gen_random_uuid()") if column.name == "txn" else sql.SQL("null"))
            else:
                values.append(sql.Identifier(column.name))
        added = self._run(
            sql.SQL("insert into {table} ({names}) select {values} from {table} where ctid = {place}"),
            table=sql.Identifier(table),
            names=sql.SQL(", ").join([sql.Identifier(column.name) for column in mine]),
            values=sql.SQL(", ").join(values),
            place=self._place(table),
        )
        self._must(added)
        return f"insert into {table}"

    def requeue(self) -> str:
        """Put something into the queue of what is to be sealed."""
        if self.dice.random() < 0.5:
            self._run(sql.SQL("insert into seal_pending (txn) values (gen_random_uuid())"))
        else:
            self._run(
                sql.SQL("insert into seal_pending (txn) select txn from seal where txn is not null order by random() limit 1")
            )
        return "insert into seal_pending"

    def rewrite(self) -> str:
        """Change a transaction and compute the whole seal anew, with checkpoints of another key or with the old ones."""
        self.mutate_money()
        sign = self.dice.random() < 0.5
        _seal_anew(self.connection, sign=sign)
        return f"rewrite history, {'sign it with another key' if sign else 'keep the old checkpoints'}"

    def mutate_money(self) -> None:
        """Make one posting and its counterpart larger: every sum stays right."""
        row = self.connection.execute("select txn from posting order by random() limit 1").fetchone()
        assert row is not None
        more = self.dice.randint(1, 1000)
        self.connection.execute("update posting set amount = amount + %s where txn = %s", [more, row[0]])

    def _cut(self, left: int) -> None:
        for table, key in (("posting", "txn"), ("balance_move", "txn"), ("receipt", "txn"), ("txn", "id")):
            self._run(
                sql.SQL("delete from {table} where {key} in (select txn from seal where seq >= {left})"),
                table=sql.Identifier(table), key=sql.Identifier(key), left=sql.Literal(left),
            )  # fmt: skip
        self._run(
            sql.SQL("delete from account where id in (select account from seal where seq >= {left})"), left=sql.Literal(left)
        )
        self._run(sql.SQL("delete from seal where seq >= {left}"), left=sql.Literal(left))
        self._run(sql.SQL("delete from seal_node where (number + 1) << level > {left}"), left=sql.Literal(left))
        self._run(sql.SQL("delete from seal_checkpoint where size > {left}"), left=sql.Literal(left))

    def _table(self) -> str:
        return self.dice.choice(SEALED)

    def _place(self, table: str) -> sql.Composable:
        """Where a row lies; drawn anew at every call."""
        where = ENDED if table == "hold" else sql.SQL("true")
        found = self.connection.execute(
            sql.SQL("select ctid::text from {} where {}").format(sql.Identifier(table), where)
        ).fetchall()
        if not found:
            raise NothingChangedError
        return sql.SQL("{}::tid").format(sql.Literal(self.dice.choice(found)[0]))

    def _another(self, column: Column) -> sql.Composable:
        """Another value for the column: near the old one, another row's, or none."""
        name = sql.Identifier(column.name)
        draw = self.dice.random()
        if column.nullable and draw < 0.1:
            return sql.SQL("null")
        if draw < 0.25:
            return sql.SQL("(select {} from {} where ctid = {})").format(
                name, sql.Identifier(column.table), self._place(column.table)
            )
        return CHANGES[column.type](name, self.dice)

    def _fresh(self, column: Column) -> sql.Composable:
        if column.type == "uuid":
            return sql.Literal(UUID(int=self.dice.getrandbits(128)))
        if column.type == "text":
            return sql.SQL("{} || {}").format(sql.Identifier(column.name), sql.Literal(f"-{self.dice.getrandbits(40)}"))
        return sql.SQL("{} + {}").format(sql.Identifier(column.name), sql.Literal(self.dice.randint(1000, 9000)))

    def _run(self, statement: sql.SQL, **parts: sql.Composable) -> int:
        try:
            return self.connection.execute(statement.format(**parts)).rowcount
        except (psycopg.errors.IntegrityError, psycopg.DataError) as error:
            raise NothingChangedError from error

    def _must(self, rows: int) -> None:
        if rows < 1:
            raise NothingChangedError

    def _one(self, query: str) -> int:
        row = self.connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])


def _number(name: sql.Identifier, dice: random.Random) -> sql.Composable:
    step = dice.choice([1, 1, dice.randint(1, 10**6)]) * dice.choice([1, -1])
    return sql.SQL("coalesce({} + ({}), 1)").format(name, sql.Literal(step))


def _small(name: sql.Identifier, dice: random.Random) -> sql.Composable:
    return sql.SQL("coalesce({} + ({}), 1)::smallint").format(name, sql.Literal(dice.choice([1, 2, -1, 8])))


def _text(name: sql.Identifier, dice: random.Random) -> sql.Composable:
    forms = (
        "coalesce({0}, '') || ' '",
        "upper({0})",
        "'x' || coalesce({0}, '')",
        "reverse({0})",
        "''",
        "overlay({0} placing '0' from {1})",
    )
    return sql.SQL(dice.choice(forms)).format(name, sql.Literal(dice.randint(1, 8)))


def _uuid(_: sql.Identifier, dice: random.Random) -> sql.Composable:
    return sql.Literal(UUID(int=dice.getrandbits(128)))


def _time(name: sql.Identifier, dice: random.Random) -> sql.Composable:
    forms = ("{} + interval '1 microsecond'", "{} - interval '1 day'", "'infinity'::timestamptz", "coalesce({}, now())")
    return sql.SQL(dice.choice(forms)).format(name)


def _bytes(name: sql.Identifier, dice: random.Random) -> sql.Composable:
    return sql.SQL("coalesce(set_bit({}, {}, 1 - get_bit({}, {})), '\\x00'::bytea)").format(
        name, sql.Literal(bit := dice.randint(0, 127)), name, sql.Literal(bit)
    )


def _json(name: sql.Identifier, dice: random.Random) -> sql.Composable:
    forms = (
        "({}::text || ' ')::json",
        "'{{}}'::json",
        "replace({}::text, '1', '2')::json",
        "replace({}::text, ':', ': ')::json",
    )
    return sql.SQL(dice.choice(forms)).format(name)


def _array(name: sql.Identifier, dice: random.Random) -> sql.Composable:
    forms = ("{} || 1::bigint", "{} || null::bigint", "'{{}}'::bigint[]", "('[0:0]={{7}}')::bigint[]")
    return sql.SQL(dice.choice(forms)).format(name)


def _boolean(name: sql.Identifier, _: random.Random) -> sql.Composable:
    return sql.SQL("not {}").format(name)


CHANGES: dict[str, Callable[[sql.Identifier, random.Random], sql.Composable]] = {
    "bigint": _number,
    "integer": _number,
    "smallint": _small,
    "text": _text,
    "uuid": _uuid,
    "timestamp with time zone": _time,
    "bytea": _bytes,
    "json": _json,
    "ARRAY": _array,
    "boolean": _boolean,
}


def columns_of(connection: Connection) -> list[Column]:
    """Every column of every sealed table, but for what an ended hold never has."""
    rows: list[Any] = connection.execute(
        "select table_name, column_name, data_type, is_nullable = 'YES' from information_schema.columns"
        " where table_schema = current_schema() and table_name = any(%s) order by table_name, ordinal_position",
        [list(SEALED)],
    ).fetchall()
    return [Column(*row) for row in rows if row[:2] != ("hold", "refusal")]


def _seal_anew(connection: Connection, *, sign: bool) -> None:
    """Compute every hash, node and root from what the tables say now."""
    rows = connection.execute("select seq, txn, account, price_book, salt from seal order by seq").fetchall()
    subjects = [Subject(*row[1:4]) for row in rows]
    facts = read_facts(connection, subjects)
    sizes = {row[0] for row in connection.execute("select size from seal_checkpoint").fetchall()}
    tree, prev = Frontier(), ORIGIN
    for (seq, *_, salt), subject in zip(rows, subjects, strict=True):
        prev = leaf_hash(entry(facts[subject], subject, seq=seq, prev=prev, salt=salt and bytes(salt)))
        connection.execute("update seal set hash = %s where seq = %s", [prev, seq])
        for subtree, node in tree.append(prev):
            if subtree.level and subtree.level % KEPT_LEVELS == 0:
                where = [node, subtree.level, subtree.number]
                connection.execute("update seal_node set hash = %s where level = %s and number = %s", where)
        if sign and tree.size in sizes:
            note = Checkpoint(tree.size, tree.root(), datetime.now(UTC)).signed(THIEF)
            connection.execute("update seal_checkpoint set note = %s where size = %s", [note, tree.size])
