"""All rules together."""

from tests.property.settlement.machine.correction_rules import CorrectionRules
from tests.property.settlement.machine.hold_rules import HoldRules
from tests.property.settlement.machine.money_rules import MoneyRules
from tests.property.settlement.machine.query_rules import QueryRules
from tests.property.settlement.machine.run_rules import RunRules
from tests.property.settlement.machine.settling_rules import SettlingRules


class LedgerMachine(MoneyRules, HoldRules, SettlingRules, RunRules, CorrectionRules, QueryRules):
    """One sequence on one ledger."""
