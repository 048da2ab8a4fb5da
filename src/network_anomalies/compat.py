"""Uses of other libraries beyond their documented interface, each with the reason.

No other module may use a private attribute of a library: ``tests/test_conventions.py`` checks it.
``tests/test_compat.py`` tests what each function here needs, so that it fails first after a breaking upgrade.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import yaml
from omegaconf import OmegaConf

Catalog = TypeVar("Catalog")
ATTEMPTS = 2
"""Number of attempts of a request to the store. s3fs makes five; if a store does not answer, that takes a minute."""

_READING = threading.RLock()


@contextmanager
def use_resolvers(resolvers: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Make OmegaConf use these resolvers; other threads wait until the block ends.

    Reason: OmegaConf keeps resolvers in a class attribute, for the whole process. Kedro registers a project's resolver
    once and keeps the first one (``OmegaConfigLoader._register_new_resolvers``). So two runs in one process, such as
    two requests to ``kedro server``, would read each other's dates and paths.

    Upstream: https://github.com/kedro-org/kedro/issues/2925 (open); ``BaseContainer._resolvers`` in
    omegaconf/basecontainer.py.
    """
    with _READING:
        for name, resolver in resolvers.items():
            OmegaConf.register_new_resolver(name, resolver, replace=True)
        yield


@contextmanager
def use_libyaml() -> Iterator[None]:
    """Let OmegaConf read YAML with libyaml, if PyYAML has it; use it inside ``use_resolvers``, whose lock it needs.

    Reason: OmegaConf 2.3 takes ``yaml.SafeLoader``, which is written in Python. With it the project's YAML takes 60 ms
    of each start, with libyaml 9 ms. Both loaders give the same values and name the same line of an error.

    Upstream: https://github.com/omry/omegaconf/pull/1150 does the same; it is merged, and in no release yet.
    """
    loader = yaml.SafeLoader
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", loader)
    try:
        yield
    finally:
        yaml.SafeLoader = loader


def make_catalog(context: Any, catalog_class: type[Catalog]) -> Catalog:
    """Return the catalog of a Kedro context, as an object of ``catalog_class``.

    Reason: Kedro uses the setting ``DATA_CATALOG_CLASS`` for runs only. ``KedroContext.catalog`` makes the catalog of
    notebooks, ``kedro catalog`` and ``kedro viz``; it has no parameter for the class.

    Upstream: ``KedroContext._get_catalog`` in kedro/framework/context/context.py.
    """
    catalog: Catalog = context._get_catalog(catalog_class)
    return catalog


def limit_s3(filesystem: Any) -> None:
    """Give an s3fs filesystem short limits before its first request; other filesystems stay unchanged.

    Reason: fsspec returns the same filesystem for equal arguments. Kedro's own datasets share it only if the arguments
    are exactly the credentials, so the limits are set on the filesystem afterwards. ``retries`` is a public class
    attribute, and ``session`` a public argument of the constructor; it is not documented that they can be set later.
    The session sends a request's body at once. Otherwise botocore sends ``Expect: 100-continue`` and waits for an
    answer without a time limit. No setting removes that header, so the function that adds it is unregistered.

    Upstream: https://github.com/fsspec/s3fs/issues/541 (open) on retries, with ``S3FileSystem`` in s3fs/core.py;
    https://github.com/boto/botocore/issues/1659 on the header, whose answer is to unregister the handler.
    """
    if hasattr(filesystem, "retries") and filesystem.session is None:
        from aiobotocore.session import AioSession
        from botocore.handlers import add_expect_header

        session = AioSession()
        session.unregister("before-call.s3", add_expect_header)
        filesystem.retries = ATTEMPTS
        filesystem.session = session
