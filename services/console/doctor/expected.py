"""What Postgres should have of each service: its role, and the migrations of this Tollbook."""

from pathlib import Path

SERVICES = ("edge", "router", "settlement", "analytics")


def role_of(service: str) -> str:
    """The role that holds a service's privileges."""
    return f"tollbook_{service}"


def migration_files(services_dir: Path) -> dict[str, list[str]]:
    """The migrations of this Tollbook, by service."""
    return {name: sorted(path.stem for path in (services_dir / name / "migrations").glob("*.sql")) for name in SERVICES}
