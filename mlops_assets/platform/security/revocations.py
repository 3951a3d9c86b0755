"""Revocations: single tokens and keys that are refused although they verify.

Put here the file that lists them. Keep out keys that are simply removed from a key file (``token_keys``).
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.platform.durable_files import make_folder_durably, replace_durably, taking_turns
from mlops_assets.platform.followed_file import FollowedFile
from mlops_assets.platform.security.token_keys import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Revoked:
    """What is refused.

    Attributes:
        tokens: ids (``jti``) of tokens, each with the time (seconds since 1970) after which it has expired anyway.
        key_ids: ids of keys; no token that they signed is accepted.
    """

    tokens: Mapping[str, float] = field(default_factory=dict)
    key_ids: frozenset[str] = frozenset()


class RevocationFile:
    """The list of revocations, followed within a second.

    The list must be there, an empty one too: a process that is started after the list was lost cannot tell that from a
    list that nobody ever needed, and would let in what was revoked.
    """

    def __init__(self, path: Path) -> None:
        self._file = FollowedFile(path, read_revoked)

    def revoked(self) -> Revoked:
        """What is revoked now.

        Raises:
            KeyFileError: the file is damaged or missing: what is revoked is not known.
        """
        return self._file.content()


def begin_revocations(path: Path) -> None:
    """Make an empty list where there is none; one that is there stays as it is.

    Raises:
        KeyFileError: it cannot be written.
    """
    with _locked(path):
        if not path.exists():
            _write(path, Revoked())


def read_revoked(path: Path) -> Revoked:
    """What the file revokes.

    Raises:
        KeyFileError: it is missing, or cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
        tokens = {str(token): float(expires) for token, expires in content["tokens"].items()}
        return Revoked(tokens, frozenset(str(key) for key in content["keys"]))
    except FileNotFoundError:
        raise KeyFileError(
            source=str(path),
            culprit="there is no list of revocations.",
            remedy="Restore it from a copy; where nothing was ever revoked, run mlops-assets keys begin-revocations.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise KeyFileError(
            source=str(path),
            culprit=f"it cannot be read as a list of revocations ({type(error).__name__}).",
            remedy="Restore it from a copy; as long as it is damaged nobody is let in.",
        ) from error


def revoke_token(path: Path, token_id: str, *, expires: float) -> None:
    """Refuse the token of that id from now on. Tokens whose time is over leave the list.

    A token that is on the list already keeps the later of both ends: a second revocation takes nothing back.

    Args:
        path: the list.
        token_id: the token's ``jti``.
        expires: when the token expires, seconds since 1970. Only a verified token says so; of any other it is the
            latest possible end, since the token would be let in again after an earlier one.

    Raises:
        KeyFileError: the list is missing or damaged, or cannot be written.
    """
    # Clocks differ by less than a day.
    ended = time.time() - 86_400
    with _changing(path) as revoked:
        still = {token: end for token, end in revoked.tokens.items() if end > ended}
        _write(path, Revoked({**still, token_id: max(expires, still.get(token_id, expires))}, revoked.key_ids))


def revoke_key(path: Path, key_id: str) -> None:
    """Refuse every token that the key signed, wherever the key comes from.

    Raises:
        KeyFileError: the list is missing or damaged, or cannot be written.
    """
    with _changing(path) as revoked:
        _write(path, Revoked(revoked.tokens, revoked.key_ids | {key_id}))


@contextmanager
def _changing(path: Path) -> Iterator[Revoked]:
    """What the list says, while nobody else changes it: of two revocations at once none may be lost."""
    # Says what lacks where there is no folder to lock. A lost list must not be begun anew by the next revocation.
    read_revoked(path)
    with _locked(path):
        yield read_revoked(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        make_folder_durably(path.parent)
        with taking_turns(path.parent):
            yield
    except OSError as error:
        raise KeyFileError(
            source=str(path),
            culprit=f"it cannot be written ({type(error).__name__}).",
            remedy="Run as the owner of the folder, and leave room on its disk.",
        ) from error


def _write(path: Path, revoked: Revoked) -> None:
    content = {"tokens": dict(revoked.tokens), "keys": sorted(revoked.key_ids)}
    replace_durably(path, json.dumps(content, indent=2).encode())
