"""What ``bench/ingest.py`` has delivered: a file of voters, a table of orders in PostgreSQL, a paged REST service.

Put here how the made data is written and served. Keep out who reads it. Run as a program, it does either.
"""

from __future__ import annotations

import json
import sys
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import duckdb

PAGE: Final = 1_000
VOTERS: Final = {
    "voter_id": "BIGINT",
    "county": "INTEGER",
    "birth_year": "INTEGER",
    "registered": "DATE",
    **{f"text_{number:02}": "VARCHAR" for number in range(63)},
}
"""As many columns as North Carolina's voter file has; most are short texts, a third is empty."""
ORDERS: Final = {
    "order_id": "BIGINT",
    "customer": "VARCHAR",
    "country": "VARCHAR",
    "amount": "DOUBLE",
    "ordered": "TIMESTAMP",
    "note": "VARCHAR",
}
_WORDS: Final = "['OAK STREET','MAIN STREET','SMITH','JOHNSON','WAKE','UNA','DEM','REP','A','NC','RALEIGH','VERIFIED']"
_ORDERS: Final = """
    SELECT range + 1 AS order_id, 'customer ' || hash(range) % 100000 AS customer,
        ['DE', 'FR', 'NL', 'AT'][CAST(1 + hash(range, 1) % 4 AS BIGINT)] AS country,
        CAST((hash(range, 2) % 1000000) / 100.0 AS DECIMAL(12, 2)) AS amount,
        TIMESTAMP '2024-01-01' + INTERVAL (hash(range, 3) % 30000000) SECOND AS ordered,
        CASE WHEN hash(range, 4) % 3 > 0 THEN 'note ' || hash(range, 5) % 1000 END AS note
    FROM range({rows})
"""


def write_voters(rows: int, file: Path, zipped: Path) -> None:
    """The file of voters, and a zip archive of it."""
    texts = ", ".join(
        f"CASE WHEN hash(range, {number}) % 3 > 0 THEN {_WORDS}[CAST(1 + hash(range, {number}, 1) % 12 AS BIGINT)] "
        f"END AS {name}"
        for number, name in enumerate(list(VOTERS)[4:])
    )
    duckdb.sql(f"""
        COPY (
            SELECT range + 1 AS voter_id, hash(range, 101) % 100 AS county, 1930 + hash(range, 102) % 75 AS birth_year,
                DATE '1980-01-01' + CAST(hash(range, 103) % 15000 AS INT) AS registered, {texts}
            FROM range({rows})
        ) TO '{file}' (HEADER)
    """)
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(file, file.name)


def write_orders(rows: int, file: Path) -> None:
    """Orders as PostgreSQL's COPY reads them."""
    duckdb.sql(f"COPY ({_ORDERS.format(rows=rows)}) TO '{file}' (FORMAT csv, HEADER false)")


def pages(rows: int) -> list[bytes]:
    """The answers of the service, page by page; behind the last one is an empty one."""
    columns = ", ".join(f"{name} := {name}" for name in ORDERS)
    found = duckdb.sql(
        f"SELECT string_agg(CAST(to_json(struct_pack({columns})) AS VARCHAR), ',' ORDER BY order_id) "
        f"FROM ({_ORDERS.format(rows=rows)}) GROUP BY (order_id - 1) // {PAGE} ORDER BY (order_id - 1) // {PAGE}"
    ).fetchall()
    return [f'{{"data":[{page}]}}'.encode() for (page,) in found]


def serve(rows: int) -> None:
    """Serve the pages at a free port, which is told, until the process is ended."""
    answers = pages(rows)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = int(parse_qs(urlsplit(self.path).query).get("page", ["1"])[0])
            body = answers[number - 1] if number <= len(answers) else b'{"data":[]}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    # Whole answers at once: what waits for an acknowledgement of its head costs each page 40 ms.
    Handler.wbufsize = -1
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(json.dumps({"port": server.server_port}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    # Each in a process of its own: what a process starts begins with its memory as peak.
    match sys.argv[1:]:
        case ["voters", rows, file, zipped]:
            write_voters(int(rows), Path(file), Path(zipped))
        case ["orders", rows, file]:
            write_orders(int(rows), Path(file))
        case ["serve", rows]:
            serve(int(rows))
