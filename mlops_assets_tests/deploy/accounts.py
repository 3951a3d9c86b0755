"""The storage account of the deployment's PostgreSQL, as its readers reach it.

Put here what signs in to PostgreSQL in tests. Keep out assertions.
"""

from __future__ import annotations

from typing import Final

from mlops_assets_tests.deploy.stack import PROJECT, in_container

STORAGE: Final = (f"{PROJECT}_secrets-storage:/s:ro", f"{PROJECT}_secrets-proxy:/other:ro")
_CONNECT: Final = """
import psycopg2, sys
try:
    connection = psycopg2.connect(sys.argv[1])
except psycopg2.OperationalError as error:
    print(error)
else:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, ssl, version "
                       "FROM pg_roles, pg_stat_ssl WHERE rolname = current_user AND pid = pg_backend_pid()")
        print(*cursor.fetchone())
"""
RIGHT: Final = (
    "host=postgres dbname=storage user=storage passfile=/s/pgpass sslmode=verify-full sslrootcert=/s/services.crt"
)


def connected(dsn: str) -> str:
    """What PostgreSQL says to somebody who connects like that."""
    return in_container(_CONNECT, network=f"{PROJECT}_runs", volumes=STORAGE, arguments=[dsn])


def password() -> str:
    """The account's password now."""
    return in_container("print(open('/s/pgpass').read().strip().split(':')[-1])", volumes=STORAGE).strip()
