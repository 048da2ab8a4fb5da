"""Deployment manifests for tests: rendered as kustomize would, and held to rules that schemas do not know.

Rules take rendered documents and return faults in words; none is no fault.
"""

import copy
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import click
import yaml

Document = dict[str, Any]
Rule = Callable[[list[Document]], Iterator[str]]

KNOWN_KEYS = {"apiVersion", "kind", "resources", "namespace", "images", "patches"}
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
UNITS = {"m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 6))


def render(folder: Path) -> list[Document]:
    """Render the subset of kustomize that `deploy/k8s` uses; a key beyond it is an error, not a silence."""
    wanted = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := set(wanted) - KNOWN_KEYS:
        raise ValueError(f"{folder}: the renderer does not know {', '.join(sorted(unknown))}")
    documents: list[Document] = []
    for name in wanted["resources"]:
        path = folder / name
        documents += render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for document in documents:
        if "namespace" in wanted:
            document["metadata"]["namespace"] = wanted["namespace"]
    for image in wanted.get("images", []):
        for _, pod in find_pods(documents):
            for container in pod["spec"]["containers"]:
                if container["image"] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
    for patch in wanted.get("patches", []):
        _patch(documents, patch)
    return documents


def _patch(documents: list[Document], patch: Document) -> None:
    """Apply a JSON patch (RFC 6902; add and replace)."""
    target = patch["target"]
    matches = [d for d in documents if (d["kind"], d["metadata"]["name"]) == (target["kind"], target["name"])]
    if not matches:
        raise ValueError(f"no {target['kind']} {target['name']} to patch")
    for document in matches:
        for step in yaml.safe_load(patch["patch"]):
            *way, last = step["path"].strip("/").split("/")
            place: Any = document
            for key in way:
                place = place[int(key)] if isinstance(place, list) else place[key]
            if last == "-":
                place.append(copy.deepcopy(step["value"]))
            else:
                place[int(last) if isinstance(place, list) else last] = copy.deepcopy(step["value"])


def find_pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Yield each pod template with the name of what makes it."""
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        if document["kind"] == "CronJob":
            yield name, document["spec"]["jobTemplate"]["spec"]["template"]
        elif document["kind"] in ("Job", "Deployment"):
            yield name, document["spec"]["template"]


def find_containers(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Yield each container with the name of what makes its pod."""
    for name, pod in find_pods(documents):
        yield from ((name, container) for container in pod["spec"]["containers"])


def check_names(documents: list[Document]) -> Iterator[str]:
    """Names are DNS labels (RFC 1123); a CronJob's leaves 11 characters for its jobs' suffix."""
    for document in documents:
        name = document["metadata"]["name"]
        if not DNS_LABEL.fullmatch(name):
            yield f"{document['kind']} {name}: no DNS label"
        if document["kind"] == "CronJob" and len(name) > 52:
            yield f"CronJob {name}: longer than 52 characters"


def check_schedules(documents: list[Document]) -> Iterator[str]:
    """Cron lines parse, time zones exist, a late start is allowed for, and no two runs overlap."""
    for document in documents:
        if document["kind"] != "CronJob":
            continue
        name, spec = document["metadata"]["name"], document["spec"]
        yield from (f"{name}: {fault}" for fault in check_cron(spec["schedule"]))
        if spec.get("timeZone") not in available_timezones():
            yield f"{name}: no time zone {spec.get('timeZone')}"
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{name}: runs may overlap"
        if spec.get("startingDeadlineSeconds", 0) < 600:
            yield f"{name}: a late start is lost"


def check_cron(line: str) -> Iterator[str]:
    """Say what is wrong with a cron line: five fields of numbers, ranges, lists and steps."""
    fields = line.split()
    if len(fields) != len(CRON_FIELDS):
        yield f"schedule {line!r} has {len(fields)} fields, not 5"
        return
    for text, (field, low, high) in zip(fields, CRON_FIELDS, strict=True):
        for item in text.split(","):
            match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", item)
            bounds = [int(bound) for bound in match.groups()[:2] if bound] if match else []
            if not match or any(not low <= bound <= high for bound in bounds) or bounds != sorted(bounds):
                yield f"schedule {line!r}: {item!r} is no {field}"


def check_ends(documents: list[Document]) -> Iterator[str]:
    """Every job ends: retries and time are limited, and no pod is restarted in place."""
    for document in documents:
        if document["kind"] in ("CronJob", "Job"):
            spec = document["spec"]
            job = spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec
            for field in ("backoffLimit", "activeDeadlineSeconds"):
                if field not in job:
                    yield f"{document['metadata']['name']}: no {field}"
            if job["template"]["spec"].get("restartPolicy") != "Never":
                yield f"{document['metadata']['name']}: restarts in place"


def check_deployments(documents: list[Document]) -> Iterator[str]:
    """A Deployment selects its own pods, a Service selects some, and what it offers is a port of theirs."""
    pods = {name: pod for name, pod in find_pods(documents) if name.startswith("Deployment")}
    for document in documents:
        name, spec = document["metadata"]["name"], document.get("spec", {})
        if document["kind"] == "Deployment":
            if not spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items():
                yield f"{name}: does not select its own pods"
        elif document["kind"] == "Service":
            chosen = [pod for pod in pods.values() if spec["selector"].items() <= pod["metadata"]["labels"].items()]
            offered = {
                port["containerPort"] for pod in chosen for each in pod["spec"]["containers"] for port in each["ports"]
            }
            if not {port["port"] for port in spec["ports"]} <= offered:
                yield f"{name}: no pod listens on its port"


def check_resources(documents: list[Document]) -> Iterator[str]:
    """CPU, memory and disk are requested and limited, in quantities, and no request is above its limit."""
    for name, container in find_containers(documents):
        resources = container.get("resources", {})
        for kind in ("cpu", "memory", "ephemeral-storage"):
            texts = [str(resources.get(side, {}).get(kind, "")) for side in ("requests", "limits")]
            values = [parse_quantity(text) for text in texts]
            if None in values:
                yield f"{name}: {kind} {texts} is no quantity"
            elif values[0] > values[1]:
                yield f"{name}: {kind} request {texts[0]} is above its limit {texts[1]}"


def parse_quantity(text: str) -> Decimal | None:
    """Return a Kubernetes quantity as a number, None if it is none."""
    match = QUANTITY.fullmatch(text)
    return Decimal(match[1]) * UNITS.get(match[2], 1) if match else None


def check_security(documents: list[Document]) -> Iterator[str]:
    """Every pod meets the `restricted` standard, has no token, and a root file system that is read-only."""
    for name, pod in find_pods(documents):
        spec = pod["spec"]
        context = spec.get("securityContext", {})
        wanted = {
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "runAsUser": context.get("runAsUser", 0) >= 10_000,
            "seccompProfile": context.get("seccompProfile") == {"type": "RuntimeDefault"},
            "automountServiceAccountToken": spec.get("automountServiceAccountToken") is False,
            "host namespaces": not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
            "hostPath": not any("hostPath" in volume for volume in spec.get("volumes", [])),
        }
        for container in spec["containers"]:
            own = container.get("securityContext", {})
            wanted |= {
                "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
                "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
                "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
                "privileged": not own.get("privileged"),
            }
        yield from (f"{name}: {key}" for key, met in wanted.items() if not met)


def check_references(documents: list[Document], secrets: dict[str, set[str]]) -> Iterator[str]:
    """ConfigMaps, keys of Secrets, ServiceAccounts, volumes and the NetworkPolicy's pods are there."""
    named = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    for name, pod in find_pods(documents):
        spec = pod["spec"]
        if ("ServiceAccount", spec.get("serviceAccountName")) not in named:
            yield f"{name}: no ServiceAccount {spec.get('serviceAccountName')}"
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        for container in spec["containers"]:
            for source in container.get("envFrom", []):
                if ("ConfigMap", source["configMapRef"]["name"]) not in named:
                    yield f"{name}: no ConfigMap {source['configMapRef']['name']}"
            for reference in (variable["valueFrom"]["secretKeyRef"] for variable in container.get("env", [])):
                if reference["key"] not in secrets.get(reference["name"], ()):
                    yield f"{name}: no key {reference['key']} in Secret {reference['name']}"
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            yield from (f"{name}: volume {stray} is not there, or not mounted" for stray in mounted ^ volumes)
    yield from _check_policies(documents)


def _check_policies(documents: list[Document]) -> Iterator[str]:
    policies = [document["spec"] for document in documents if document["kind"] == "NetworkPolicy"]
    for name, pod in find_pods(documents):
        labels = pod["metadata"].get("labels", {}).items()
        if not any(policy["podSelector"]["matchLabels"].items() <= labels for policy in policies):
            yield f"{name}: no NetworkPolicy selects its pods"
    for policy in policies:
        if set(policy["policyTypes"]) != {"Ingress", "Egress"} or not all(map(_is_narrow, policy.get("ingress", []))):
            yield "the NetworkPolicy lets something in, or everything out"
        if not all(rule.get("to") and rule.get("ports") for rule in policy["egress"]):
            yield "the NetworkPolicy lets out to anywhere"


def _is_narrow(rule: Document) -> bool:
    """Return whether a rule lets in pods of some labels on some ports, and nothing else."""
    pods = [peer.get("podSelector", {}).get("matchLabels") for peer in rule.get("from", [])]
    return bool(pods and all(pods) and rule.get("ports")) and all(len(peer) == 1 for peer in rule["from"])


def find_needed(container: Document, required: set[str]) -> set[str]:
    """Return the variables that a container needs: Dask's scheduler none, its workers those of the store."""
    if container.get("command") != ["dask"]:
        return required
    return {name for name in required if name.startswith("MINIO")} if container["args"][0] == "worker" else set()


def check_environment(documents: list[Document], required: set[str]) -> Iterator[str]:
    """Every variable that a container needs is set, by its ConfigMap or its Secret, and it gets no secret beyond."""
    maps = {document["metadata"]["name"]: document for document in documents if document["kind"] == "ConfigMap"}
    for name, container in find_containers(documents):
        given = {variable["name"] for variable in container.get("env", [])}
        for source in container.get("envFrom", []):
            given |= set(maps.get(source["configMapRef"]["name"], {}).get("data", {}))
        needed, secret = find_needed(container, required), {variable["name"] for variable in container.get("env", [])}
        yield from (f"{name}: {variable} is not set" for variable in sorted(needed - given))
        yield from (f"{name}: {variable} is not needed" for variable in sorted(secret - needed))


def check_secrets(documents: list[Document]) -> Iterator[str]:
    """No Secret is among the manifests, and no secret variable has a value in one."""
    for document in documents:
        if document["kind"] == "Secret":
            yield f"Secret {document['metadata']['name']} is committed"
    for name, container in find_containers(documents):
        yield from (f"{name}: {each['name']} has a value" for each in container.get("env", []) if "value" in each)


def _fill_in(argument: Any) -> Any:
    """Return an argument as the pod number 0 of an Indexed Job gets it."""
    return argument.replace("$(JOB_COMPLETION_INDEX)", "0") if isinstance(argument, str) else argument


def check_arguments(arguments: list[str], cli: click.Group, conf: Path, pipelines: set[str]) -> Iterator[str]:
    """The real command line takes the arguments (parsed, not run); environment and pipelines exist."""
    arguments = [_fill_in(argument) for argument in arguments]
    command = cli.commands.get(arguments[0])
    if command is None:
        yield f"there is no command {arguments[0]}"
        return
    if not all(isinstance(argument, str) for argument in arguments):
        yield f"{arguments}: an argument is no string"
        return
    try:
        given = command.make_context(arguments[0], arguments[1:]).params
    except click.ClickException as error:
        yield f"{' '.join(arguments)}: {error.format_message()}"
        return
    if not (conf / str(given.get("env"))).is_dir():
        yield f"{' '.join(arguments)}: there is no environment {given.get('env')}"
    named = given.get("pipelines") or []  # `run` splits the names itself
    names = named.split(",") if isinstance(named, str) else named
    yield from (f"there is no pipeline {name}" for name in names if name not in pipelines)
