"""A statement as PDF. Pure but for the library that draws it. Its own fonts know Latin letters: others are transliterated."""

from collections.abc import Callable, Sequence

from anyascii import anyascii
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from schemas.money import format_amount
from schemas.plain_text import shown
from services.settlement.account_statement import Line, Section, Statement
from services.settlement.errors import InvalidError

MOST_LINES = 3_000
FONT = "Helvetica"
COLUMNS = (
    ("Date", 20),
    ("What", 34),
    ("Project", 36),
    ("Key", 36),
    ("Model or reference", 97),
    ("Requests", 16),
    ("Amount", 36),
)
"""Title and width in mm: all of an A4 page's height, laid across."""
MOST_ROWS = 6
"""Of one cell: the longest reference that a provider gives fits; what is longer still stands whole in CSV and JSON."""
ROW_MM = 5.0
TITLES = {
    "top_up": "Top-up",
    "promotion": "Promotional credit",
    "charge": "Charges",
    "charge_of_lost_request": "Lost requests",
    "refund": "Refund",
    "adjustment": "Adjustment",
    "chargeback": "Chargeback",
    "reinstatement": "Chargeback reversed",
    "credit_expired": "Credit expired",
    "run_earmark": "Set aside for a run",
    "run_return": "Returned by a run",
    "debt_repaid": "Debt repaid",
}


def as_pdf(statement: Statement) -> bytes:
    """The statement on A4, across. Raises InvalidError where it is too long to be printed: CSV and JSON have no such bound."""
    lines = sum(len(section.lines) + len(section.in_runs) for section in statement.sections)
    if lines > MOST_LINES:
        raise InvalidError(
            f"{lines} lines are too many to print: ask for one bucket, or for csv or json", code="statement_too_long"
        )
    page = _Page(statement)
    for section in statement.sections:
        page.section(section)
    return bytes(page.output())


def plain(text: str) -> str:
    """The text in the letters that the built-in fonts have."""
    return "".join(letter if _printable(letter) else anyascii(letter) for letter in shown(text))


def _printable(letter: str) -> bool:
    return " " <= letter <= "~" or "\u00a0" <= letter <= "\u00ff"


def wrapped(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """The text in lines that its column has room for, broken at spaces where it has any; cut after `MOST_ROWS` of them."""
    lines: list[str] = []
    rest = text
    while rest:
        end, room = 0, 0.0
        while end < len(rest) and (room := room + measure(rest[end])) <= width:
            end += 1
        if end < len(rest):
            space = rest.rfind(" ", 1, end + 1)
            end = space if space > 0 else max(end, 1)
        if len(lines) == MOST_ROWS - 1 and end < len(rest):
            return [*lines, rest[: max(end - 2, 0)] + ".."]
        lines.append(rest[:end])
        rest = rest[end:].lstrip(" ")
    return lines or [""]


class _Page(FPDF):
    """The document with its heading and page numbers."""

    def __init__(self, statement: Statement) -> None:
        super().__init__(orientation="landscape", unit="mm", format="A4")
        self._statement = statement
        self._bucket = ""
        self._titled = False
        self.set_creation_date(statement.generated_at)
        self.set_title(plain(f"Statement {statement.period.name} of {statement.account_id}"))
        self.set_auto_page_break(auto=True, margin=15)
        self.add_page()

    def header(self) -> None:
        """Whose statement of which month it is, on every page, and which bucket's lines go on there."""
        statement, period = self._statement, self._statement.period
        self.set_font(FONT, "B", 14)
        self._write(f"Tollbook statement {period.name}", 8)
        self.set_font(FONT, "", 9)
        state = "" if period.complete else ", not over yet"
        self._write(
            f"Account {statement.account_id}. From {period.start:%Y-%m-%d} until {period.end:%Y-%m-%d} (UTC){state}.", 5
        )
        self._write(f"Made at {statement.generated_at:%Y-%m-%d %H:%M:%S} UTC. Amounts in units of the bucket's currency.", 7)
        if self._bucket:
            self.set_font(FONT, "B", 11)
            self._write(f"{self._bucket}, continued", 8)
        if self._titled:
            self._titles()

    def footer(self) -> None:
        """The page's number."""
        self.set_y(-12)
        self.set_font(FONT, "", 8)
        self.cell(0, 6, f"Page {self.page_no()}", align="C")

    def section(self, section: Section) -> None:
        """One bucket: its balances and totals, then every line."""
        self.set_font(FONT, "B", 11)
        title = f"Bucket {section.bucket} ({section.currency})"
        self._write(title, 8)
        self._bucket = title
        self._sum("Opening balance", section.opening_nano)
        for kind, nano in section.totals.items():
            self._sum(TITLES.get(kind, kind), nano)
        self._sum("Closing balance", section.closing_nano, bold=True)
        self.ln(3)
        self._table(section.lines)
        if section.in_runs:
            self.set_font(FONT, "B", 9)
            self._write("Paid from the reserves of runs (what was set aside above)", 7)
            self._table(section.in_runs)
        self.ln(6)
        self._bucket = ""

    def _table(self, lines: Sequence[Line]) -> None:
        if not lines:
            return
        if self.will_page_break(2 * ROW_MM):
            self.add_page()
        self._titles()
        self._titled = True
        for line in lines:
            self._row(_cells(line))
        self._titled = False

    def _titles(self) -> None:
        self._cells([[title] for title, _ in COLUMNS], bold=True)

    def _row(self, cells: Sequence[str]) -> None:
        self.set_font(FONT, "", 8)
        columns = zip(COLUMNS, cells, strict=True)
        texts = [wrapped(plain(text), width - 2, self.get_string_width) for (_, width), text in columns]
        if self.will_page_break(ROW_MM * max(map(len, texts))):
            self.add_page()
        self._cells(texts, bold=False)

    def _cells(self, texts: Sequence[Sequence[str]], *, bold: bool) -> None:
        """One row of the table, as high as its longest cell."""
        self.set_font(FONT, "B" if bold else "", 8)
        for number in range(max(map(len, texts))):
            for (title, width), lines in zip(COLUMNS, texts, strict=True):
                text = lines[number] if number < len(lines) else ""
                self.cell(width, ROW_MM, text, align="R" if title in {"Amount", "Requests"} else "L")
            self.ln(ROW_MM)

    def _sum(self, title: str, nano: int, *, bold: bool = False) -> None:
        self.set_font(FONT, "B" if bold else "", 9)
        self.cell(70, 5, title)
        self.cell(50, 5, format_amount(nano), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _write(self, text: str, height: float) -> None:
        self.cell(0, height, plain(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _cells(line: Line) -> list[str]:
    what = line.model or line.reference
    said = f"{what} {line.text}".strip() if line.text and not line.model else what
    return [
        line.day.isoformat(),
        TITLES.get(line.kind, line.kind),
        line.project_id,
        line.key_name or line.key_id,
        f"{line.run_id} {said}".strip() if line.run_id and line.run_id != what else said,
        str(line.requests or ""),
        format_amount(line.nano),
    ]
