"""Errors that a person can act on: what was read, what is wrong with it, what to do.

Put here the error types raised at the platform's seams. Keep out errors of a library, and messages without a remedy.
"""

from __future__ import annotations


class PlatformError(Exception):
    """An error with three parts: the source it concerns, the culprit found there, and the remedy.

    Attributes:
        source: what was being read or written (a file, an address, a table).
        culprit: the fact that is wrong, with numbers; never personal data, never a secret.
        remedy: what a person can do next.

    Example:
        >>> import mlops_assets as ma
        >>> raise ma.PlatformError(source="orders.csv", culprit="it ends in row 7.", remedy="Send it again.")
        Traceback (most recent call last):
        mlops_assets.platform.errors.PlatformError: orders.csv: it ends in row 7. Send it again.
    """

    def __init__(self, *, source: str, culprit: str, remedy: str) -> None:
        super().__init__(f"{source}: {culprit} {remedy}")
        self.source = source
        self.culprit = culprit
        self.remedy = remedy


class SettingsError(PlatformError):
    """A setting or secret is missing or wrong."""


class SourceError(PlatformError):
    """A source delivered something that cannot be read whole."""


class SourceUnavailableError(SourceError):
    """A source did not answer, also after the declared retries; trying later may succeed."""


class ContractError(PlatformError):
    """A contract is declared in a way that cannot be enforced."""


class MissingInputError(PlatformError):
    """A step needs an upstream partition that has never been published."""


class LakeError(PlatformError):
    """The lake could not be reached, or refused a publish."""


class CatalogAwayError(LakeError):
    """The catalog of a lake did not answer; trying later may succeed."""


class ArtifactError(PlatformError):
    """A model file or an export does not hold what its record promises."""


class UnexpectedError(PlatformError):
    """Somebody else's code raised an exception, whose text is withheld: it may quote a row.

    Attributes:
        error_id: under which the text is kept.
        frames: where it was raised, ``file:line in function``, the innermost last.
    """

    def __init__(self, *, source: str, culprit: str, remedy: str, error_id: str, frames: tuple[str, ...]) -> None:
        super().__init__(source=source, culprit=culprit, remedy=remedy)
        self.error_id = error_id
        self.frames = frames
