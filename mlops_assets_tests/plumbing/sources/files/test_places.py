"""Tests of places: which addresses can be used, and what is told of those that cannot."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops_assets.platform.errors import SettingsError
from mlops_assets.plumbing.sources.files.places import Place

WITHOUT = """
import sys
sys.modules["{package}"] = None
from mlops_assets.platform.errors import SettingsError
from mlops_assets.plumbing.sources.files.places import Place
try:
    Place.at("{address}", {{}})
except SettingsError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("address", "package", "extra"),
    [("s3://bucket/exports", "s3fs", "s3"), ("sftp://host/exports", "sshfs", "sftp"), ("gs://b/x", "gcsfs", None)],
)
def test_what_is_not_installed_is_named(address: str, package: str, extra: str | None) -> None:
    program = WITHOUT.format(package=package, address=address)
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert f"Files at {address}: " in told
    assert (f"Install mlops-assets[{extra}]." if extra else "Install fsspec's package for it.") in told


@pytest.mark.parametrize("address", ["nonsense://host/exports", "simplecache::sftp://host/exports"])
def test_an_address_of_an_unknown_protocol_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        Place.at(address, {})


@pytest.mark.sftp
def test_the_root_of_a_server_is_a_folder() -> None:
    pytest.importorskip("sshfs")
    place = Place.at("sftp://somebody:hidden@host/", {})
    assert (place.address, place.path("2024-01.csv")) == ("sftp://host/", "/2024-01.csv")
