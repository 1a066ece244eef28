"""Who may do what, written out by hand: what tests hold the table of `schemas/access.py` and every admin call against.

`x`: in every account and in the installation; `o`: in the role's own account; `.`: nowhere.
"""

from schemas.access import Role

# permission: operator, on-call, owner, billing, member
TABLE = """
account.read    x x o o o
project.read    x x o o o
key.read        x x o o o
account.create  x . . . .
account.write   x . o . .
project.write   x . o . .
key.write       x . o . o
freeze          x x o . .
user.read       x x o o o
user.write      x . o . .
budget.read     x x o o o
budget.write    x . o o .
money.write     x . . . .
usage.read      x x o o o
alert.write     x x o . .
rule.read       x x . . .
rule.write      x . . . .
audit.read      x x o . .
price.read      x x . . .
route.read      x x . . .
price.write     x . . . .
route.write     x . . . .
channel.freeze  x x . . .
ledger.read     x x . . .
ledger.write    x x . . .
secret.write    x . . . .
"""
COLUMNS: tuple[Role, ...] = ("operator", "on-call", "owner", "billing", "member")
ROWS = {line.split()[0]: line.split()[1:] for line in TABLE.strip().splitlines()}
