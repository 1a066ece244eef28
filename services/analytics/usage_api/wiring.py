"""The routes of everything that tells of usage."""

from fastapi import APIRouter

from services.analytics.usage_api import api, explain_api
from services.analytics.usage_api.explain_desk import ExplainDesk
from services.analytics.warehouse import Warehouse


def routers(warehouse: Warehouse, edge_token: str) -> tuple[APIRouter, ...]:
    """Reports and explanations, for users and operators and for edge."""
    desk = ExplainDesk(warehouse)
    return (
        api.admin_router(warehouse),
        api.internal_router(warehouse, edge_token),
        explain_api.admin_router(desk),
        explain_api.internal_router(desk, edge_token),
    )
