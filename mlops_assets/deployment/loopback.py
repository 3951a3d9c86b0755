"""A certificate for loopback: what a service on one machine speaks TLS with before anybody gave it a certificate.

Put here making and renewing it. Keep out certificates of a deployment (``secrets``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.deployment.certificates import Authority, Purpose, is_due, is_pair
from mlops_assets.platform.durable_files import replace_durably
from mlops_assets.platform.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

NAMES: Final = ("localhost", "127.0.0.1", "::1")
"""What the certificate is valid for."""

AUTHORITY: Final = "authority.crt"
"""Name of the file that clients trust."""


def loopback_certificate(folder: Path) -> tuple[Path, Path]:
    """The certificate and its key in that folder; made when missing or about to end.

    Its authority signs nothing else, since the authority's key is thrown away: a renewal makes a new one, in
    ``authority.crt``.

    Args:
        folder: where the files are; made when missing.

    Returns:
        The files of certificate and key.

    Raises:
        SettingsError: the folder cannot be written.
    """
    certificate, key = folder / "server.crt", folder / "server.key"
    try:
        if certificate.exists() and key.exists():
            pem = certificate.read_bytes()
            # Whoever is killed between two files leaves a key of one pair and a certificate of another.
            if is_pair(pem, key.read_bytes()) and not is_due(pem):
                return certificate, key
        folder.mkdir(parents=True, exist_ok=True)
        authority = Authority.create("mlops-assets loopback")
        issued = authority.issue(NAMES, Purpose.SERVER)
        replace_durably(folder / AUTHORITY, authority.certificate_pem)
        replace_durably(key, issued.key_pem, mode=0o600)
        replace_durably(certificate, issued.certificate_pem)
    except OSError as error:
        raise SettingsError(
            source=str(folder),
            culprit=f"the service's certificate cannot be written there ({error.strerror}).",
            remedy="Make the home folder writable, or set MLOPS_ASSETS_SERVICE__TLS_CERTIFICATE and __TLS_KEY.",
        ) from error
    return certificate, key
