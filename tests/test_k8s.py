"""The Kubernetes manifests: schemas of two versions, and rules that schemas miss, each with a case that breaks it."""

import copy
import re
import shutil
import subprocess

import kubernetes_validate
import manifests
import pytest
import yaml
from conftest import ROOT
from dask.utils import parse_bytes
from distributed.cli import dask_scheduler, dask_worker
from kedro.framework.project import pipelines

from network_anomalies.cli import cli

K8S = ROOT / "deploy/k8s"
EXAMPLE = K8S / "overlays/example"
FOLDERS_OF_SITE = (".", "setup", "backfill", "backfill_shares", "dask")
FOLDERS = [path.parent for path in sorted(K8S.rglob("kustomization.yaml"))]
VERSIONS = ("1.34", "1.37")


def read_names(path):
    """Return the names in a file of NAME=value lines."""
    return set(re.findall(r"^(\w+)=", path.read_text(), flags=re.MULTILINE))


def read_required():
    return set(re.findall(r"oc\.env:(\w+)\}", (ROOT / "conf/minio/credentials.yml").read_text()))


SECRETS = {"network-anomalies": read_names(EXAMPLE / "secret.env.example")}
RULES = {
    "names": manifests.check_names,
    "schedules": manifests.check_schedules,
    "ends": manifests.check_ends,
    "deployments": manifests.check_deployments,
    "resources": manifests.check_resources,
    "security": manifests.check_security,
    "references": lambda documents: manifests.check_references(documents, SECRETS),
    "environment": lambda documents: manifests.check_environment(documents, read_required()),
    "secrets": manifests.check_secrets,
}


def render_all():
    """Return what the folders of the example put into its namespace."""
    return [document for name in FOLDERS_OF_SITE for document in manifests.render(EXAMPLE / name)]


def arguments_of(documents):
    return {name: container["args"] for name, container in manifests.find_containers(documents)}


def find_faults(documents):
    return [fault for rule in RULES.values() for fault in rule(documents)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(K8S)))
def test_the_schemas_of_two_versions_take_every_document(folder, version):
    for document in manifests.render(folder):
        assert kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_refuse_an_unknown_field(version):
    document = manifests.render(K8S / "base")[-1]
    document["spec"]["timezone"] = "Etc/UTC"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_example_breaks_no_rule():
    assert find_faults(render_all()) == []


def test_it_holds_what_was_asked_for():
    made = {(document["kind"], document["metadata"]["name"]) for document in render_all()}
    assert made == {
        *(("CronJob", "ingestion"), ("CronJob", "full"), ("Job", "setup"), ("Job", "backfill")),
        *(("Job", "backfill-shares"), ("Job", "dask-day"), ("ConfigMap", "dask"), ("NetworkPolicy", "dask")),
        *(("Deployment", "dask-scheduler"), ("Deployment", "dask-worker"), ("Service", "dask-scheduler")),
        *((kind, "network-anomalies") for kind in ("ConfigMap", "ServiceAccount", "NetworkPolicy")),
    }
    ingestion = arguments_of(render_all())["CronJob ingestion"]
    assert " ".join(ingestion) == "backfill --last 7 --pipelines ingestion --env minio"


def test_the_pods_of_one_process_differ_in_arguments_and_resources_only():
    pods = []
    for _, pod in manifests.find_pods(copy.deepcopy(render_all())):
        if pod["metadata"]["labels"]["app.kubernetes.io/name"] != "network-anomalies":
            continue
        for container in pod["spec"]["containers"]:
            del container["args"], container["resources"]
        pods.append(pod)
    assert all(pod == pods[0] for pod in pods)


def container_of(documents, kind="CronJob"):
    return next(container for name, container in manifests.find_containers(documents) if name.startswith(kind))


def pod_of(documents):
    return next(pod for _, pod in manifests.find_pods(documents))


def cron_of(documents):
    return next(document for document in documents if document["kind"] == "CronJob")


def kind_of(documents, kind):
    return next(document for document in documents if document["kind"] == kind)


def policy_of(documents, name):
    policies = [document for document in documents if document["kind"] == "NetworkPolicy"]
    return next(policy["spec"] for policy in policies if policy["metadata"]["name"] == name)


def dask_of(documents, role):
    """Return the container that runs Dask's scheduler or its workers."""
    containers = (container for _, container in manifests.find_containers(documents) if "command" in container)
    return next(container for container in containers if container["args"][0] == role)


BREAKS = {
    "name": (lambda d: cron_of(d)["metadata"].update(name="Ingestion_1"), "no DNS label"),
    "long name": (lambda d: cron_of(d)["metadata"].update(name="x" * 53), "longer than 52"),
    "cron": (lambda d: cron_of(d)["spec"].update(schedule="0 24 * * *"), "'24' is no hour"),
    "zone": (lambda d: cron_of(d)["spec"].update(timeZone="Mars/Base"), "no time zone"),
    "overlap": (lambda d: cron_of(d)["spec"].update(concurrencyPolicy="Allow"), "may overlap"),
    "late": (lambda d: cron_of(d)["spec"].update(startingDeadlineSeconds=9), "late start"),
    "no end": (lambda d: kind_of(d, "Job")["spec"].pop("activeDeadlineSeconds"), "no activeDeadlineSeconds"),
    "restarts": (lambda d: pod_of(d)["spec"].update(restartPolicy="OnFailure"), "restarts in place"),
    "quantity": (lambda d: container_of(d)["resources"]["limits"].update(memory="1GB"), "no quantity"),
    "no limit": (lambda d: container_of(d)["resources"]["limits"].pop("memory"), "no quantity"),
    "request": (lambda d: container_of(d)["resources"]["requests"].update(memory="9Gi"), "above its limit"),
    "root": (lambda d: pod_of(d)["spec"]["securityContext"].update(runAsUser=0), "runAsUser"),
    "may be root": (lambda d: pod_of(d)["spec"]["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    "seccomp": (lambda d: pod_of(d)["spec"]["securityContext"].pop("seccompProfile"), "seccompProfile"),
    "token": (lambda d: pod_of(d)["spec"].pop("automountServiceAccountToken"), "automountServiceAccountToken"),
    "host": (lambda d: pod_of(d)["spec"].update(hostNetwork=True), "host namespaces"),
    "host path": (lambda d: pod_of(d)["spec"]["volumes"][0].update(hostPath={"path": "/"}), "hostPath"),
    "escalation": (lambda d: container_of(d)["securityContext"].pop("allowPrivilegeEscalation"), "allowPrivilege"),
    "writable": (lambda d: container_of(d)["securityContext"].update(readOnlyRootFilesystem=False), "readOnlyRoot"),
    "capability": (
        lambda d: container_of(d)["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        "capabilities",
    ),
    "privileged": (lambda d: container_of(d)["securityContext"].update(privileged=True), "privileged"),
    "no account": (lambda d: d.remove(kind_of(d, "ServiceAccount")), "no ServiceAccount"),
    "no map": (lambda d: d.remove(kind_of(d, "ConfigMap")), "no ConfigMap"),
    "no key": (lambda d: container_of(d)["env"][0]["valueFrom"]["secretKeyRef"].update(key="X"), "no key X in Secret"),
    "no volume": (lambda d: pod_of(d)["spec"]["volumes"].pop(), "is not there, or not mounted"),
    "no policy": (lambda d: pod_of(d)["metadata"].update(labels={}), "no NetworkPolicy selects"),
    "open policy": (lambda d: kind_of(d, "NetworkPolicy")["spec"]["egress"].append({}), "out to anywhere"),
    "ingress": (lambda d: kind_of(d, "NetworkPolicy")["spec"].update(policyTypes=["Egress"]), "lets something in"),
    "open ingress": (lambda d: policy_of(d, "dask")["ingress"].append({}), "lets something in"),
    "wide ingress": (
        lambda d: policy_of(d, "dask")["ingress"][0]["from"][0].update(podSelector={}),
        "lets something in",
    ),
    "secret of the scheduler": (
        lambda d: dask_of(d, "scheduler").update(env=dask_of(d, "worker")["env"]),
        "Deployment dask-scheduler: MINIO_ACCESS_KEY is not needed",
    ),
    "worker without a store": (lambda d: dask_of(d, "worker").pop("env"), "MINIO_SECRET_KEY is not set"),
    "selector": (
        lambda d: kind_of(d, "Deployment")["spec"]["selector"]["matchLabels"].update(a="b"),
        "does not select its own pods",
    ),
    "port": (lambda d: kind_of(d, "Service")["spec"]["ports"][0].update(port=1), "no pod listens on its port"),
    "no variable": (lambda d: kind_of(d, "ConfigMap")["data"].pop("PG_HOST"), "PG_HOST is not set"),
    "secret": (lambda d: d.append({"kind": "Secret", "metadata": {"name": "s"}}), "Secret s is committed"),
    "value": (lambda d: container_of(d)["env"].append({"name": "A", "value": "b", "valueFrom": {}}), "has a value"),
}


@pytest.mark.parametrize(("breaks", "said"), BREAKS.values(), ids=BREAKS)
def test_a_rule_that_is_broken_is_noticed(breaks, said):
    documents = copy.deepcopy(render_all())
    breaks(documents)
    if said == "has a value":
        assert any(said in fault for fault in manifests.check_secrets(documents))
    else:
        assert any(said in fault for fault in find_faults(documents)), find_faults(documents)


@pytest.mark.parametrize("line", ["0 2 * * *", "*/15 0-6/2 1,15 * 1-5", "59 23 31 12 0"])
def test_a_cron_line_that_is_one(line):
    assert list(manifests.check_cron(line)) == []


@pytest.mark.parametrize(
    "line",
    ["", "0 2 * *", "0 2 * * * *", "60 2 * * *", "0 24 * * *", "0 2 0 * *", "0 2 * 13 *", "5-1 2 * * *", "a * * * *"],
)
def test_a_cron_line_that_is_none(line):
    assert list(manifests.check_cron(line))


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("1Gi", 2**30), ("2", 2), ("1.5G", 1.5e9), ("1GB", None), ("", None), ("-1", None)],
)
def test_quantities(text, value):
    assert manifests.parse_quantity(text) == value


def check_arguments(arguments):
    return list(manifests.check_arguments(arguments, cli, ROOT / "conf", set(pipelines)))


OURS = {
    name: container["args"] for name, container in manifests.find_containers(render_all()) if "command" not in container
}


@pytest.mark.parametrize(("name", "arguments"), OURS.items(), ids=lambda value: str(value)[:9])
def test_the_command_line_takes_the_arguments(name, arguments):
    assert check_arguments(arguments) == []


@pytest.mark.parametrize(("role", "command"), [("scheduler", dask_scheduler.main), ("worker", dask_worker.main)])
def test_dask_takes_the_arguments_of_its_processes(role, command):
    container = dask_of(render_all(), role)
    given = command.make_context(role, container["args"][1:]).params
    if role == "worker":
        ports = {each["containerPort"] for each in container["ports"]}
        assert {int(given["worker_port"]), int(given["nanny_port"])} == ports
        (service,) = (document for document in render_all() if document["kind"] == "Service")
        name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
        address = kind_of(render_all()[::-1], "ConfigMap")["data"]["DASK_SCHEDULER_ADDRESS"]
        assert container["args"][1] == address == f"tcp://{name}:{port}"
        limit = parse_bytes(given["memory_limit"])
        assert limit < manifests.parse_quantity(container["resources"]["limits"]["memory"])


def test_the_shares_are_as_many_as_the_pods():
    job = next(document for document in render_all() if document["metadata"]["name"] == "backfill-shares")
    assert job["spec"]["completionMode"] == "Indexed"
    arguments = arguments_of([job])["Job backfill-shares"]
    assert arguments[-2:] == ["--share", f"$(JOB_COMPLETION_INDEX)/{job['spec']['completions']}"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runn"], "there is no command runn"),
        (["setup", "--environment", "minio"], "No such option"),
        (["setup", "--env", "prod"], "there is no environment prod"),
        (["run", "--pipelines", "ingest", "--env", "minio"], "there is no pipeline ingest"),
        (["verify", "--start", "yesterday", "--env", "minio"], "does not match"),
        (["verify", "--env", 7], "is no string"),
    ],
)
def test_arguments_that_the_command_line_refuses(arguments, said):
    assert any(said in fault for fault in check_arguments(arguments))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here to compare with")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(K8S)))
def test_kustomize_renders_the_same(folder):
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)

    def in_order(documents):
        return sorted(documents, key=lambda document: (document["kind"], document["metadata"]["name"]))

    assert in_order(yaml.safe_load_all(done.stdout)) == in_order(manifests.render(folder))


def test_a_kustomization_beyond_the_renderer_is_an_error(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("resources: []\nnamePrefix: x-\n")
    with pytest.raises(ValueError, match="does not know namePrefix"):
        manifests.render(tmp_path)
