"""Access: what a question carries so that a source answers it, read from the secrets when it is asked.

Put here what the transport is told of an account. Keep out how it is declared (``auth``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.plumbing.sources.hidden import Hidden

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


@dataclass(kw_only=True)
class Access:
    """What is sent along with every question to a source.

    Attributes:
        name: how messages name the secret that was sent; empty where none was.
        hidden: the texts that no message may show.
        fixed: headers.
        query: parameters of the query.
        context: whom TLS trusts and who we are there; whom the system trusts, and nobody, where it is not given.
    """

    name: str = ""
    hidden: Hidden = field(default_factory=Hidden)
    fixed: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    context: ssl.SSLContext | None = None

    def headers(self) -> Mapping[str, str]:
        """The headers that sign the next question.

        Raises:
            SourceError: there is no token to be had.
        """
        return self.fixed

    def renew(self) -> bool:
        """Ask for another token, since the source does not accept this one; whether there is another to be had."""
        return False
