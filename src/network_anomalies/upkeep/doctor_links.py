"""The doctor's checks of the connections to store and database: host names resolve, connections are encrypted."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from network_anomalies.errors import ProjectError
from network_anomalies.upkeep.checks import Finding

PLAIN_MODES = ("disable", "allow", "prefer")
"""Values of libpq's ``sslmode`` that allow an unencrypted connection (PostgreSQL documentation, 32.19)."""


def to_host(url: str) -> str:
    """Return the host of an endpoint's URL.

    Raises:
        ProjectError: the URL has no host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ProjectError("MINIO_ENDPOINT_URL is not a URL: write it as https://host:port")
    return parts.hostname


def check_name(name: str, host: str) -> Iterator[Finding]:
    """Check that a host's name resolves; a path is a Unix socket and has no name."""
    if host.startswith("/"):
        yield Finding(name, "OK", f"{host} is a local socket")
        return
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        yield Finding(name, "FAIL", f"{host} does not resolve ({reason}): check the spelling and this machine's DNS")
    else:
        yield Finding(name, "OK", f"{host} is {', '.join(sorted(addresses))}")


def check_store_link(endpoint: str) -> Iterator[Finding]:
    """Warn if the connection to the store is not encrypted and leaves this machine."""
    if urlsplit(endpoint).scheme == "https":
        yield Finding("store link", "OK", "TLS")
    elif is_local(to_host(endpoint)):
        yield Finding("store link", "OK", "plain, within this machine")
    else:
        advice = "others can read the events: give an https:// endpoint (AWS_CA_BUNDLE for a private authority)"
        yield Finding("store link", "WARN", f"plain http; {advice}")


def check_database_link(host: str, mode: str) -> Iterator[Finding]:
    """Warn if the connection to the database may be unencrypted and leaves this machine."""
    if mode not in PLAIN_MODES:
        yield Finding("registry link", "OK", f"TLS (sslmode {mode})")
    elif is_local(host):
        yield Finding("registry link", "OK", f"sslmode {mode}, within this machine")
    else:
        advice = "set PG_SSLMODE=verify-full (PGSSLROOTCERT for a private authority)"
        yield Finding("registry link", "WARN", f"sslmode {mode} allows an unencrypted connection: {advice}")


def is_local(host: str) -> bool:
    """Tell whether a host is this machine's loopback or a socket.

    >>> [is_local(host) for host in ("localhost", "127.0.0.1", "::1", "/run/postgresql", "db", "10.0.0.1")]
    [True, True, True, True, False, False]
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.startswith("/")
