"""Which variables a channel's key may come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import AliasChoices, AliasPath

from services.router.batch.settings import BatchSettings
from services.router.key_rules import secret_fault, variable_fault
from services.router.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
SET_FOR_SERVICES = ("compose.yaml", "env.example", "k8s/secret.example.yaml")


def settings_of(model: type[Settings]) -> set[str]:
    aliases = {name: field.validation_alias for name, field in model.model_fields.items()}
    assert not any(isinstance(alias, AliasChoices | AliasPath) for alias in aliases.values())
    return {str(alias or f"TOLLBOOK_{name.upper()}") for name, alias in aliases.items()}


@pytest.mark.parametrize("model", [Settings, BatchSettings])
def test_no_setting_of_the_process_is_a_channels_key(model: type[Settings]) -> None:
    names = settings_of(model)
    assert {"DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "TOLLBOOK_SECRETS_KEY"} <= names
    assert [name for name in names if variable_fault(name) is None] == []


@pytest.mark.parametrize("file", SET_FOR_SERVICES)
def test_no_variable_that_a_deployment_sets_is_a_channels_key(file: str) -> None:
    names = set(re.findall(r"^ *([A-Z][A-Z0-9_]+)[:=]", (DEPLOY / file).read_text(), re.MULTILINE))
    assert "TOLLBOOK_SECRETS_KEY" in names
    assert [name for name in names if variable_fault(name) is None] == []


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY", "HTTPS_PROXY", "SLACK_WEBHOOK_URL"]
)
def test_nothing_of_the_engines_or_the_operating_system_is_a_channels_key(name: str) -> None:
    fault = variable_fault(name)
    assert fault is not None
    assert f"{name} is" in fault
    assert "put the key into a variable of its own" in fault


@pytest.mark.parametrize(
    "name",
    ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "AZURE_OPENAI_API_KEY", "HOME_MODEL_KEY"],
)
def test_a_providers_own_variable_is(name: str) -> None:
    assert variable_fault(name) is None


@pytest.mark.parametrize(
    "secret", ["sk-1\n", "sk-1\r\nx-other: y", " sk-1", "sk-1 ", "sk\t1", "sk-\x7f", "sk-\u00e9", "sk-\ud800", " ", ""]
)
def test_a_secret_that_no_header_carries_is_refused_without_repeating_it(secret: str) -> None:
    fault = secret_fault(secret)
    assert fault is not None
    assert "sk-" not in fault


@pytest.mark.parametrize("secret", ["s", "sk-proj_A.b/c+d=e", "two words", "".join(map(chr, range(33, 127)))])
def test_a_secret_that_a_header_carries_is_taken(secret: str) -> None:
    assert secret_fault(secret) is None
