"""Types of the locations in catalog entries."""

from typing import Any, NotRequired, TypedDict

Credentials = dict[str, Any]
"""Options of an fsspec filesystem."""


class RegistryUrl(TypedDict):
    """Credentials of the registry.

    Attributes:
        con: its SQLAlchemy URL.
    """

    con: str


class RegistryPlace(TypedDict):
    """Where the registry is.

    Attributes:
        credentials: in YAML a name of ``credentials.yml``.
    """

    credentials: RegistryUrl


class LakePlace(TypedDict):
    """Where objects are.

    Attributes:
        path: URL of their folder.
        credentials: options of its filesystem; in YAML a name of ``credentials.yml``, or null.
        store: environment and name of these credentials, which Dask workers take from their own configuration.
    """

    path: str
    credentials: Credentials | None
    store: NotRequired[str]
