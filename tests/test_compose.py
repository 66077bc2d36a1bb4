"""The compose file holds together: real commands, pinned images, secrets from outside, one set of them."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.core
import yaml

from pipelines.cli import app

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("marquee-")}
AIRFLOW = {name: service for name, service in OURS.items() if service["command"][0] == "airflow"}
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


def test_the_whole_platform_is_there() -> None:
    assert set(SERVICES) == {
        "postgres", "redis", "mlflow", "airflow-migrate", "api-server", "scheduler", "dag-processor", "scorer",
        "freshener",
    }  # fmt: skip
    assert set(AIRFLOW) == {"airflow-migrate", "api-server", "scheduler", "dag-processor"}
    assert set(OURS) == {*AIRFLOW, "mlflow", "scorer", "freshener"}


def test_no_image_floats() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [
        line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM") and line.split()[1] != "base"
    ]
    for image in images:
        assert re.search(r":\d+\.\d+", image), f"{image} names no version"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"airflow-migrate"}))
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_a_service_waits_only_for_services_that_exist_and_can_be_healthy() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            wants = how["condition"]
            assert wants in {"service_healthy", "service_completed_successfully"}, f"{name} waits for {needed}: {wants}"
            assert ("healthcheck" in SERVICES[needed]) == (wants == "service_healthy")


def test_every_build_target_is_a_stage_and_every_mounted_file_is_there() -> None:
    for service in SERVICES.values():
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()
            assert f" AS {service['build']['target']}\n" in DOCKERFILE
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


def test_every_image_of_ours_is_built_once_from_one_target() -> None:
    built = {(service["image"], service["build"]["target"]) for service in OURS.values() if "build" in service}
    assert {image for image, _ in built} == {service["image"] for service in OURS.values()}
    assert len(dict(built)) == len(built) == 3


def test_every_secret_comes_from_the_environment_and_is_told_of_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", TEXT))
    example = {line.split("=")[0] for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line[:40]}
    example = {name for name in example if not name.startswith("#")}
    assert wanted == example
    secrets = [name for name in wanted if name.endswith(("_PASSWORD", "_SECRET", "_KEY", "_TOKENS"))]
    assert len(secrets) == 6
    for name in secrets:
        assert not re.search(rf"\$\{{{name}(?!:\?)", TEXT), f"{name} must be asked for, not given a default"


def test_all_of_airflow_shares_its_keys_and_knows_where_to_report() -> None:
    environments = [service["environment"] for service in AIRFLOW.values()]
    assert all(environment == environments[0] for environment in environments)
    for name in (
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "MARQUEE_FIRST_INTERVAL_AT",
    ):
        assert environments[0][name]
    assert environments[0]["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "True"
    assert environments[0]["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].startswith("http://api-server:8080/")


def test_scorers_and_tasks_agree_on_where_everything_is() -> None:
    scorer, tasks = SERVICES["scorer"]["environment"], AIRFLOW["scheduler"]["environment"]
    shared = {name for name in scorer if name.startswith("MARQUEE_") and not name.endswith("_TOKENS")}
    shared -= {"MARQUEE_HOST", "MARQUEE_PORT"}
    assert {name: scorer[name] for name in shared} == {name: tasks[name] for name in shared}
    assert (ROOT / "feature_repo" / scorer["MARQUEE_FEATURE_STORE_FILE"]).is_file()
    freshener = SERVICES["freshener"]["environment"]
    assert freshener == {name: tasks[name] for name in freshener}
    assert set(freshener) >= shared
    for url in (scorer["MARQUEE_REGISTRY_URL"].removeprefix("http://"), scorer["MARQUEE_REDIS"]):
        assert url.split(":")[0] in SERVICES


def test_marquees_variables_are_settings() -> None:
    from pipelines.settings import Settings

    known = {f"MARQUEE_{name.upper()}" for name in Settings.model_fields} | {"MARQUEE_REDIS"}
    given = {
        name: {variable for variable in service["environment"] if variable.startswith("MARQUEE_")}
        for name, service in OURS.items()
    }
    assert {name for name, variables in given.items() if variables} == {*OURS} - {"mlflow"}
    for name, variables in given.items():
        assert variables <= known, name


def test_the_registrys_server_and_its_client_are_of_one_version() -> None:
    client = re.search(r"mlflow-skinny==([\d.]+)", (ROOT / "pyproject.toml").read_text())
    assert client is not None
    assert f"mlflow=={client[1]} " in DOCKERFILE


def test_ports_are_open_to_this_machine_alone() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_every_command_of_airflow_exists_and_takes_its_options() -> None:
    lines = [service["command"] for service in AIRFLOW.values()]
    lines += [service["healthcheck"]["test"][1:] for service in AIRFLOW.values() if "healthcheck" in service]
    commands = [line[1:] for line in lines if line[0] == "airflow"]
    assert len(commands) == 5
    program = (
        "import json, sys; from airflow.cli.cli_parser import get_parser\n"
        "for words in json.load(sys.stdin): get_parser().parse_args(words)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(commands), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_every_command_of_ours_exists_and_takes_its_options() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert "marquee" in scripts
    commands = {name: line[1:] for name, line in _lines() if line[0] == "marquee"}
    assert {name: words[0] for name, words in commands.items()} == {"scorer": "serve", "freshener": "freshen"}
    for words in commands.values():
        _parse(typer.main.get_command(app), words)


@pytest.mark.parametrize("words", [["serves"], ["serve", "--port", "1"], ["freshen", "now"], ["import", "obd"]])
def test_a_command_that_does_not_exist_would_be_told(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"No such|unexpected extra argument|Missing parameter"):
        _parse(typer.main.get_command(app), words)


def test_mlflows_server_takes_its_options() -> None:
    (command,) = (line[1:] for _, line in _lines() if line[0] == "mlflow")
    program = (
        "import json, sys; from mlflow.cli import cli; from click import NoSuchOption\n"
        "name, *words = json.load(sys.stdin)\n"
        "cli.commands[name].make_context(name, list(words))\n"
        "try: cli.commands[name].make_context(name, [*words, '--no-such-option'])\n"
        "except NoSuchOption: print('and no others')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(command), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "and no others"), ran.stderr


def _lines() -> list[tuple[str, list[str]]]:
    """List the command and the health check of every service of ours, by the service's name."""
    commands = [(name, service["command"]) for name, service in OURS.items()]
    return commands + [
        (name, service["healthcheck"]["test"][1:]) for name, service in OURS.items() if "healthcheck" in service
    ]


def _parse(command: Any, words: list[str]) -> None:
    """Let the command line parse words as it would before running them."""
    with command.make_context(command.name, list(words)) as context:
        if isinstance(command, typer.core.TyperGroup):
            _, chosen, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            _parse(chosen, rest)
