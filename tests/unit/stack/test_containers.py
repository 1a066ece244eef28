"""The container files against the process table and the settings that the services read: they cannot be run everywhere."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from deploy.local.home import CHECKOUT
from deploy.local.postgres.logins import urls_of, variable
from deploy.local.processes import MIGRATIONS, PROCESSES, Process
from deploy.local.readiness import READY_PATH
from schemas.alert_receivers import variable_of

DEPLOY = CHECKOUT / "deploy"
OURS = [process for process in PROCESSES if process.service]
# Read without a settings class: by `deploy.local.topics`, and by compose itself.
ELSEWHERE = {"TOLLBOOK_KAFKA_REPLICATION_FACTOR"}
# Beside each service's own settings, those of a process of it that reads more.
BATCH = "router.batch"


def _compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def _manifests() -> list[dict[str, Any]]:
    names = yaml.safe_load((DEPLOY / "k8s" / "kustomization.yaml").read_text())["resources"]
    return [found for name in names for found in yaml.safe_load_all((DEPLOY / "k8s" / name).read_text())]


def _containers(kind: str) -> dict[str, dict[str, Any]]:
    found = [manifest for manifest in _manifests() if manifest["kind"] == kind]
    return {manifest["metadata"]["name"]: manifest["spec"]["template"]["spec"]["containers"][0] for manifest in found}


def _compose_environment(name: str) -> dict[str, str]:
    found: dict[str, str] = _compose()["services"][name]["environment"]
    return found


def _kubernetes_environment(name: str) -> dict[str, str]:
    """What the container's `envFrom` gives it, of the config map and the example's secrets."""
    config = {"configMapRef": {m["metadata"]["name"]: m["data"] for m in _manifests() if m["kind"] == "ConfigMap"}}
    secrets = yaml.safe_load_all((DEPLOY / "k8s" / "secret.example.yaml").read_text())
    config["secretRef"] = {secret["metadata"]["name"]: secret["stringData"] for secret in secrets}
    sources = (_containers("Deployment") | _containers("Job"))[name]["envFrom"]
    given: dict[str, str] = {}
    for source in sources:
        ((kind, reference),) = source.items()
        given |= config[kind][reference["name"]]
    return given


def _settings(*services: str) -> list[type[BaseSettings]]:
    modules = [importlib.import_module(f"services.{service}.settings") for service in services]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [found for found in classes if issubclass(found, BaseSettings) and found is not BaseSettings]


def _variables(model: type[BaseSettings], *, required: bool) -> set[str]:
    fields = model.model_fields.items()
    return {_variable(model, name, field) for name, field in fields if field.is_required() or not required}


def _variable(model: type[BaseSettings], name: str, field: FieldInfo) -> str:
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        alias = str(alias.choices[0])
    return str(alias or f"{model.model_config.get('env_prefix', '')}{name}").upper()


ENVIRONMENTS = [pytest.param(_compose_environment, id="compose"), pytest.param(_kubernetes_environment, id="kubernetes")]


@pytest.mark.parametrize("process", OURS, ids=lambda process: process.name)
@pytest.mark.parametrize("environment_of", ENVIRONMENTS)
def test_containers_get_every_variable_that_their_service_insists_on(environment_of: Any, process: Process) -> None:
    more = [BATCH] if process.module == f"services.{BATCH}" else []
    for model in _settings(str(process.service), *more):
        assert _variables(model, required=True) <= set(environment_of(process.name)), model


@pytest.mark.parametrize("environment_of", ENVIRONMENTS)
def test_containers_get_no_variable_that_nobody_reads(environment_of: Any) -> None:
    read = set().union(*(_variables(model, required=False) for model in _settings(*MIGRATIONS, BATCH)))
    for process in OURS:
        named = {name for name in environment_of(process.name) if variable_of(f"${{env:{name}}}")}
        assert set(environment_of(process.name)) <= read | ELSEWHERE | (named if process.service == "analytics" else set())
    assert set(environment_of("setup")) <= read | ELSEWHERE | set(map(variable, MIGRATIONS))


@pytest.mark.parametrize("environment_of", ENVIRONMENTS)
def test_each_service_logs_in_as_itself_and_setup_makes_exactly_these_logins(environment_of: Any) -> None:
    made = urls_of(environment_of("setup"))
    assert set(made) == set(MIGRATIONS)
    assert len({conninfo_to_dict(url)["user"] for url in made.values()}) == len(MIGRATIONS)
    for process in OURS:
        assert environment_of(process.name)["DATABASE_URL"] == made[str(process.service)]
    assert environment_of("setup")["DATABASE_URL"] not in made.values()


def test_compose_runs_every_process_of_the_table() -> None:
    services = _compose()["services"]
    for process in PROCESSES:
        assert services[process.name]["command"][0] == process.module


def test_kubernetes_runs_every_service_of_the_table() -> None:
    containers = _containers("Deployment")
    assert {name: container["args"][0] for name, container in containers.items()} == {p.name: p.module for p in OURS}


@pytest.mark.parametrize("name", ["compose", "kubernetes"])
def test_setup_migrates_every_service_in_the_tables_order(name: str) -> None:
    if name == "compose":
        script = _compose()["services"]["setup"]["command"][0].replace("$$", "$")
    else:
        script = _containers("Job")["setup"]["args"][0]
    assert f"for service in {' '.join(MIGRATIONS)}; do python -m services.$service.migrate; done" in script
    assert "python -m deploy.local.topics" in script
    assert script.index("migrate; done") < script.index("python -m deploy.local.postgres.logins")


def test_kubernetes_probes_exactly_the_services_that_have_an_endpoint() -> None:
    containers = _containers("Deployment")
    probed = {name for name, container in containers.items() if "readinessProbe" in container}
    assert probed == {process.name for process in OURS if process.ready == "http"}
    paths = {containers[name]["readinessProbe"]["httpGet"]["path"] for name in probed}
    assert paths == {READY_PATH}


def test_compose_asks_for_each_secret_that_the_example_lists() -> None:
    lines = (DEPLOY / "env.example").read_text().splitlines()
    listed = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    text = (DEPLOY / "compose.yaml").read_text()
    asked = [part.partition("}")[0] for part in text.split("${")[1:]]
    assert listed == {each.removesuffix(":?") for each in asked if each.endswith(":?")}
    # Nothing else is filled in but what has a value to stand in for it.
    assert all(":-" in each for each in asked if not each.endswith(":?"))


def test_the_image_holds_every_package_that_it_runs() -> None:
    copied = [line.split()[1] for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    assert {Path(process.module.replace(".", "/")).parts[0] for process in PROCESSES} | {"schemas"} <= set(copied)
