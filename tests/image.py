"""Build the image and run the CronJob's pod in it, without Docker: python tests/image.py [--measure]

Needs root, buildah and, unless BASE_IMAGE names an image that is here, debootstrap; without them one line says what
is missing. There is no container runtime: `unshare`, `chroot` and `setpriv` give the process what the pod template
asks for (user, read-only root, no capability, no new privilege, volumes, process number 1). Not there: seccomp,
limits of memory and CPU, a network of its own.
"""

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import manifests
import psycopg2
from servers import start_servers

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "deploy/k8s/overlays/example"
BASE = "localhost/network-anomalies-base"
IMAGE = "localhost/network-anomalies"
LIMIT_MB = 800
TEN_EVENTS = "generator.n_events=10"
RUNNING = "SELECT count(*) FROM pipeline_runs WHERE status = 'RUNNING'"


class CannotBuild(Exception):
    """The tools, or what they need, are not here."""


@dataclass
class Container:
    """A root file system, and what the image and a pod template say of a process in it."""

    rootfs: str
    image: dict[str, Any]
    pod: dict[str, Any]
    variables: dict[str, str] = field(default_factory=dict)

    def start(self, arguments: list[str]) -> subprocess.Popen[str]:
        """Start the image's entry point with arguments, as process 1 in namespaces of its own."""
        spec = self.pod["spec"]
        (container,) = spec["containers"]
        own, user = container["securityContext"], spec["securityContext"].get("runAsUser", self.image["User"])
        flags = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        flags += ["--no-new-privs"] * (own["allowPrivilegeEscalation"] is False)
        flags += ["--bounding-set=-all", "--inh-caps=-all"] * (own["capabilities"]["drop"] == ["ALL"])
        mounts = [f"mount --bind {self.rootfs} {self.rootfs}", f"mount -t proc proc {self.rootfs}/proc"]
        mounts += [f"mount --rbind /dev {self.rootfs}/dev"]
        mounts += [f"mount -o remount,bind,ro {self.rootfs}"] * own["readOnlyRootFilesystem"]
        for mount in container["volumeMounts"]:
            mounts.append(f"mount -t tmpfs -o mode=1777 tmpfs {self.rootfs}{mount['mountPath']}")
        words = [*(container.get("command") or self.image["Entrypoint"]), *arguments]
        script = " && ".join([*mounts, f'exec chroot {self.rootfs} setpriv {" ".join(flags)} env -C /app "$@"'])
        environment = dict(variable.split("=", 1) for variable in self.image["Env"]) | self.variables
        return subprocess.Popen(
            [_tool("unshare"), "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, "sh", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, arguments: list[str], expected: int = 0) -> str:
        """Run to the end and return the output."""
        process = self.start(arguments)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == expected, f"{arguments}: exit code {process.returncode}\n{output}"
        return output


def build() -> dict[str, Any]:
    """Build the image; return its configuration.

    Raises:
        CannotBuild: a tool, or the base that it would start from, is missing.
    """
    _check_tools()
    base = os.environ.get("BASE_IMAGE") or _make_base()
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    options = {"BASE_IMAGE": base, "REVISION": revision.stdout.strip()}
    arguments = [word for name, value in options.items() for word in ("--build-arg", f"{name}={value}")]
    certificates = ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"]  # for a mirror behind a private authority
    how = ["--isolation", "chroot", "--format", "docker", "--quiet", *certificates]
    file = ["--file", str(ROOT / "deploy/docker/Dockerfile"), "--tag", IMAGE, str(ROOT)]
    subprocess.run(["buildah", "bud", *how, *arguments, *file], check=True, stdout=subprocess.DEVNULL)
    config: dict[str, Any] = json.loads(_capture("buildah", "inspect", "--type", "image", IMAGE))["Docker"]["config"]
    return config


def _check_tools() -> None:
    if os.geteuid() != 0:
        raise CannotBuild("it needs root")
    for name in ("buildah", "setpriv", "unshare"):
        _tool(name)
    try:
        _capture("unshare", "--mount", "--pid", "--fork", "true")
        container = _capture("buildah", "from", "scratch")
        _capture("buildah", "mount", container)
        _capture("buildah", "rm", container)
    except subprocess.CalledProcessError as error:
        raise CannotBuild(f"{' '.join(error.cmd[:2])} is not allowed here") from error


def _make_base() -> str:
    """Make a local base of Debian and its Python, in place of the registry's image, once per machine."""
    if _capture("buildah", "images", "--quiet", "--filter", f"reference={BASE}"):
        return BASE
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    with tempfile.TemporaryDirectory() as folder:
        try:
            packages = "--include=python3,python3-venv,ca-certificates"
            _capture(_tool("debootstrap"), "--variant=minbase", packages, release["VERSION_CODENAME"], folder)
            for name in ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists"):
                shutil.rmtree(Path(folder, name))  # slim images do without
            container = _capture("buildah", "from", "scratch")
            _capture("buildah", "copy", "--quiet", container, folder, "/")
            path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            _capture("buildah", "config", "--env", path, container)
            _capture("buildah", "run", "--isolation", "chroot", container, "--", "python3", "--version")
            _capture("buildah", "commit", "--quiet", "--rm", container, BASE)
        except (subprocess.CalledProcessError, KeyError) as error:
            raise CannotBuild(f"no base image can be made here ({error})") from error
    return BASE


@contextmanager
def mounted() -> Iterator[str]:
    """Yield the path of the image's root file system; the image goes afterwards."""
    container = _capture("buildah", "from", IMAGE)
    try:
        yield _capture("buildah", "mount", container)
    finally:
        _capture("buildah", "rm", container)
        _capture("buildah", "rmi", IMAGE)


def check_layers(image: dict[str, Any], rootfs: str) -> str:
    """See what is in the image and what is not; return its size."""
    megabytes = sum(path.lstat().st_size for path in Path(rootfs).rglob("*") if not path.is_dir()) / 1e6
    assert megabytes < LIMIT_MB, f"{megabytes:.0f} MB"
    inside = {str(path.relative_to(rootfs)) for path in Path(rootfs, "app").rglob("*") if path.is_file()}
    assert "app/conf/minio/credentials.yml" in inside
    assert not [path for path in inside if path.startswith(("app/conf/local", "app/.git", "app/data"))]
    assert not [variable for variable in image["Env"] if variable.startswith(("MINIO_", "PG_"))]
    assert {"version", "revision"} <= {label.rpartition(".")[2] for label in image["Labels"]}
    assert image["Healthcheck"]["Test"] == ["CMD", "network-anomalies", "doctor"]
    return f"{megabytes:.0f} MB"


def check_setup(container: Container, setup: list[str]) -> None:
    """The doctor names the step that is missing, the step is taken, and all is well."""
    assert "run `kedro setup`" in container.run(["doctor"], expected=1)
    container.run(setup)
    assert "0 FAIL" in container.run(["doctor"])


def check_signals(container: Container, ingestion: list[str]) -> str:
    """SIGTERM to process 1 while it starts and while it works: it ends within 5 s, its row says so. Then SIGKILL."""
    early = container.start(ingestion)
    time.sleep(1.0)
    assert _end(early, signal.SIGTERM) < 5
    process = _start_long(container, ingestion)
    seconds = _end(process, signal.SIGTERM)
    assert seconds < 5
    (said,) = _ask(container, "SELECT status || ' ' || error FROM pipeline_runs")[0]
    assert said.startswith("FAILED interrupted by SIGTERM"), said
    _end(_start_long(container, ingestion), signal.SIGKILL)
    return f"{seconds:.1f} s"


def check_pods(container: Container, ingestion: list[str]) -> None:
    """Ten events for each day that is missing: what was stopped before is healed, and a rerun finds all there."""
    container.run([*ingestion, "--params", TEN_EVENTS])
    statuses = [status for (status,) in _ask(container, "SELECT DISTINCT status FROM pipeline_runs ORDER BY 1")]
    assert statuses == ["ABANDONED", "FAILED", "SUCCESS"], statuses
    count = "SELECT count(*), count(DISTINCT logical_date), min(record_count), max(record_count) FROM current_objects"
    assert _ask(container, count) == [(7, 7, 10, 10)]
    container.run([*ingestion, "--params", TEN_EVENTS])
    assert _ask(container, count) == [(7, 7, 10, 10)]
    assert "70 rows verified; 0 mismatches" in container.run(["verify", "--env", "minio"])


def check_root(container: Container) -> None:
    """The image run as root, on a root file system that can be written to, without a server: every pipeline."""
    pod = json.loads(json.dumps(container.pod))
    pod["spec"]["securityContext"]["runAsUser"] = 0
    pod["spec"]["containers"][0]["securityContext"] |= {"readOnlyRootFilesystem": False}
    root = Container(container.rootfs, container.image, pod)
    assert re.search(r"champion +version 1, ", root.run(["run", "--params", "generator.n_events=2000"]))


def measure(container: Container, environment: dict[str, str]) -> str:
    """Return the time of a ten-event ingestion in the image as a multiple of the same command outside, pair by pair."""
    ratios = []
    for day in range(1, 6):
        words = ["run", "--pipelines", "ingestion", "--env", "minio", "--params"]
        times = []
        for month, inside in (("01", True), ("02", False)):
            arguments = [*words, f"logical_date=2024-{month}-{day:02},{TEN_EVENTS}"]
            started = time.monotonic()
            if inside:
                container.run(arguments)
            else:
                outside = [sys.executable, "-m", "network_anomalies", *arguments]
                subprocess.run(outside, cwd=ROOT, env=environment, check=True, capture_output=True)
            times.append(time.monotonic() - started)
        ratios.append(times[0] / times[1])
    return f"{statistics.median(ratios):.2f} times"


def _start_long(container: Container, ingestion: list[str]) -> subprocess.Popen[str]:
    """Start an ingestion of many events; return when it has stored something."""
    before = _ask(container, RUNNING)[0][0]
    process = container.start([*ingestion, "--params", "generator.n_events=50000000,generator.part_events=20000"])
    deadline = time.monotonic() + 60
    while _ask(container, RUNNING)[0][0] <= before:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    return process


def _end(process: subprocess.Popen[str], number: signal.Signals) -> float:
    """Send a signal to process 1 of the namespace, the only child of `unshare`; return how long it takes to end."""
    child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
    started = time.monotonic()
    os.kill(int(child), number)
    process.communicate(timeout=30)
    assert process.returncode != 0
    return time.monotonic() - started


def _ask(container: Container, query: str) -> list[tuple[Any, ...]]:
    keys = {"host": "PG_HOST", "port": "PG_PORT", "user": "PG_USER", "password": "PG_PASSWORD", "dbname": "PG_DATABASE"}
    connection = psycopg2.connect(**{key: container.variables[name] for key, name in keys.items()})
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        rows = cursor.fetchall()
    connection.close()
    return rows


def _tool(name: str) -> str:
    if path := shutil.which(name):
        return path
    raise CannotBuild(f"there is no {name}")


def _capture(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    """Build, check, and say in one line what was found, or why nothing was done."""
    try:
        image = build()
    except CannotBuild as why:
        print(f"image: skipped, {why}")
        return 0
    pods = {
        name: pod for folder in (".", "setup") for name, pod in manifests.find_pods(manifests.render(EXAMPLE / folder))
    }
    arguments = {name: pod["spec"]["containers"][0]["args"] for name, pod in pods.items()}
    with mounted() as rootfs, start_servers() as servers:
        size = check_layers(image, rootfs)
        container = Container(rootfs, image, pods["CronJob ingestion"], {"KEDRO_ENV": "minio"} | servers)
        check_setup(container, arguments["Job setup"])
        stopped = check_signals(container, arguments["CronJob ingestion"])
        check_pods(container, arguments["CronJob ingestion"])
        check_root(container)
        if "--measure" in sys.argv:
            print(f"image: ten events take {measure(container, os.environ | servers)} what they take outside")
    print(f"image: {size}; the CronJob's pod ran read-only and as no root; ended {stopped} after SIGTERM")
    return 0


if __name__ == "__main__":
    sys.exit(main())
