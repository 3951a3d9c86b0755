"""Authentication: which principal a request comes from, by token, by client certificate, or by both at once.

Put here how a principal is found. Keep out what it may do (``access``), and how tokens and certificates are verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from litestar.exceptions import ClientException, NotAuthorizedException

from mlops_assets.platform.followed_file import FollowedFile
from mlops_assets.platform.security.tokens import Refusal, TokenError
from mlops_assets.platform.settings import Authentication
from mlops_assets.serving.http.audit import decision_of
from mlops_assets.serving.identity.client_certificates import DeclaredPrincipals, client_certificate, read_principals

if TYPE_CHECKING:
    from pathlib import Path

    from litestar.types import Scope

    from mlops_assets.platform.security.token_verifier import TokenVerifier
    from mlops_assets.platform.security.tokens import Columns, Principal

_REALM: Final = 'Bearer realm="mlops-assets"'
_INVALID: Final = f'{_REALM}, error="invalid_token"'
_REPEATED: Final = f'{_REALM}, error="invalid_request"'


@dataclass
class Authenticator:
    """Finds the principal of a request.

    Attributes:
        verifier: verifies tokens.
        demanded: what every request must come with.
        principals: file that says which certificate is which principal; for certificates alone.
        required_limits: columns of which a declared principal without a limit sees nothing; the verifier has its own.
    """

    verifier: TokenVerifier
    demanded: Authentication = Authentication.TOKEN
    principals: Path | None = None
    required_limits: Columns = frozenset()

    def __post_init__(self) -> None:
        self._declared: FollowedFile[DeclaredPrincipals] | None = (
            None
            if self.principals is None
            else FollowedFile(self.principals, partial(read_principals, required_limits=self.required_limits))
        )

    def principal(self, scope: Scope) -> Principal:
        """Who asks.

        Raises:
            NotAuthorizedException: there is no valid token or certificate; the reason stands in the decision.
            ClientException: the request names two principals: it has two ``Authorization`` headers.
            KeyFileError: nobody can be let in at the moment.
        """
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) > 1:
            # A proxy may judge by the one and the service by the other (RFC 6750, 3.1: invalid_request).
            decision_of(scope).reason = "repeated_authorization"
            raise ClientException(
                detail="A request has one Authorization header.", headers={"WWW-Authenticate": _REPEATED}
            )
        if self.demanded is Authentication.CERTIFICATE:
            return self._by_certificate(scope)
        certificate = client_certificate(scope)
        if self.demanded is Authentication.BOTH and certificate is None:
            raise _refused(scope, "no_certificate", "A client certificate is needed.", _REALM)
        kind, _, token = b"".join(given).decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise _refused(scope, "no_token", "A bearer token is needed.", _REALM)
        thumbprint = None if certificate is None else certificate.thumbprint
        try:
            principal = self.verifier.verify(token.strip(), certificate=thumbprint)
        except TokenError as error:
            raise _refused(scope, str(error.reason), "The bearer token is not valid.", _INVALID) from error
        if self.demanded is Authentication.BOTH and principal.certificate is None:
            raise _refused(scope, str(Refusal.BINDING), "The bearer token is not valid.", _INVALID)
        return principal

    def _by_certificate(self, scope: Scope) -> Principal:
        certificate = client_certificate(scope)
        # RFC 9110 wants a challenge with each 401; no registered scheme stands for a client certificate.
        challenge = 'Certificate realm="mlops-assets"'
        if certificate is None:
            raise _refused(scope, "no_certificate", "A client certificate is needed.", challenge)
        principal = None if self._declared is None else self._declared.content().principal(certificate)
        if principal is None:
            decision_of(scope).certificate = certificate.thumbprint
            raise _refused(scope, "unknown_certificate", "The client certificate stands for nobody.", challenge)
        return principal


def _refused(scope: Scope, reason: str, detail: str, challenge: str) -> NotAuthorizedException:
    decision_of(scope).reason = reason
    return NotAuthorizedException(detail=detail, headers={"WWW-Authenticate": challenge})
