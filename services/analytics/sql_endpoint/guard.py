"""What a query may touch, decided from the engine's own syntax tree. Pure.

The engine's read-only mode forbids writing, settings and foreign tables. It still lets a query write its result into a file,
read a file by a scalar function, name objects of this process, end other queries or do nothing for a while. The tree is what
`EXPLAIN AST` prints: one node per line, a child indented by one space more than its parent.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

STATEMENTS = frozenset(("SelectWithUnionQuery", "SelectIntersectExceptQuery", "DescribeQuery", "ShowTables", "Explain"))
NODES = STATEMENTS | frozenset(
    (
        *("SelectQuery", "ExpressionList", "TablesInSelectQuery", "TablesInSelectQueryElement", "TableExpression"),
        *("TableIdentifier", "TableJoin", "ArrayJoin", "Subquery", "WithElement", "Function", "Identifier", "Literal"),
        *("Asterisk", "QualifiedAsterisk", "OrderByElement", "WindowDefinition", "WindowListElement", "InterpolateElement"),
        *("Set", "SampleRatio", "QueryParameter", "ColumnsTransformerList", "ColumnsExceptTransformer"),
        *("ColumnsReplaceTransformer", "ColumnsReplaceTransformer::Replacement"),
        *("ColumnsRegexpMatcher", "ColumnsListMatcher", "QualifiedColumnsRegexpMatcher", "QualifiedColumnsListMatcher"),
    )
)
"""The kinds of nodes whose children are all shown. APPLY is none of them: it keeps the function that it applies to itself."""
TABLE_FUNCTIONS = frozenset(
    ("numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "view")
)
SYSTEM_TABLES = frozenset(
    (
        "one",
        "numbers",
        "zeros",
        "tables",
        "columns",
        "databases",
        "functions",
        "settings",
        "formats",
        "time_zones",
        "build_options",
    )
)
"""What clients ask about the engine itself. Others would show queries, files and settings of the process."""
DENIED_CATEGORIES = ("AI", "Dictionary", "Embedded Dictionary", "Introspection", "Machine Learning", "Encryption", "UDF")
"""Categories of functions, in the words of `system.functions`, that reach out of the tables."""
DENIED_FUNCTIONS = frozenset(
    (
        *(
            "file",
            "sleep",
            "sleepEachRow",
            "getMacro",
            "getClientHTTPHeader",
            "getServerSetting",
            "getServerPort",
            "hasColumnInTable",
            "showCertificate",
        ),
        *("joinGet", "joinGetOrNull", "filesystemAvailable", "filesystemCapacity", "filesystemUnreserved", "fuzzQuery"),
        *("generateSerialID", "currentRequestURL", "hostName", "FQDN", "tcpPort", "zookeeperSessionUptime", "throwIf"),
    )
)
INFORMATION = frozenset(("information_schema", "INFORMATION_SCHEMA"))
SYSTEM = "system"
_ODD_IDENTIFIER = re.compile(r"[`\"][^`\"]*[\\\n\r][^`\"]*[`\"]")
_QUOTED = re.compile(r"'(?:[^'\\\\]|\\\\.|'')*'|`(?:[^`\\\\]|\\\\.|``)*`|\"(?:[^\"\\\\]|\\\\.|\"\")*\"", re.DOTALL)
_NOT_ANSWERED = re.compile(r"\bINTO\s+OUTFILE\b|^\s*EXPLAIN\s+(?:TABLE|CURRENT)\b|\bAPPLY\b", re.IGNORECASE)
_IDENTIFIER_PARAMETER = re.compile(r"\{\s*\w+\s*:\s*Identifier\s*\}", re.IGNORECASE)


class SqlRefusedError(Exception):
    """The query is refused, in ClickHouse's own words: a code, its name and what is not allowed."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message} ({name})")
        self.code = code


def denied(message: str) -> SqlRefusedError:
    """What is refused because of what it would do."""
    return SqlRefusedError(497, "ACCESS_DENIED", message)


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its kind, what is printed behind it, and its parent's kind."""

    kind: str
    rest: str
    parent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What there is to read. `functions_denied` in lower case."""

    database: str
    other_databases: Collection[str]
    tables: Collection[str]
    functions_denied: Collection[str]


def nodes(tree: str) -> Iterator[Node]:
    """The nodes of a tree as `EXPLAIN AST` prints it."""
    path: list[tuple[int, str]] = []
    for line in tree.split("\n"):  # and at nothing else that a name may hold
        text = line.lstrip(" ")
        if not text:
            continue
        depth = len(line) - len(text)
        while path and path[-1][0] >= depth:
            path.pop()
        kind, _, rest = text.partition(" ")
        yield Node(kind, rest.strip(), path[-1][1] if path else None)
        path.append((depth, kind))


def check(formatted: str, tree: str, allowed: Allowed) -> None:
    """Raise :class:`SqlRefusedError` unless the query only reads what it may. `formatted` is it as the engine wrote it."""
    if _ODD_IDENTIFIER.search(formatted):
        raise denied("Names may not hold line breaks or backslashes")
    if _IDENTIFIER_PARAMETER.search(formatted):
        raise denied("A name cannot be a parameter here: write it into the query")
    if _NOT_ANSWERED.search(_QUOTED.sub("''", formatted)):
        raise denied("INTO OUTFILE, APPLY and this kind of EXPLAIN are not answered here")
    found = list(nodes(tree))
    if not found or found[0].kind not in STATEMENTS:
        raise SqlRefusedError(164, "READONLY", "Only SELECT, WITH, SHOW, DESCRIBE and EXPLAIN are answered here")
    for node in found:
        _check_node(node, formatted, allowed)


def _check_node(node: Node, formatted: str, allowed: Allowed) -> None:
    if node.kind not in NODES:
        raise denied(f"Queries with {node.kind} are not answered here")
    if node.kind == "Function":
        _check_function(node, allowed)
    elif node.kind == "Identifier":
        # The right side of IN may be a table, and is no table's name in the tree.
        if _name_of(node).partition(".")[0] in {SYSTEM, *allowed.other_databases} and "." in node.rest:
            raise denied(f"{_name_of(node)} is not shown here")
    elif node.kind == "TableIdentifier":
        _check_table(_name_of(node), formatted, allowed)
    elif node.kind == "Literal" and node.parent in {"SelectWithUnionQuery", "Explain", "DescribeQuery", "ShowTables"}:
        raise denied("INTO OUTFILE is not possible here: the reply is the result")


def _check_function(node: Node, allowed: Allowed) -> None:
    name = _name_of(node)
    if node.parent == "TableExpression":
        if name.lower() not in TABLE_FUNCTIONS:
            raise denied(f"The table function {name} is not allowed here; allowed are {', '.join(sorted(TABLE_FUNCTIONS))}")
    elif name.lower() in allowed.functions_denied:
        raise denied(f"The function {name} is not allowed here")


def _check_table(name: str, formatted: str, allowed: Allowed) -> None:
    database, _, table = name.rpartition(".")
    if not database:
        if table not in allowed.tables and not _named_by_with(table, formatted):
            raise SqlRefusedError(60, "UNKNOWN_TABLE", f"Table {allowed.database}.{table} does not exist")
    elif database == SYSTEM:
        if table not in SYSTEM_TABLES:
            raise denied(f"system.{table} is not shown here; shown are {', '.join(sorted(SYSTEM_TABLES))}")
    elif database not in {allowed.database, *INFORMATION}:
        raise SqlRefusedError(81, "UNKNOWN_DATABASE", f"Database {database} does not exist; use {allowed.database}")


def _named_by_with(name: str, formatted: str) -> bool:
    return re.search(rf"(?:WITH|,)\s+(?:RECURSIVE\s+)?[`\"]?{re.escape(name)}[`\"]?\s+AS\s+\(", formatted) is not None


def _name_of(node: Node) -> str:
    return re.split(r" \(", node.rest, maxsplit=1)[0].strip()
