"""SQL databases as they are declared: where each is, and who asks.

Put here what a declaration says of a database. Keep out how one is asked (``postgres``, ``mysql``,
``sqlite``) and for what (``sql``).
"""

from __future__ import annotations

from typing import Annotated, Literal

import dagster as dg
import psycopg2
from psycopg2.extensions import parse_dsn
from pydantic import model_validator

from mlops_assets.platform.errors import ContractError
from mlops_assets.plumbing.sources.secret import Secret, Text
from mlops_assets.plumbing.sources.variants import VARIABLE, at_least, one_of


class Sqlite(dg.Model, dg.Resolvable):
    """A SQLite file, which is never written.

    Attributes:
        type: ``sqlite``.
        path: the file.

    Example:
        >>> import mlops_assets as ma
        >>> database = ma.Sqlite(path="shop.sqlite")
    """

    type: Literal["sqlite"] = "sqlite"
    path: Text


class Postgres(dg.Model, dg.Resolvable):
    """A PostgreSQL database.

    Attributes:
        type: ``postgres``.
        dsn: libpq connection string without the password: ``host=db dbname=shop user=reader sslmode=verify-full``. It
            must say ``sslmode`` unless the server is on this machine.
        password: of the account; libpq's own ways (``pgpass``, peer, certificates) without one.

    Example:
        >>> import mlops_assets as ma
        >>> dsn = "host=db dbname=shop user=reader sslmode=verify-full sslrootcert=/etc/ssl/db.pem"
        >>> database = ma.Postgres(dsn=dsn, password=ma.Secret(file="shop_password"))
    """

    type: Literal["postgres"] = "postgres"
    dsn: Text
    password: Secret | None = None

    @model_validator(mode="after")
    def _no_password_in_it(self) -> Postgres:
        # What a variable gives is looked at when it is filled in.
        if not isinstance(self.dsn, dg.EnvVar) and not VARIABLE.search(self.dsn) and (culprit := fault_of(self.dsn)):
            raise ContractError(source="Postgres(dsn=...)", culprit=culprit, remedy=DSN_REMEDY)
        return self


DSN_REMEDY = "Write 'host=db port=5432 dbname=shop user=reader', and name the password's place: Secret(file='shop')."


def fault_of(dsn: str) -> str | None:
    """What is wrong with a connection string, which is not repeated: it may hold a password."""
    try:
        parts = parse_dsn(dsn)
    except psycopg2.Error:
        return "this is no libpq connection string."
    return "it holds a password." if "password" in parts else None


class MySql(dg.Model, dg.Resolvable):
    """A database of a MySQL or MariaDB server.

    Attributes:
        type: ``mysql``.
        host: the server.
        port: likewise.
        database: its name.
        user: the account.
        password: of the account.
        ca: file of the certificates that the server's must follow from; it must be for ``host``. Needed unless the
            server is on this machine.
        verify: ``False`` lets a server of another machine prove nothing.

    Example:
        >>> import mlops_assets as ma
        >>> password = ma.Secret(file="shop_password")
        >>> database = ma.MySql(host="db", database="shop", user="reader", password=password, ca="/etc/ssl/db.pem")
    """

    type: Literal["mysql"] = "mysql"
    host: Text
    port: Annotated[int, at_least(1, most=65_535)] = 3306
    database: Text
    user: Text
    password: Secret | None = None
    ca: str | None = None
    verify: bool = True


Database = Annotated[Sqlite | Postgres | MySql, one_of(Sqlite, Postgres, MySql)]
"""Any of them; in YAML ``type`` says which."""
