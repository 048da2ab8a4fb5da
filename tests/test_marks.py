"""A test that is slow says why it must be."""

import re

from conftest import ROOT

MARK = re.compile(r"pytest\.mark\.slow\b(?!\(reason=\"\w)")


def find_bare_marks(source: str) -> list[str]:
    """Return the lines with a ``slow`` mark that gives no reason."""
    return [line for line in source.splitlines() if line.lstrip().startswith("@") and MARK.search(line)]


def test_every_slow_mark_gives_its_reason():
    sources = [path.read_text() for path in (ROOT / "tests").glob("test_*.py")]
    assert [line for source in sources for line in find_bare_marks(source)] == []
    assert any("pytest.mark.slow(" in source for source in sources)


def test_a_slow_mark_without_a_reason_is_noticed():
    bare = ["@pytest.mark.slow", "@pytest.mark.slow()", '@pytest.mark.slow(reason="")']
    assert find_bare_marks("\n".join([*bare, '@pytest.mark.slow(reason="a server starts")'])) == bare
