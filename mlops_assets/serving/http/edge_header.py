"""The client certificate that the edge verified, and how it reaches the application.

Put here the header that the edge sets. Keep out what the certificate stands for (``identity.client_certificates``), and
the edge's own configuration (``edge``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from litestar.types import HTTPScope

HEADER: Final = "X-Client-Certificate"
"""The edge always sets it itself, to nothing where there is no certificate, so a client's own never gets through."""
_NAME: Final = HEADER.lower().encode("ascii")


def take_certificate(scope: HTTPScope) -> None:
    """Put the certificate that the edge verified where ASGI's TLS extension has it; of none or several, none counts.

    To be called only where nobody but the edge can connect, and where it is set up to verify client certificates.
    """
    given = [value for name, value in scope["headers"] if name == _NAME]
    if len(given) == 1:
        tls: dict[object, object] = {"client_cert_chain": (_pem(given[0]),), "client_cert_error": None}
        scope["extensions"] = {**(scope.get("extensions") or {}), "tls": tls}


@lru_cache(maxsize=1024)
def _pem(escaped: bytes) -> str:
    return unquote(escaped.decode("latin-1"))
