"""Where code comes from: the package, its version, the commit, and whether the tree was as committed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform import provenance

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """What git says there."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed package of a team's own, imported."""
    folder = tmp_path / "team"
    package = folder / "orchard_of_a_team"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def pick():\n    return 1\n", encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "The package")
    monkeypatch.delenv(provenance.COMMIT_VARIABLE, raising=False)
    monkeypatch.syspath_prepend(str(folder))
    provenance.origin.cache_clear()
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    importlib.import_module(package.name)
    return folder


def origin() -> provenance.CodeOrigin:
    """Where the team's function comes from, looked up anew."""
    provenance.origin.cache_clear()
    return provenance.origin_of(importlib.import_module("orchard_of_a_team").pick, object)


def test_the_commit_of_the_functions_checkout_is_known_and_whether_it_was_clean(checkout: Path) -> None:
    found = origin()
    assert (found.package, found.commit, found.clean) == ("orchard_of_a_team", git(checkout, "rev-parse", "HEAD"), True)


@pytest.mark.parametrize("file", ["__init__.py", "new.py"])
def test_a_changed_or_new_file_of_the_package_makes_the_tree_unclean(file: str, checkout: Path) -> None:
    (checkout / "orchard_of_a_team" / file).write_text("def pick():\n    return 2\n", encoding="utf-8")
    assert origin().clean is False


def test_a_changed_file_beside_the_package_does_not(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("x", encoding="utf-8")
    assert origin().clean is True


def test_an_image_without_a_checkout_says_its_commit_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, commit, clean in (("abc", "abc", True), ("abc+dirty", "abc", False)):
        monkeypatch.setenv(provenance.COMMIT_VARIABLE, text)
        provenance.origin.cache_clear()
        found = provenance.origin("mlops_assets")
        assert (found.commit, found.clean) == (commit, clean)
    provenance.origin.cache_clear()


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert provenance.origin("pytest").version == pytest.__version__
