"""Failures: what Dagster stores and shows of an exception.

Put here what becomes of an exception where it would reach Dagster. Keep out what may be told of it (``withheld``), and
alerts.

Dagster stores an exception with its text, its causes and theirs. Ours alone are written for everybody; of any other
there is the type, the place and an id.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from mlops_assets.platform.errors import CatalogAwayError, PlatformError, SourceUnavailableError, UnexpectedError
from mlops_assets.platform.withheld import withhold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_E = TypeVar("_E", bound=BaseException)


class PartitionsError(PlatformError):
    """Some of the partitions that a step was to make were not published.

    Attributes:
        errors: of the partitions that were not stopped by their checks.
    """

    def __init__(self, *, source: str, culprit: str, remedy: str, errors: Sequence[Exception]) -> None:
        super().__init__(source=source, culprit=culprit, remedy=remedy)
        self.errors = errors


@contextmanager
def told_plainly(source: str, *, owners: Sequence[str] = ()) -> Iterator[None]:
    """Let exceptions out of the block, or the decorated function, as failures that no row can be read from.

    What the function raises on purpose (``Failure``, ``RetryRequested``) and what ends it (an interrupt, an exit)
    passes, without the exceptions that it came from. Retries are as for the exception itself; of errors of the platform
    only a source or a catalog that does not answer is tried again.

    Args:
        source: what is being done, such as the asset.
        owners: whom a failure concerns.

    Raises:
        dg.Failure: anything else was raised.
    """
    try:
        yield
    except dg.RetryRequested as request:
        cause = _origin(request)
        # Dagster tells the cause when no attempt is left.
        raise request from _failure(cause, source, owners) if cause is not None else None
    except BaseException as error:  # noqa: BLE001  an engine's panic is no Exception
        if (end := ending(error)) is not None:
            raise _alone(end) from None
        raise _failure(error, source, owners) from None


def plainly(error: Exception, source: str) -> Exception:
    """The error, if its text is written for everybody, else one that tells its type, place and an id."""
    return error if isinstance(error, PlatformError | dg.Failure) else withhold(error, source=source)


def _is_end(error: BaseException) -> bool:
    """Whether it ends the process or its work, an interrupt or an exit, instead of telling of a fault."""
    if isinstance(error, SystemExit):
        return error.code is None or isinstance(error.code, int)
    return isinstance(error, KeyboardInterrupt | DagsterExecutionInterruptedError | GeneratorExit)


def ending(error: BaseException) -> BaseException | None:
    """The interrupt or exit that the error is, or that an engine has made it of; ``None`` if it tells of a fault."""
    if _is_end(error):
        return error
    interrupts = (KeyboardInterrupt, DagsterExecutionInterruptedError)
    return next((each for each in (error.__cause__, error.__context__) if isinstance(each, interrupts)), None)


def _failure(error: BaseException, source: str, owners: Sequence[str]) -> dg.Failure:
    failure = error if isinstance(error, dg.Failure) else _described(error, source, owners)
    cause = _origin(error) if isinstance(error, dg.Failure | PlatformError) else None
    if cause is not None:
        told = _failure(cause, source, ()).description or ""
        failure.metadata = {**failure.metadata, "cause": dg.MetadataValue.text(told)}
    return _alone(failure)


def _described(error: BaseException, source: str, owners: Sequence[str]) -> dg.Failure:
    told = error if isinstance(error, PlatformError) else withhold(error, source=source)
    metadata = {"source": told.source, "culprit": told.culprit, "remedy": told.remedy}
    if owners:
        metadata["owners"] = ", ".join(owners)
    if isinstance(told, UnexpectedError):
        metadata |= {"error": told.error_id, "frames": "\n".join(told.frames)}
    return dg.Failure(description=str(told), metadata=metadata, allow_retries=_may_be_retried(error))


def _may_be_retried(error: BaseException) -> bool:
    if isinstance(error, PartitionsError):
        return any(_may_be_retried(each) for each in error.errors)
    if isinstance(error, PlatformError):
        return isinstance(error, SourceUnavailableError | CatalogAwayError)
    if isinstance(error, dg.Failure):
        return error.allow_retries
    # As Dagster does with the exception itself.
    return isinstance(error, Exception) and not isinstance(error, dg.DagsterError)


def _origin(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _alone(error: _E) -> _E:
    error.__cause__ = error.__context__ = None
    return error
