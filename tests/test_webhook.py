"""Alerts are posted to a webhook as they are stored; a webhook that fails loses nothing and leaks nothing."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

import pytest
from conftest import DAY, DAY_BEFORE, Project

from network_anomalies.errors import ProjectError
from network_anomalies.parameters import DeliveryParameters
from network_anomalies.registry import alert_triage
from network_anomalies.upkeep import webhook

SECRETS = ("s3cret-path", "t0ken")
DELIVERY = DeliveryParameters(format="ocsf", attempts=3, timeout_seconds=0.3)


@dataclass
class Receiver:
    """A web server that answers with the given statuses in turn, the last one for ever."""

    statuses: tuple[int, ...]
    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    headers: list[MappingProxyType] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{SECRETS[0]}"


@contextmanager
def receive(*statuses: int) -> Iterator[Receiver]:
    receiver = Receiver(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            place = min(len(receiver.bodies), len(receiver.statuses) - 1)
            receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.headers.append(MappingProxyType(dict(self.headers)))
            self.send_response(receiver.statuses[place])
            self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
            self.send_header("Retry-After", "3600")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(webhook, "FIRST_WAIT", 0.001)


def post(url: str, lines: bytes = b'{"a": 1}\n') -> None:
    webhook.post_lines(webhook.choose_webhook(url, SECRETS[1]), lines, DELIVERY)


def send(project: Project, monkeypatch, url: str, *options: str):
    monkeypatch.setenv("ALERTS_WEBHOOK_URL", url)
    monkeypatch.setenv("ALERTS_WEBHOOK_TOKEN", SECRETS[1])
    return project.invoke("alerts", "send", "--env", project.env, *options)


@pytest.mark.parametrize(("lines_format", "name"), webhook.FILES.items())
def test_the_stored_lines_are_posted(modelled, monkeypatch, lines_format, name):
    path = modelled.root / "conf/base/parameters_delivery.yml"
    path.write_text(path.read_text().replace("format: ocsf", f"format: {lines_format}"))
    with receive(200) as receiver:
        done = send(modelled, monkeypatch, receiver.url, "--date", DAY)
    (key,) = [key for key in modelled.objects("reports") if key.endswith(f"{DAY}/{name}")]
    assert done.returncode == 0, done.stderr
    assert receiver.bodies == [modelled.stored(key)]
    count = len([json.loads(line) for line in receiver.bodies[0].splitlines()])
    assert done.stdout == f"synthetic on {DAY}: {count} alerts sent to 127.0.0.1:{receiver.port}\n"
    assert receiver.headers[0]["Authorization"] == f"Bearer {SECRETS[1]}"
    assert receiver.headers[0]["Content-Type"] == "application/x-ndjson"


def test_without_a_date_the_latest_day_is_sent(modelled, monkeypatch):
    with receive(200) as receiver:
        assert f"on {DAY}: " in send(modelled, monkeypatch, receiver.url).stdout
        assert f"on {DAY_BEFORE}: " in send(modelled, monkeypatch, receiver.url, "--date", DAY_BEFORE).stdout


def test_a_busy_webhook_is_asked_again():
    with receive(503, 429, 204) as receiver:
        post(receiver.url)
    assert len(receiver.bodies) == 3 and len(set(receiver.bodies)) == 1


@pytest.mark.parametrize(("status", "attempts"), [(503, 3), (400, 1), (401, 1), (302, 1), (307, 1)])
def test_a_webhook_that_refuses_is_told_in_one_line(status, attempts, caplog):
    caplog.set_level("DEBUG")
    with (
        receive(status) as receiver,
        pytest.raises(ProjectError, match=f"refuses them \\(status {status}\\)") as raised,
    ):
        post(receiver.url)
    assert len(receiver.bodies) == attempts
    assert not [secret for secret in SECRETS if secret in caplog.text + str(raised.value)]


@contextmanager
def listen_and_say_nothing() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://user:{SECRETS[1]}@127.0.0.1:{server.getsockname()[1]}/{SECRETS[0]}"


@contextmanager
def refuse_connections() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}/{SECRETS[0]}?key={SECRETS[1]}"


@pytest.mark.parametrize("place", [listen_and_say_nothing, refuse_connections])
def test_a_webhook_that_does_not_answer_loses_and_leaks_nothing(modelled, monkeypatch, caplog, place):
    caplog.set_level("DEBUG")
    path = modelled.root / "conf/base/parameters_delivery.yml"
    path.write_text(path.read_text().replace("timeout_seconds: 5", "timeout_seconds: 0.2"))
    with place() as url:
        done = send(modelled, monkeypatch, url, "--date", DAY)
        traced = send(modelled, monkeypatch, url, "--date", DAY, "--traceback")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "does not answer" in done.stderr and "4 attempts" in done.stderr and "127.0.0.1" in done.stderr
    assert "run `kedro alerts send` again" in done.stderr
    everything = caplog.text + done.stdout + done.stderr + traced.stderr
    assert not [secret for secret in SECRETS if secret in everything]
    with receive(200) as receiver:
        assert send(modelled, monkeypatch, receiver.url, "--date", DAY).returncode == 0


def test_nothing_is_sent_unless_there_is_a_url(modelled, monkeypatch):
    monkeypatch.delenv("ALERTS_WEBHOOK_URL", raising=False)
    done = modelled.invoke("alerts", "send")
    assert done.returncode == 1 and "there is no webhook: set ALERTS_WEBHOOK_URL" in done.stderr
    done = send(modelled, monkeypatch, "file:///etc/passwd")
    assert done.returncode == 1 and "https:// or http://" in done.stderr


def test_a_url_of_conf_local_is_used(modelled, monkeypatch):
    monkeypatch.delenv("ALERTS_WEBHOOK_URL", raising=False)
    with receive(200) as receiver:
        (modelled.root / "conf/local").mkdir()
        (modelled.root / "conf/local/credentials.yml").write_text(f"webhook: {{url: '{receiver.url}'}}")
        done = modelled.invoke("alerts", "send", "--date", DAY)
    assert done.returncode == 0, done.stderr
    assert "Authorization" not in receiver.headers[0]


def test_credentials_of_another_form_are_told_in_one_line(modelled, monkeypatch):
    (modelled.root / "conf/local").mkdir()
    (modelled.root / "conf/local/credentials.yml").write_text("webhook: https://hooks\n")
    done = modelled.invoke("alerts", "send", "--date", DAY)
    assert done.returncode == 1 and "webhook: {url: ..., token: ...}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_day_without_alerts_sends_nothing(modelled, monkeypatch):
    modelled.run("scoring", logical_date=DAY, alerts__allowlist=[ANYBODY])
    with receive(500) as receiver:
        done = send(modelled, monkeypatch, receiver.url, "--date", DAY)
    assert (done.returncode, done.stdout) == (0, f"synthetic on {DAY}: no alerts, nothing to send\n"), done.stderr
    assert receiver.bodies == []
    assert len(modelled.load("alert_findings")) == len(modelled.load("alert_lines")) == 0


ANYBODY = {"entity": "0.0.0.0/0", "kind": "*", "owner": "me", "expires": "2099-01-01", "reason": "a quiet day"}


def test_a_day_that_was_not_scored_names_the_pipeline(modelled, monkeypatch):
    done = send(modelled, monkeypatch, "http://127.0.0.1:1/", "--date", "2024-04-01")
    assert done.returncode == 1 and "there are no scores of 2024-04-01" in done.stderr


def test_altered_lines_are_not_sent(modelled, monkeypatch):
    (key,) = [key for key in modelled.objects("reports") if key.endswith(f"{DAY}/findings.jsonl")]
    modelled.stores.lake.pipe_file(key, b'{"message": "all is well"}\n')
    with receive(200) as receiver:
        done = send(modelled, monkeypatch, receiver.url, "--date", DAY)
    assert done.returncode == 1 and "was altered" in done.stderr and receiver.bodies == []


def test_the_other_sources_are_sent_if_the_alerts_of_one_cannot_be_read(modelled, monkeypatch):
    days = dict.fromkeys(("broken", "synthetic"), date.fromisoformat(DAY))
    monkeypatch.setattr(alert_triage, "choose_days", lambda *_, **__: days)
    with receive(200) as receiver:
        done = send(modelled, monkeypatch, receiver.url)
    assert done.returncode == 1 and f"broken on {DAY}: there is no findings.jsonl" in done.stderr
    assert f"synthetic on {DAY}: " in done.stdout and len(receiver.bodies) == 1
