"""Revocations: single tokens and keys that are refused although they verify.

Put here the file that lists them. Keep out keys that are simply removed from a key file (``token_keys``).
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.durable_files import replace_durably, taking_turns
from mlops_assets.platform.followed_file import FollowedFile
from mlops_assets.platform.token_keys import KeyFileError

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


NOTHING: Final = Revoked()


class RevocationFile:
    """The list of revocations, followed within a second."""

    def __init__(self, path: Path) -> None:
        self._file = FollowedFile(path, self._read)
        self._existed = False

    def revoked(self) -> Revoked:
        """What is revoked now; nothing while there never was a file.

        Raises:
            KeyFileError: the file is damaged, or it was there and is gone: what it revoked is not known any more.
        """
        return self._file.content()

    def _read(self, path: Path) -> Revoked:
        if not path.exists():
            if self._existed:
                raise KeyFileError(
                    source=str(path),
                    culprit="the list of revocations is gone.",
                    remedy="Put it back, or restart the service if nothing in it matters any more.",
                )
            return NOTHING
        revoked = read_revoked(path)
        self._existed = True
        return revoked


def read_revoked(path: Path) -> Revoked:
    """What the file revokes; nothing when there is none.

    Raises:
        KeyFileError: it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
        tokens = {str(token): float(expires) for token, expires in content["tokens"].items()}
        return Revoked(tokens, frozenset(str(key) for key in content["keys"]))
    except FileNotFoundError:
        return NOTHING
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyFileError(
            source=str(path),
            culprit=f"it cannot be read as a list of revocations ({type(error).__name__}).",
            remedy="Restore it from a copy; as long as it is damaged nobody is let in.",
        ) from error


def revoke_token(path: Path, token_id: str, *, expires: float) -> None:
    """Refuse the token of that id from now on. Tokens whose time is over leave the list.

    Args:
        path: the list; made when missing.
        token_id: the token's ``jti``.
        expires: when the token expires, seconds since 1970; its latest possible end when not known.

    Raises:
        KeyFileError: the list is damaged or cannot be written.
    """
    # Clocks differ by less than a day.
    ended = time.time() - 86_400
    with _changing(path) as revoked:
        still = {token: end for token, end in revoked.tokens.items() if end > ended}
        _write(path, Revoked({**still, token_id: expires}, revoked.key_ids))


def revoke_key(path: Path, key_id: str) -> None:
    """Refuse every token that the key signed, wherever the key comes from.

    Raises:
        KeyFileError: the list is damaged or cannot be written.
    """
    with _changing(path) as revoked:
        _write(path, Revoked(revoked.tokens, revoked.key_ids | {key_id}))


@contextmanager
def _changing(path: Path) -> Iterator[Revoked]:
    """What the list says, while nobody else changes it: of two revocations at once none may be lost."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with taking_turns(path.parent):
            yield read_revoked(path)
    except OSError as error:
        raise KeyFileError(
            source=str(path),
            culprit=f"it cannot be written ({type(error).__name__}).",
            remedy="Run as the owner of the folder, and leave room on its disk.",
        ) from error


def _write(path: Path, revoked: Revoked) -> None:
    content = {"tokens": dict(revoked.tokens), "keys": sorted(revoked.key_ids)}
    replace_durably(path, json.dumps(content, indent=2).encode())
