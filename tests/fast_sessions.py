"""Makes a session of Kedro cheaper, in this process: the tests open some thousand.

Kedro and OmegaConf stay what they are and give equal results. What they do again for equal input is done once.
"""

import importlib.metadata
import io
import os
import pickle
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import kedro.framework.session.session
import kedro.validation.type_extractor
import omegaconf._utils
import omegaconf.base
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

Texts = tuple[tuple[str, str], ...]
PLAIN = frozenset({str, int, float, bool, type(None), dict, list, tuple})
"""Types of what YAML holds, none of which is a dataclass."""


def speed_up() -> None:
    """Replace what takes most of the time of a small run."""
    omegaconf.base.parse = cache(omegaconf.base.parse)  # the text of an interpolation is parsed once
    sys.modules.setdefault("ibis", None)  # Kedro looks for it once per parameter
    kedro.validation.type_extractor.get_type_hints = cache(kedro.validation.type_extractor.get_type_hints)
    skip_plain("is_attr_class")
    skip_plain("is_dataclass")
    read_once()
    check_once()
    skip_empty_merge()
    skip_git()
    read_entry_points_once()


def skip_plain(name: str) -> None:
    """Let a function that recognises classes not look at plain values."""
    ask = getattr(omegaconf._utils, name)
    setattr(omegaconf._utils, name, lambda value: type(value) not in PLAIN and ask(value))


def read_once() -> None:
    """Make of an equal text an equal configuration, each time a new one."""
    load, known = OmegaConf.load, {}

    def load_once(file: Any) -> Any:
        if not isinstance(file, io.StringIO):
            return load(file)
        text = file.getvalue()
        if text not in known:
            known[text] = pickle.dumps(load(file))
        return pickle.loads(known[text])

    OmegaConf.load = staticmethod(load_once)


def skip_empty_merge() -> None:
    """Keep a configuration if an environment adds nothing to it."""
    merge = OmegaConfigLoader._soft_merge

    def merge_values(config: dict[str, Any], more: dict[str, Any], *rest: Any) -> Any:
        return merge(config, more, *rest) if more else config

    OmegaConfigLoader._soft_merge = staticmethod(merge_values)


def read_texts(loader: OmegaConfigLoader, paths: Iterable[Path]) -> Texts:
    """Return the files of a configuration, by their places in its folder; nothing for one in an archive."""
    if loader._protocol != "file":
        return ()
    return tuple(sorted((os.path.relpath(path, loader.conf_source), path.read_text()) for path in paths))


def check_once() -> None:
    """Look for keys that two files share once for equal files."""
    check, good = OmegaConfigLoader._check_duplicates, set()

    def check_duplicates(self: Any, key: str, files: dict[Path, Any]) -> None:
        place = key == "parameters", read_texts(self, files)
        if place not in good or not place[1]:
            check(self, key, files)
            good.add(place)

    OmegaConfigLoader._check_duplicates = check_duplicates


def skip_git() -> None:
    """Start no git for a folder that is in no repository."""
    describe = kedro.framework.session.session._describe_git

    def describe_git(path: Path) -> dict[str, Any]:
        folders = (Path(path).absolute(), *Path(path).absolute().parents)
        return describe(path) if any((folder / ".git").exists() for folder in folders) else {}

    kedro.framework.session.session._describe_git = describe_git


def read_entry_points_once() -> None:
    """Read the entry points of each installed package once; Kedro asks all packages in each session."""
    ask, known = importlib.metadata.Distribution.entry_points.fget, {}

    def entry_points(self: Any) -> Any:
        place = str(getattr(self, "_path", id(self)))
        if place not in known:
            known[place] = ask(self)
        return known[place]

    importlib.metadata.Distribution.entry_points = property(entry_points)
