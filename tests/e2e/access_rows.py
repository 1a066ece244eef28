"""Who may make which admin call, written out by hand, call by call: what the services themselves declare is not asked.

A row is `service METHOD path | scope | roles`. Scopes: `tenant`, the call is about one account or something that belongs to it;
`list`, it names no account and shows what the caller may see; `whole`, it is about the installation; `self`, about the caller.
Roles: operator, on-call, owner, billing, member; those of an account count in their own account alone.
"""

from dataclasses import dataclass

ROLES = {"op": "operator", "oc": "on-call", "ow": "owner", "bi": "billing", "me": "member"}

EDGE = """
edge POST /admin/accounts | whole | op
edge GET /admin/accounts | list | op oc ow bi me
edge GET /admin/accounts/{entity_id} | tenant | op oc ow bi me
edge PATCH /admin/accounts/{entity_id} | tenant | op ow
edge GET /admin/accounts/{entity_id}/changes | tenant | op oc ow bi me
edge POST /admin/accounts/{entity_id}/freeze | tenant | op oc ow
edge POST /admin/accounts/{entity_id}/unfreeze | tenant | op oc ow
edge POST /admin/accounts/{entity_id}/policy | tenant | op ow
edge GET /admin/accounts/{entity_id}/receipts/{request_id} | tenant | op oc ow bi me
edge GET /admin/accounts/{entity_id}/runs | tenant | op oc ow bi me
edge GET /admin/accounts/{entity_id}/runs/{run_id} | tenant | op oc ow bi me
edge POST /admin/projects | tenant | op ow
edge GET /admin/projects | list | op oc ow bi me
edge GET /admin/projects/{entity_id} | tenant | op oc ow bi me
edge PATCH /admin/projects/{entity_id} | tenant | op ow
edge GET /admin/projects/{entity_id}/changes | tenant | op oc ow bi me
edge POST /admin/projects/{entity_id}/freeze | tenant | op oc ow
edge POST /admin/projects/{entity_id}/unfreeze | tenant | op oc ow
edge POST /admin/projects/{entity_id}/policy | tenant | op ow
edge POST /admin/keys | tenant | op ow me
edge GET /admin/keys | list | op oc ow bi me
edge GET /admin/keys/{entity_id} | tenant | op oc ow bi me
edge PATCH /admin/keys/{entity_id} | tenant | op ow me
edge GET /admin/keys/{entity_id}/changes | tenant | op oc ow bi me
edge POST /admin/keys/{entity_id}/freeze | tenant | op oc ow
edge POST /admin/keys/{entity_id}/unfreeze | tenant | op oc ow
edge POST /admin/keys/{entity_id}/policy | tenant | op ow me
edge POST /admin/keys/{entity_id}/revoke | tenant | op ow me
edge POST /admin/keys/{entity_id}/rotate | tenant | op ow me
edge POST /admin/users | tenant | op ow
edge GET /admin/users | list | op oc ow bi me
edge GET /admin/users/{entity_id} | tenant | op oc ow bi me
edge PATCH /admin/users/{entity_id} | tenant | op ow
edge POST /admin/users/{entity_id}/deactivate | tenant | op ow
edge POST /admin/users/{entity_id}/activate | tenant | op ow
edge POST /admin/users/{entity_id}/grants | tenant | op ow
edge POST /admin/users/{entity_id}/tokens | tenant | op ow
edge GET /admin/users/{entity_id}/tokens | tenant | op oc ow bi me
edge POST /admin/users/{entity_id}/tokens/{token_id}/revoke | tenant | op ow
edge GET /admin/grants | list | op oc ow bi me
edge POST /admin/grants/{entity_id}/take | tenant | op ow
edge GET /admin/me | self | op oc ow bi me
edge GET /admin/me/tokens | self | op oc ow bi me
edge POST /admin/me/tokens | self | op oc ow bi me
edge POST /admin/me/tokens/{token_id}/revoke | self | op oc ow bi me
edge POST /admin/route-plans | whole | op oc
edge GET /admin/audit-log | list | op oc ow
"""

SETTLEMENT = """
settlement POST /admin/topups | tenant | op
settlement POST /admin/limits | tenant | op ow bi
settlement GET /admin/limits | tenant | op oc ow bi me
settlement POST /admin/cost-centres | tenant | op ow bi
settlement POST /admin/refunds | tenant | op
settlement POST /admin/adjustments | tenant | op
settlement POST /admin/promotions | tenant | op
settlement POST /admin/chargebacks | whole | op
settlement POST /admin/reinstatements | whole | op
settlement GET /admin/accounts/{account_id}/topups | tenant | op oc ow bi me
settlement GET /admin/accounts/{account_id}/statements/{month} | tenant | op oc ow bi me
settlement GET /admin/accounts/{account_id}/balances | tenant | op oc ow bi me
settlement GET /admin/accounts/{account_id}/requests | tenant | op oc ow bi me
settlement GET /admin/accounts/{account_id}/postings | tenant | op oc ow bi me
settlement GET /admin/lag | whole | op oc
settlement GET /admin/price-books | whole | op oc
settlement POST /admin/price-books | whole | op
settlement GET /admin/price-books/current | whole | op oc
settlement GET /admin/price-books/diff | whole | op oc
settlement POST /admin/price-books/diff | whole | op oc
settlement GET /admin/price-books/{version} | whole | op oc
settlement POST /admin/price-books/{version}/withdraw | whole | op
settlement GET /admin/fx-rates | whole | op oc
settlement POST /admin/fx-rates | whole | op
settlement GET /admin/reports/margin | whole | op oc
settlement GET /admin/cases | whole | op oc
settlement GET /admin/cases/{case_id} | whole | op oc
settlement POST /admin/cases/{case_id}/assign | whole | op oc
settlement POST /admin/cases/{case_id}/close | whole | op oc
settlement GET /admin/dead-letters | whole | op oc
settlement GET /admin/dead-letters/{topic}/{partition}/{offset} | whole | op oc
settlement POST /admin/dead-letters/redrive | whole | op oc
settlement GET /admin/attempts | whole | op oc
settlement GET /admin/unknown-ends | whole | op oc
settlement POST /admin/ledger/checks | whole | op oc
settlement GET /admin/ledger/checks | whole | op oc
settlement GET /admin/ledger/checks/{audit_id} | whole | op oc
settlement GET /admin/audit-log | list | op oc ow
"""

ANALYTICS = """
analytics GET /admin/lag | whole | op oc
analytics GET /admin/counts | whole | op oc
analytics GET /admin/alerts | list | op oc ow bi me
analytics GET /admin/alerts/{alert_id} | tenant | op oc ow bi me
analytics POST /admin/alerts/{alert_id}/acknowledge | tenant | op oc ow
analytics POST /admin/alerts/{alert_id}/resolve | tenant | op oc ow
analytics POST /admin/alerts/{alert_id}/approve | tenant | op oc ow
analytics POST /admin/alerts/{alert_id}/decline | tenant | op oc ow
analytics POST /admin/alerts/{alert_id}/silence | tenant | op oc ow
analytics POST /admin/alerts/{alert_id}/unsilence | tenant | op oc ow
analytics GET /admin/silences | list | op oc ow bi me
analytics POST /admin/silences | tenant | op oc ow
analytics DELETE /admin/silences/{silence_id} | tenant | op oc ow
analytics GET /admin/audit-log | list | op oc ow
analytics GET /admin/alert-rules | whole | op oc
analytics PUT /admin/alert-rules | whole | op
analytics POST /admin/alert-rules/diff | whole | op oc
analytics POST /admin/alert-rules/backtest | whole | op oc
analytics GET /admin/alert-rules/versions | whole | op oc
analytics GET /admin/alert-rules/versions/{version} | whole | op oc
analytics GET /admin/deliveries | whole | op oc
analytics GET /admin/receivers | whole | op oc
analytics POST /admin/receivers/{name}/test | whole | op oc
analytics GET /admin/requests | list | op oc ow bi me
analytics GET /admin/accounts/{account_id}/receipts/{request_id} | tenant | op oc ow bi me
analytics GET /admin/requests/live | list | op oc ow bi me
analytics GET /admin/usage | list | op oc ow bi me
analytics GET /admin/usage/explain | list | op oc ow bi me
analytics GET /admin/dashboard/series | whole | op oc
analytics GET /admin/dashboard/tables | whole | op oc
analytics GET /admin/dashboard/ledger | whole | op oc
"""

ROUTER = """
router POST /admin/routes | whole | op
router GET /admin/routes | whole | op oc
router GET /admin/routes/export | whole | op oc
router POST /admin/routes/diff | whole | op oc
router GET /admin/routes/versions | whole | op oc
router GET /admin/routes/versions/{version} | whole | op oc
router POST /admin/route-plan | whole | op oc
router GET /admin/batches | whole | op oc
router GET /admin/channels | whole | op oc
router GET /admin/channels/{channel_id} | whole | op oc
router PUT /admin/channels/{channel_id} | whole | op
router DELETE /admin/channels/{channel_id} | whole | op
router POST /admin/channels/{channel_id}/freeze | whole | op oc
router POST /admin/channels/{channel_id}/unfreeze | whole | op oc
router GET /admin/models | whole | op oc
router GET /admin/models/{model_id} | whole | op oc
router PUT /admin/models/{model_id} | whole | op
router DELETE /admin/models/{model_id} | whole | op
router GET /admin/secrets | whole | op oc
router POST /admin/secrets/reseal | whole | op
router GET /admin/audit-log | list | op oc ow
"""


@dataclass(frozen=True, slots=True)
class Row:
    """Who may make one call."""

    scope: str
    roles: frozenset[str]

    def refusal(self, role: str | None, *, own: bool) -> int | None:
        """The status that a user of the role is refused with, None where the call is theirs to make."""
        if self.scope == "self" or (role in {"operator", "on-call"} and role in self.roles):
            return None
        if self.scope == "tenant" and role not in {"operator", "on-call"} and not (role and own):
            return 404
        return None if role in self.roles and (own or self.scope == "list") else 403


def rows(*tables: str) -> dict[str, Row]:
    """The rows by the name of their call."""
    lines = [line.split(" | ") for table in tables for line in table.strip().splitlines()]
    return {name: Row(scope, frozenset(ROLES[short] for short in roles.split())) for name, scope, roles in lines}
