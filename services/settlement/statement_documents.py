"""A statement in the format that was asked for. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from services.settlement.account_statement import Statement, as_json
from services.settlement.errors import InvalidError
from services.settlement.statement_csv import as_csv
from services.settlement.statement_pdf import as_pdf

FORMATS: dict[str, tuple[str, Callable[[Statement], bytes]]] = {
    "json": ("application/json", lambda statement: orjson.dumps(as_json(statement))),
    "csv": ("text/csv; charset=utf-8", as_csv),
    "pdf": ("application/pdf", as_pdf),
}


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes with their type and the name under which a browser keeps them."""

    body: bytes
    content_type: str
    filename: str

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say so."""
        shown = {} if self.filename.endswith(".json") else {"content-disposition": f'attachment; filename="{self.filename}"'}
        return {"content-type": self.content_type, **shown}


def require_format(name: str) -> str:
    """The format's name. Raises InvalidError for one that there is not."""
    if name not in FORMATS:
        raise InvalidError(f"the formats are {', '.join(FORMATS)}", code="invalid_format", param="format")
    return name


def document(statement: Statement, name: str) -> Document:
    """The statement as json, csv or pdf. Raises InvalidError for one that is too long to be printed."""
    content_type, write = FORMATS[require_format(name)]
    return Document(write(statement), content_type, f"statement-{statement.period.name}.{name}")
