"""The ways of ``bench/ingest.py`` in this project's own environment; prints the rows that are in the table afterwards.

``bare`` is DuckDB by hand, typed by its own reader into one Parquet file; a table of its own format takes longer.
``rows`` is a declared source until its rows are Parquet in the contract's types, and ``ours`` the whole asset: read,
audited with its content hash, published. Both sides have the same memory limit.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

import duckdb
from ingest_sources import ORDERS, PAGE, VOTERS


def bare(kind: str, said: dict[str, Any], target: Path) -> tuple[int, int]:
    """By hand."""
    parquet = target / "bare.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{said['memory']}'")
        if kind == "table":
            from mlops_assets.platform.lake.session import extension_file  # noqa: PLC0415

            connection.execute(f"LOAD '{extension_file('postgres_scanner')}'")
            connection.execute(f"ATTACH '{said['dsn']} password={said['password']}' AS pg (TYPE postgres, READ_ONLY)")
            connection.execute("CREATE VIEW found AS FROM pg.orders")
        elif kind == "rest":
            import httpx  # noqa: PLC0415

            file = target / "pages.json"
            with file.open("wb") as written, httpx.Client() as client:
                number = 1
                while len(body := client.get(said["url"], params={"page": number}).content) > PAGE:
                    written.write(body + b"\n")
                    number += 1
            columns = ", ".join(f"{name} {kind}" for name, kind in ORDERS.items())
            connection.execute(
                f"CREATE VIEW found AS SELECT unnest(data, recursive := true) FROM read_json('{file}', "
                f"columns = {{data: 'STRUCT({columns})[]'}}, maximum_object_size = {2**26})"
            )
        else:
            file = Path(said["file"])
            if kind == "zipped":
                with zipfile.ZipFile(said["zipped"]) as archive, archive.open(file.name) as member:
                    file = target / "unzipped.csv"
                    with file.open("wb") as written:
                        shutil.copyfileobj(member, written, 2**20)
            connection.execute(
                f"CREATE VIEW found AS FROM read_csv('{file}', header = true, auto_detect = false, "
                f"columns = {VOTERS}, delim = ',', quote = '\"', escape = '\"')"
            )
        key = "order_id" if kind in {"table", "rest"} else "voter_id"
        connection.execute(f"COPY found TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)")
        return connection.sql(f"SELECT count(*), sum({key}) FROM '{parquet}'").fetchall()[0]


def declared(kind: str, said: dict[str, Any]) -> Any:  # noqa: ANN401  of each kind
    """The source."""
    import ibis.expr.datatypes as dt  # noqa: PLC0415
    import pandera.ibis as pa  # noqa: PLC0415

    import mlops_assets as ma  # noqa: PLC0415

    types: Final = {
        "BIGINT": dt.int64,
        "INTEGER": dt.int32,
        "DATE": dt.date,
        "DOUBLE": dt.float64,
        "TIMESTAMP": dt.timestamp,
        "VARCHAR": dt.string,
    }
    columns = ORDERS if kind in {"table", "rest"} else VOTERS
    key = next(iter(columns))
    contract = ma.Contract(
        layer="raw",
        table="found",
        model=pa.DataFrameSchema(
            {name: pa.Column(types[kind], nullable=types[kind].is_string()) for name, kind in columns.items()},
            unique=[key],
        ),
        lake=ma.Lake("bench"),
        description="What was delivered.",
        owners=["team:bench"],
    )
    if kind == "table":
        database = ma.Postgres(dsn=said["dsn"], password=ma.Secret(env="BENCH_PASSWORD"))
        return ma.SqlSource(contract=contract, database=database, table="orders", retries=0)
    if kind == "rest":
        return ma.RestSource(
            contract=contract, url=said["url"], rows="data", paginate=ma.PageNumber(), most_pages=10**6, retries=0
        )
    file = Path(said[kind])
    return ma.FileSource(contract=contract, path=str(file.parent), file=file.name, whole=ma.Quiet(seconds=0), retries=0)


def rows(kind: str, said: dict[str, Any]) -> tuple[int, int]:
    """A declared source, until its rows are Parquet in the contract's types."""
    from mlops_assets.platform.assets.step import Partition  # noqa: PLC0415
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415
    from mlops_assets.platform.settings import Settings  # noqa: PLC0415
    from mlops_assets.plumbing.sources.delivered import Request  # noqa: PLC0415
    from mlops_assets.plumbing.sources.layout import Layout, conformed  # noqa: PLC0415

    source = declared(kind, said)
    with LakeSession(Settings.load()) as session:
        request = Request(
            contract=source.contract,
            partition=Partition(None, {}),
            connection=session.connection,
            scratch=session.scratch / "delivered",
            settings=session.settings,
            raw=session.scratch / "raw",
        )
        request.scratch.mkdir()
        layout = Layout(source=kind, columns={}, formats={}, evolve=False)
        done = conformed(source.read(request), request, layout, session.scratch / "conformed.parquet")
        key = next(iter(source.contract.schema.columns))
        return session.connection.sql(f"SELECT count(*), sum({key}) FROM '{done.file}'").fetchall()[0]


def ours(kind: str, said: dict[str, Any]) -> tuple[int, int]:
    """The whole asset, published."""
    import dagster as dg  # noqa: PLC0415

    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415
    from mlops_assets.platform.lake.tables import current_table  # noqa: PLC0415
    from mlops_assets.platform.settings import Settings  # noqa: PLC0415

    source = declared(kind, said)
    with LakeSession(Settings.load()) as session:
        if not dg.materialize([source.asset()]).success:
            raise SystemExit(1)
        key = next(iter(source.contract.schema.columns))
        table = current_table(session, source.contract)
        [found] = session.rows(table.aggregate(n=table.count(), total=table[key].sum()))
        return int(found[0]), int(found[1])


def main() -> None:
    """Run the way that the arguments name."""
    way, kind, target = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    said = json.loads(Path(sys.argv[4]).read_text(encoding="utf-8"))
    logging.disable(logging.INFO)
    os.environ.update(
        MLOPS_ASSETS_HOME=str(target / "home"),
        MLOPS_ASSETS_ENGINE__MEMORY=said["memory"],
        BENCH_PASSWORD=said["password"],
    )
    found = bare(kind, said, target) if way == "bare" else {"rows": rows, "ours": ours}[way](kind, said)
    print(json.dumps({"rows": int(found[0]), "keys": int(found[1])}))


if __name__ == "__main__":
    main()
