"""Tests of signed exports: only what a trusted key has signed is opened, and nothing is signed unseen."""

from __future__ import annotations

import json
import shutil
import sqlite3
from hashlib import sha256
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mlops_assets.platform.exports.export import kept_exports, open_export, open_kept_export, pointer_path, write_export
from mlops_assets.platform.security.signatures import SignatureError
from mlops_assets.platform.security.token_keys import key_id_of

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.exports.manifest import ExportManifest

OWN = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
TRUSTED = {key_id_of(OWN.public_key()): OWN.public_key()}


def write(folder: Path, key: Ed25519PrivateKey | None, value: int = 1) -> ExportManifest:
    return write_export(folder, {"items": pa.table({"a": [value]})}, {}, signing_key=key)


def value_in(folder: Path) -> int:
    with open_export(folder, trusted=TRUSTED) as export:
        assert export.signed_by in TRUSTED
        return int(export.connection.execute("SELECT a FROM items").fetchone()[0])


def forge(folder: Path, manifest: ExportManifest, value: int) -> None:
    """Change the data and what the manifest says of its file; the id says nothing of the file."""
    path = folder / manifest.export_id
    with sqlite3.connect(path / "data.sqlite") as connection:
        connection.execute("UPDATE items SET a = ?", (value,))
    connection.close()
    fields = json.loads((path / "manifest.json").read_bytes())
    fields["file"]["sha256"] = sha256((path / "data.sqlite").read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(fields), encoding="utf-8")


def test_an_export_is_opened_by_those_who_trust_its_signer(tmp_path: Path) -> None:
    manifest = write(tmp_path, OWN)
    assert value_in(tmp_path) == 1
    assert kept_exports(tmp_path, trusted=TRUSTED) == (manifest,)
    with open_kept_export(tmp_path, manifest.export_id, trusted=TRUSTED) as export:
        assert export.manifest == manifest


@pytest.mark.parametrize(("key", "reason"), [(None, "it is not signed"), (OTHER, "not among the 1 trusted")])
def test_an_unsigned_or_strangers_export_is_refused(tmp_path: Path, key: Ed25519PrivateKey | None, reason: str) -> None:
    manifest = write(tmp_path, key)
    with pytest.raises(SignatureError, match=reason):
        open_export(tmp_path, trusted=TRUSTED)
    with pytest.raises(SignatureError, match=reason):
        open_kept_export(tmp_path, manifest.export_id, trusted=TRUSTED)
    assert kept_exports(tmp_path, trusted=TRUSTED) == ()


def test_a_row_that_was_changed_with_its_hash_is_refused(tmp_path: Path) -> None:
    manifest = write(tmp_path, OWN)
    forge(tmp_path, manifest, 2)
    with open_export(tmp_path) as export:
        # Without keys nothing tells it from the original.
        assert export.connection.execute("SELECT a FROM items").fetchone() == (2,)
    with pytest.raises(SignatureError, match="does not fit"):
        value_in(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"text": "!", "key_id": "x"}', '{"text": "AAAA"}'])
def test_a_signature_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    manifest = write(tmp_path, OWN)
    (tmp_path / manifest.export_id / "signature.json").write_text(text, encoding="utf-8")
    with pytest.raises(SignatureError):
        value_in(tmp_path)


def test_a_signature_of_another_export_does_not_fit(tmp_path: Path) -> None:
    first, second = write(tmp_path, OWN, 1), write(tmp_path, OWN, 2)
    shutil.copy(tmp_path / first.export_id / "signature.json", tmp_path / second.export_id / "signature.json")
    with pytest.raises(SignatureError, match="does not fit"):
        value_in(tmp_path)


@pytest.mark.parametrize("key", [None, OTHER])
def test_an_equal_export_that_another_has_left_is_written_anew_and_not_just_signed(
    tmp_path: Path, key: Ed25519PrivateKey | None
) -> None:
    left = write(tmp_path, key)
    forge(tmp_path, left, 2)
    pointer = pointer_path(tmp_path).stat().st_ino
    again = write(tmp_path, OWN)
    assert again.export_id == left.export_id
    assert value_in(tmp_path) == 1
    # Whoever follows the pointer must look again.
    assert pointer_path(tmp_path).stat().st_ino != pointer
    standing = pointer_path(tmp_path).stat().st_ino
    assert write(tmp_path, OWN) == again
    assert pointer_path(tmp_path).stat().st_ino == standing
