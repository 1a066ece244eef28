"""Settings come from the environment, are checked at the start, and never show a secret."""

import pytest
from pydantic import ValidationError

from services.edge.settings import Settings

GOOD = {
    "DATABASE_URL": "postgresql://localhost/tollbook",
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
    "TOLLBOOK_ROUTER_URL": "http://localhost:8081",
    "TOLLBOOK_SETTLEMENT_URL": "http://localhost:8082",
    "TOLLBOOK_ADMIN_TOKEN": "admin-secret",
    "TOLLBOOK_EDGE_TOKEN": "edge-secret",
    "TOLLBOOK_KEY_PEPPERS": '{"1": "00112233445566778899aabbccddeeff", "2": "ffeeddccbbaa99887766554433221100"}',
    "TOLLBOOK_SECRETS_KEY": "ab" * 32,
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_environment_makes_settings(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TOLLBOOK_EDGE_MAX_BODY_BYTES", "2048")
    settings = Settings()
    assert settings.peppers()[2] == bytes.fromhex("ffeeddccbbaa99887766554433221100")
    assert settings.secrets_keys() == [b"\xab" * 32]
    assert settings.tollbook_edge_max_body_bytes == 2048


@pytest.mark.usefixtures("environment")
def test_no_secret_is_shown() -> None:
    shown = repr(Settings())
    for secret in ("admin-secret", "edge-secret", "00112233", "abab"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOLLBOOK_ADMIN_TOKEN", ""),
        ("TOLLBOOK_EDGE_TOKEN", "short"),
        ("TOLLBOOK_KEY_PEPPERS", "{}"),
        ("TOLLBOOK_KEY_PEPPERS", '{"1": "00"}'),
        ("TOLLBOOK_KEY_PEPPERS", '{"1": "not hex at all, not at all hex"}'),
        ("TOLLBOOK_SECRETS_KEY", "ab" * 16),
        ("TOLLBOOK_PORT", "0"),
    ],
)
def test_a_setting_that_would_not_protect_is_refused(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("name", ["DATABASE_URL", "TOLLBOOK_ADMIN_TOKEN", "TOLLBOOK_KEY_PEPPERS", "TOLLBOOK_SECRETS_KEY"])
def test_a_missing_setting_is_refused(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
