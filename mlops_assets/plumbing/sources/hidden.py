"""What messages and logs may show of a source: addresses without their values, texts without any secret.

Put here what is hidden and how. Keep out where secrets come from (``secret``) and what they are sent as
(``http.access``).
"""

from __future__ import annotations

import base64
import json
import logging
import re
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN: Final = "[hidden]"
LEAST: Final = 4
"""Characters of the shortest secret: hiding less would hide parts of other words, and so tell it."""

_ADDRESS: Final = re.compile(r"(https?:)//[^\s\"'<>]*", re.IGNORECASE)
_VALUE: Final = re.compile(r"([?&][^\s=&?#\"'<>]*=)[^\s&#\"'<>]*")
_NAMELESS: Final = re.compile(r"[?&][^\s=&?#\"'<>]+(?=[&#]|$)")
_ACCOUNT: Final = re.compile(r"//[^/?#\s\"'<>]*@")
_FRAGMENT: Final = re.compile(r"#.*$", re.DOTALL)
_IN_USE: Final[weakref.WeakSet[Hidden]] = weakref.WeakSet()
_LIBRARY_LOGGERS: Final = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.proxy",
    "httpcore.socks",
    "urllib3.connectionpool",
)


def addresses(text: str) -> str:
    """The text with the account and the query's values of every address taken out; the names stay.

    Signatures, keys and persons' numbers are all values of a query, and nothing tells them from harmless ones.
    """
    return _VALUE.sub(rf"\1{HIDDEN}", _ADDRESS.sub(lambda found: _address(found.group()), text))


def _address(text: str) -> str:
    text = _FRAGMENT.sub("", _ACCOUNT.sub("//", text))
    return _NAMELESS.sub(f"?{HIDDEN}", _VALUE.sub(rf"\1{HIDDEN}", text))


class Hidden:
    """The secrets in use. What shows a text from outside shows it through ``said``."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        _IN_USE.add(self)
        for name in _LIBRARY_LOGGERS:
            logging.getLogger(name).addFilter(_FILTER)

    def add(self, text: str, name: str) -> None:
        """Hide a secret from now on, also as addresses, hosts, JSON and HTTP's Basic scheme spell it.

        Of one that has several lines, each is hidden.

        Args:
            text: the secret.
            name: what stands in its place.
        """
        lines = (line.strip() for line in text.splitlines())
        for part in (text, *(line for line in lines if len(line) >= LEAST)):
            escaped = (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1])
            spelt = (part, part.lower(), quote(part, safe=""), quote(part), quote_plus(part), *escaped)
            for form in (*spelt, base64.b64encode(part.encode()).decode()):
                if form:
                    self._names[form] = f"[{name.replace(' ', '_')}]"

    def said(self, text: str) -> str:
        """The text without the secrets, and with addresses as ``addresses`` shows them."""
        return addresses(self.secrets(text))

    def secrets(self, text: str) -> str:
        """The text without the secrets."""
        for form in sorted(self._names, key=len, reverse=True):
            text = text.replace(form, self._names[form])
        return text

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Let no error that is raised within the block show a secret."""
        try:
            yield
        except PlatformError as error:
            error.source, error.culprit, error.remedy = map(self.said, (error.source, error.culprit, error.remedy))
            error.args = (f"{error.source}: {error.culprit} {error.remedy}",)
            raise


class _Filter(logging.Filter):
    """Hides secrets in what the HTTP library logs: it logs every address in full."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        for hidden in tuple(_IN_USE):
            said = hidden.secrets(said)
        record.msg, record.args = addresses(said), ()
        return True


_FILTER: Final = _Filter()
