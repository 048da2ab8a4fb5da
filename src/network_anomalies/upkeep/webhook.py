"""The alerts of a day, posted to a webhook as they are stored in the lake."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.errors import ProjectError, explain_missing
from network_anomalies.parameters import DeliveryParameters
from network_anomalies.registry.stage_log import read_stage
from network_anomalies.upkeep.stores import Stores

FILES = {"ocsf": "findings.jsonl", "ecs": "alerts.jsonl"}
WHERE = "set ALERTS_WEBHOOK_URL, or write `webhook: {url: ...}` into conf/local/credentials.yml"
TO_REPEAT = (429, 500, 502, 503, 504)
"""Answers after which an attempt is repeated."""
FIRST_WAIT = 0.5
"""Seconds; each further wait is twice as long."""


@dataclass(frozen=True)
class Webhook:
    """Where alerts are sent. The path of a URL is often a secret too, so errors name the host only.

    Attributes:
        url: beginning with https:// or http://.
        token: sent as ``Authorization: Bearer``; None for no such header.
    """

    url: str = field(repr=False)
    token: str | None = field(repr=False)

    @property
    def host(self) -> str:
        """The part of the URL that is no secret."""
        return self.url.partition("://")[2].partition("/")[0].rpartition("@")[2]


def choose_webhook(url: str | None, token: str | None) -> Webhook:
    """Return the webhook that the credentials name.

    Raises:
        ProjectError: there is none, or it is no URL of a web server.
    """
    if not url:
        raise ProjectError(f"there is no webhook: {WHERE}")
    if not url.startswith(("https://", "http://")):
        raise ProjectError("the url of the webhook does not begin with https:// or http://: correct the credentials")
    return Webhook(url, token or None)


def send_day(stores: Stores, webhook: Webhook, source: str, day: date) -> int:
    """Post the alerts of a day, if there are any, and return their number.

    Raises:
        ProjectError: see ``read_lines`` and ``post_lines``.
    """
    lines = read_lines(stores, source, day, stores.delivery.format)
    count = sum(bool(line.strip()) for line in lines.splitlines())
    if count:
        post_lines(webhook, lines, stores.delivery)
    return count


def read_lines(stores: Stores, source: str, day: date, lines_format: str) -> bytes:
    """Return the alerts of a day as the scoring stored them, checked against the registered digest.

    Raises:
        ProjectError: the day was not scored, or not by a version that stores this format; the file is missing or was
            altered.
    """
    name = FILES[lines_format]
    row = read_stage(stores.engine, "scoring", source, day)
    named = [item for item in row["outputs"] if item["uri"].endswith(f"/{name}")] if row else []
    path = stores.locate(named[0]["uri"]) if named else None
    if path is None:
        raise explain_missing(f"there is no {name} of source {source} on {day}", ["scoring"])
    return CheckedObjects(stores.lake, kept=0).read(path, named[0]["sha256"])


def post_lines(webhook: Webhook, lines: bytes, delivery: DeliveryParameters) -> None:
    """Post JSON lines in one request, with a bounded number of attempts. Redirects are not followed.

    Raises:
        ProjectError: no attempt was answered by a status from 200 to 299.
    """
    from urllib3 import PoolManager, Retry, Timeout
    from urllib3.exceptions import HTTPError

    headers = {"Content-Type": "application/x-ndjson"}
    headers |= {"Authorization": f"Bearer {webhook.token}"} if webhook.token else {}
    retries = Retry(
        total=delivery.attempts - 1,
        allowed_methods=None,  # POST too: a finding has an id, so a receiver notices one that comes twice
        status_forcelist=TO_REPEAT,
        backoff_factor=FIRST_WAIT,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may ask for hours
    )
    limits = Timeout(connect=delivery.timeout_seconds, read=delivery.timeout_seconds)
    with _without_urls_in_logs(), PoolManager(timeout=limits, retries=retries) as pool:
        try:
            answer = pool.request(
                "POST", webhook.url, body=lines, headers=headers, redirect=False, preload_content=False
            )
        except HTTPError as error:
            cause = type(getattr(error, "reason", None) or error).__name__
            raise _explain_failure(webhook, f"does not answer ({cause}, {delivery.attempts} attempts)") from None
        answer.close()
    if not 200 <= answer.status < 300:  # noqa: PLR2004
        raise _explain_failure(webhook, f"refuses them (status {answer.status})")


def _explain_failure(webhook: Webhook, fault: str) -> ProjectError:
    return ProjectError(
        f"the webhook at {webhook.host} {fault}: the alerts stay in the lake, run `kedro alerts send` again later"
    )


@contextmanager
def _without_urls_in_logs() -> Iterator[None]:
    """Silence urllib3 for a while: it writes the path of the URL into its log at every attempt."""
    loggers = [logging.getLogger(f"urllib3.{name}") for name in ("connectionpool", "poolmanager", "util.retry")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was_disabled in zip(loggers, before, strict=True):
            logger.disabled = was_disabled
