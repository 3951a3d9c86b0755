"""dlt's ways that its documentation calls the fastest, run in its own environment by ``bench/ingest.py``.

Arrow tables of text files (by pyarrow) and of a database (by connectorx) are passed on as Parquet to DuckDB; pages of a
REST service go through its own client.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

target = Path(sys.argv[2])
os.environ.update(DLT_DATA_DIR=str(target / "dlt"), RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR")

import dlt  # noqa: E402  it reads the environment
import duckdb  # noqa: E402


def resource(kind: str, said: dict[str, Any]) -> Any:  # noqa: ANN401  of each kind
    """What is loaded."""
    if kind == "table":
        from dlt.sources.sql_database import sql_table  # noqa: PLC0415

        return sql_table(credentials=said["address"], table="orders", backend="connectorx")
    if kind == "rest":
        from dlt.sources.helpers.rest_client import RESTClient  # noqa: PLC0415
        from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator  # noqa: PLC0415

        base, _, path = said["url"].rpartition("/")
        client = RESTClient(
            base_url=base, paginator=PageNumberPaginator(base_page=1, total_path=None), data_selector="data"
        )
        return dlt.resource(lambda: client.paginate(path), name="orders")

    def batches() -> Iterator[Any]:
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import csv  # noqa: PLC0415

        types = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "DATE": pa.date32(), "VARCHAR": pa.string()}
        options = csv.ConvertOptions(
            column_types={name: types[kind] for name, kind in said["columns"].items()},
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        size = csv.ReadOptions(block_size=2**25)
        if kind == "file":
            with csv.open_csv(said["file"], convert_options=options, read_options=size) as reader:
                for batch in reader:
                    yield pa.Table.from_batches([batch])
            return
        with (
            zipfile.ZipFile(said["zipped"]) as archive,
            archive.open(archive.namelist()[0]) as member,
            csv.open_csv(pa.PythonFile(member), convert_options=options, read_options=size) as reader,
        ):
            for batch in reader:
                yield pa.Table.from_batches([batch])

    return dlt.resource(batches, name="voters")


def main() -> None:
    """Load, and print what is in the table."""
    kind, said = sys.argv[1], json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
    database = target / "dlt.duckdb"
    pipeline = dlt.pipeline("ingest", destination=dlt.destinations.duckdb(str(database)), dataset_name="raw")
    pipeline.run(resource(kind, said), table_name="found", write_disposition="replace", loader_file_format="parquet")
    with duckdb.connect(str(database)) as connection:
        [(rows, keys)] = connection.execute(f"SELECT count(*), sum({said['key'][kind]}) FROM raw.found").fetchall()
    print(json.dumps({"rows": int(rows), "keys": int(keys)}))


if __name__ == "__main__":
    main()
