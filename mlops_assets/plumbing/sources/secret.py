"""Secrets that a declared source needs: named in its declaration, read when it is asked.

Put here how a secret is named and found. Keep out what it is used for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import dagster as dg
from pydantic import BaseModel, InstanceOf, model_validator

from mlops_assets.platform.errors import ContractError, SettingsError
from mlops_assets.platform.settings import SECRETS_FOLDER
from mlops_assets.plumbing.sources.hidden import LEAST, Hidden
from mlops_assets.plumbing.sources.variants import AS_IT_STANDS, VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from mlops_assets.platform.settings import Settings


Text = Annotated[InstanceOf[dg.EnvVar] | str, AS_IT_STANDS]
"""An option that is a text, or ``dg.EnvVar("NAME")`` of a variable that holds it; ``text_of`` reads it."""


class Secret(dg.Model, dg.Resolvable):
    """A secret by the name of its file or of its environment variable; its text is in no declaration.

    Attributes:
        file: a file in the folder that ``MLOPS_ASSETS_SECRETS_DIR`` names (``secrets`` in the home folder where that is
            not set), or an absolute path. A line break at its end is not part of it.
        env: an environment variable.

    Example:
        >>> import mlops_assets as ma
        >>> ma.Secret(file="orders_token")
        Secret(file='orders_token', env=None)
    """

    file: str | None = None
    env: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.file is not None and "\0" in self.file:
            raise ContractError(source="Secret", culprit="its file holds a NUL.", remedy="Write the name of a file.")
        if (self.file is None) == (self.env is None):
            raise ContractError(
                source="Secret",
                culprit="it names both a file and a variable, or neither.",
                remedy="Name one place: Secret(file='orders_token') or Secret(env='ORDERS_TOKEN').",
            )
        return self

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel | str) -> Self:
        """From YAML, where a secret itself may stand by mistake: it is not repeated."""
        if isinstance(model, str):
            raise ContractError(
                source="Secret",
                culprit="a text stands where its place is due.",
                remedy="Write {file: orders_token} or {env: ORDERS_TOKEN}, and the secret there.",
            )
        found: Self = super().resolve_from_model(context, model)
        return found

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"secret file {self.file}" if self.env is None else f"variable {self.env}"

    def read(self, settings: Settings) -> str:
        """Its text.

        Raises:
            SettingsError: it is not there, cannot be read, is empty, or too short to be hidden.
        """
        if self.env is not None:
            text, place = os.environ.get(self.env, ""), f"Variable {self.env}"
            if not text:
                raise SettingsError(source=place, culprit="this secret is not set.", remedy="Set it, and start again.")
            return _long_enough(_in_utf8(text, place), place)
        path = _path(str(self.file), settings)
        try:
            text = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                source=f"Secret file {path}",
                culprit=f"it cannot be read ({getattr(error, 'strerror', None) or type(error).__name__}).",
                remedy=f"Put the secret there; {SECRETS_FOLDER} names another folder.",
            ) from None
        if not text:
            raise SettingsError(source=f"Secret file {path}", culprit="it is empty.", remedy="Put the secret there.")
        return _long_enough(text, f"Secret file {path}")


def hidden_of(declared: object, settings: Settings) -> Hidden:
    """All secrets that a declaration names, however deep; one that is not there is told by who needs it."""
    hidden = Hidden()
    for secret in _secrets_in(declared):
        with suppress(SettingsError):
            hidden.add(secret.read(settings), secret.name)
    return hidden


def _secrets_in(declared: object) -> Iterator[Secret]:
    if isinstance(declared, Secret):
        yield declared
    elif isinstance(declared, BaseModel):
        for name in type(declared).model_fields:
            yield from _secrets_in(getattr(declared, name))
    elif isinstance(declared, Mapping):
        for each in declared.values():
            yield from _secrets_in(each)
    elif isinstance(declared, list | tuple):
        for each in declared:
            yield from _secrets_in(each)


def secret_path(file: str, settings: Settings) -> Path:
    """Where the file of a secret lies that a library reads itself, such as a certificate's key.

    Args:
        file: its name as in ``Secret.file``.
        settings: the operator's.

    Raises:
        SettingsError: it is not there.
    """
    path = _path(file, settings)
    if not path.is_file():
        raise SettingsError(
            source=f"Secret file {path}",
            culprit="it is not there.",
            remedy=f"Put it there; {SECRETS_FOLDER} names another folder.",
        )
    return path


def _long_enough(text: str, place: str) -> str:
    if len(text) < LEAST:
        raise SettingsError(
            source=place,
            culprit=f"this secret has fewer than {LEAST} characters: it could not be hidden in messages.",
            remedy="Give the account a longer one.",
        )
    return text


def _path(file: str, settings: Settings) -> Path:
    return Path(os.environ.get(SECRETS_FOLDER) or settings.home / "secrets") / file


def text_of(value: str | dg.EnvVar, option: str) -> str:
    """A text that may be named by its environment variable, whole or in a part.

    Args:
        value: the text, in which ``{{ env.NAME }}`` stands for a variable, or ``dg.EnvVar("NAME")``.
        option: which option it is, for messages.

    Raises:
        SettingsError: the variable is not set.
    """
    if isinstance(value, dg.EnvVar):
        return _variable(value.env_var_name, option)
    return VARIABLE.sub(lambda found: _variable(found[1], option), value)


def _variable(name: str, option: str) -> str:
    text = os.environ.get(name, "")
    if not text:
        raise SettingsError(
            source=f"Variable {name}",
            culprit=f"it is not set, and gives the {option} of a source.",
            remedy="Set it, and start again.",
        )
    return _in_utf8(text, f"Variable {name}")


def _in_utf8(text: str, place: str) -> str:
    """The text of a variable, which may hold any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingsError(
            source=place, culprit="it is no text in UTF-8.", remedy="Set it anew, and start again."
        ) from None
    return text
