"""The ways to audit a file of orders, each run in a process of its own by ``bench/audit.py``; prints one JSON line.

Put here what each way does. Keep out the orders (``audit_orders``) and ways that need an environment of their own
(``peers``). Each is given the file and gives its counts by rule; the clock starts when its libraries are imported and
its engine is open, and stops when all counts are there.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audit_orders import COUNTRIES, EMAIL, RULES, SKU, STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Counts = dict[str, int]
NULLS: Final = ("order_id", "customer", "country", "status", "ordered_at", "amount")


def by_hand(path: Path, *, hashed: bool = True) -> Callable[[], tuple[Counts, str]]:
    """One DuckDB query: the same counts, and the content hash by its rule."""
    import duckdb  # noqa: PLC0415  the other ways must not pay for it

    texts = ["customer", "country", "status", "sku", "email"]
    values = [
        "order_id::VARCHAR",
        *texts,
        "quantity::VARCHAR",
        "(amount + 0.0)::VARCHAR",
        "(discount + 0.0)::VARCHAR",
        "ordered_at::VARCHAR",
        "shipped_at::VARCHAR",
    ]
    joined = ", ".join(f"coalesce({value}, chr(30))" for value in values)
    measured = ", ".join(f"coalesce(length({value})::VARCHAR || ':' || {value}, '~')" for value in values)
    found = ", ".join(texts)
    total = f"""sum(md5_number_lower(
               CASE WHEN contains(concat({found}), chr(31)) OR contains(concat({found}), chr(30))
                    THEN concat_ws(chr(31) || chr(31), '', {measured}) ELSE concat_ws(chr(31), {joined}) END))"""
    query = f"""
    SELECT count(*), {total if hashed else 0},
           {", ".join(f"count(*) - count({column})" for column in NULLS)},
           count(*) FILTER (NOT length(customer) BETWEEN 6 AND 12),
           count(*) FILTER (country NOT IN {COUNTRIES}),
           count(*) FILTER (status NOT IN {STATES}),
           count(*) FILTER (NOT regexp_matches(sku, '{SKU}')),
           count(*) FILTER (NOT regexp_matches(email, '{EMAIL}')),
           count(*) FILTER (NOT amount BETWEEN 0 AND 100000),
           count(*) FILTER (NOT quantity BETWEEN 1 AND 100),
           count(*) FILTER (NOT discount BETWEEN 0 AND 1),
           count(*) FILTER (shipped_at < ordered_at),
           count(*) - count(DISTINCT order_id),
           count(*) FILTER (NOT isfinite(amount)), count(*) FILTER (NOT isfinite(discount)),
           count(*) FILTER (NOT isfinite(ordered_at)), count(*) FILTER (NOT isfinite(shipped_at))
    FROM read_parquet('{path}')
    """
    connection = duckdb.connect()

    def run() -> tuple[Counts, str]:
        [(rows, total, *counts)] = connection.execute(query).fetchall()
        return dict(zip(RULES, counts, strict=False)), f"v1:{rows}:{total:x}"

    return run


def by_hand_without_hash(path: Path) -> Callable[[], tuple[Counts, str]]:
    """The same without the hash, as pandera and its peers do."""
    return by_hand(path, hashed=False)


def ours(path: Path) -> Callable[[], tuple[Counts, str]]:
    """The platform's audit of the file as a staged one, with its samples of failing rows."""
    from audit_contract import ORDERS  # noqa: PLC0415

    from mlops_assets.platform.audit.audit import Candidate, audit  # noqa: PLC0415
    from mlops_assets.platform.contracts.volume import Reference  # noqa: PLC0415
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415
    from mlops_assets.platform.lake.stage import StagedFile  # noqa: PLC0415
    from mlops_assets.platform.settings import Settings  # noqa: PLC0415

    session = LakeSession(Settings(home=path.parent))
    session.connection.execute("SELECT 1")
    candidate = Candidate(file=StagedFile(path, path.stat().st_size), partition={}, reference=Reference())
    words = {
        ("customer", "str_length(6, 12)"): "customer has 6 to 12 signs",
        ("country", f"isin({COUNTRIES})"): "country is one of ten",
        ("status", f"isin({STATES})"): "status is one of four",
        ("sku", f"str_matches('{SKU}')"): "sku matches a pattern",
        ("email", f"str_matches('{EMAIL}')"): "email matches a pattern",
        ("amount", "in_range(0, 100000)"): "amount is from 0 to 100,000",
        ("quantity", "in_range(1, 100)"): "quantity is from 1 to 100",
        ("discount", "in_range(0, 1)"): "discount is from 0 to 1",
        (None, "shipped_after_ordered"): "shipped_at is not before ordered_at",
        ("order_id", "no two rows have the same key"): "order_id is unique",
        **{(column, "is not null"): f"{column} is not null" for column in NULLS},
    }

    def run() -> tuple[Counts, str]:
        (found,) = audit(session, ORDERS, [candidate])
        counts = {
            words[broken.column, broken.text]: broken.rows for outcome in found.outcomes for broken in outcome.broken
        }
        return dict.fromkeys(RULES, 0) | counts, str(found.content_hash)

    return run


def _checks(check: Any) -> dict[str, list[Any]]:  # noqa: ANN401  the class is the same for all of pandera's libraries
    """Pandera's checks by column, named as our rules."""
    return {
        "customer": [check.str_length(6, 12, name="customer has 6 to 12 signs")],
        "country": [check.isin(COUNTRIES, name="country is one of ten")],
        "status": [check.isin(STATES, name="status is one of four")],
        "sku": [check.str_matches(SKU, name="sku matches a pattern")],
        "email": [check.str_matches(EMAIL, name="email matches a pattern")],
        "amount": [check.in_range(0, 100_000, name="amount is from 0 to 100,000")],
        "quantity": [check.in_range(1, 100, name="quantity is from 1 to 100")],
        "discount": [check.in_range(0, 1, name="discount is from 0 to 1")],
    }


def _schema(pandera: Any, kinds: Mapping[str, Any], across: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """The schema of the orders for one of pandera's libraries."""
    checks = _checks(pandera.Check)
    columns = {
        name: pandera.Column(kind, checks.get(name, []), nullable=name not in NULLS) for name, kind in kinds.items()
    }
    last = pandera.Check(across, name="shipped_at is not before ordered_at")
    schema = pandera.DataFrameSchema(columns, checks=[last], unique=["order_id"], strict=True)
    if not pandera.__name__.endswith("polars"):
        # Polars cannot, and says so.
        schema.report_duplicates = "exclude_first"
    return schema


def _validated(schema: Any, frame: Any) -> tuple[Counts, str]:  # noqa: ANN401
    """What pandera's lazy validation reports of each rule; it has no hash."""
    from pandera.errors import SchemaErrors  # noqa: PLC0415

    counts = dict.fromkeys(RULES, 0)
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        for error in errors.schema_errors:
            rule = _rule(error)
            counts[rule] += _failing(error.failure_cases)
    return counts, ""


def _rule(error: Any) -> str:  # noqa: ANN401
    name = getattr(error.check, "name", error.check)
    if name in RULES:
        return str(name)
    if "null" in str(name):
        return f"{error.schema.name} is not null"
    if "unique" in str(name):
        return "order_id is unique"
    raise SystemExit(f"an error of no rule: {error}")


def _failing(cases: Any) -> int:  # noqa: ANN401
    if hasattr(cases, "execute"):
        return int(cases.count().execute())
    # Of a rule across columns pandas is told each value of a row by itself.
    return int(cases["index"].nunique()) if "index" in cases else len(cases)


def pandera_pandas(path: Path) -> Callable[[], tuple[Counts, str]]:
    """Pandera's validation of a pandas frame."""
    import pandas as pd  # noqa: PLC0415
    import pandera.pandas as pandera  # noqa: PLC0415

    kinds = {
        "order_id": "int64",
        **dict.fromkeys(("customer", "country", "status", "sku", "email"), pd.StringDtype(na_value=float("nan"))),
        "quantity": "int64",
        "amount": "float64",
        "discount": "float64",
        "ordered_at": "datetime64[us]",
        "shipped_at": "datetime64[us]",
    }
    schema = _schema(
        pandera,
        kinds,
        lambda frame: (
            frame["shipped_at"].isna() | frame["ordered_at"].isna() | (frame["shipped_at"] >= frame["ordered_at"])
        ),
    )
    return lambda: _validated(schema, pd.read_parquet(path))


def pandera_polars(path: Path) -> Callable[[], tuple[Counts, str]]:
    """Pandera's validation of a Polars frame."""
    import pandera.polars as pandera  # noqa: PLC0415
    import polars as pl  # noqa: PLC0415

    kinds = {
        "order_id": pl.Int64,
        **dict.fromkeys(("customer", "country", "status", "sku", "email"), pl.String),
        "quantity": pl.Int64,
        "amount": pl.Float64,
        "discount": pl.Float64,
        "ordered_at": pl.Datetime("us"),
        "shipped_at": pl.Datetime("us"),
    }
    schema = _schema(
        pandera,
        kinds,
        lambda data: data.lazyframe.select(
            pl.col("shipped_at").is_null()
            | pl.col("ordered_at").is_null()
            | (pl.col("shipped_at") >= pl.col("ordered_at"))
        ),
    )
    return lambda: _validated(schema, pl.read_parquet(path))


def pandera_ibis(path: Path) -> Callable[[], tuple[Counts, str]]:
    """Pandera's validation of an Ibis table on DuckDB."""
    import ibis  # noqa: PLC0415
    import pandera.ibis as pandera  # noqa: PLC0415
    from audit_contract import ORDERS  # noqa: PLC0415

    connection = ibis.duckdb.connect()
    kinds = {name: column.dtype for name, column in ORDERS.schema.columns.items()}
    across = ORDERS.schema.checks[0]._check_fn  # noqa: SLF001  the contract's own function, by our name of the rule
    schema = _schema(pandera, kinds, across)
    return lambda: _validated(schema, connection.read_parquet(path))


WAYS: Final = {
    way.__name__: way for way in (ours, by_hand, by_hand_without_hash, pandera_polars, pandera_pandas, pandera_ibis)
}


def peak_mib() -> int:
    """The most memory that this process has had, MiB; ``ru_maxrss`` would begin with that of the process before it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def main() -> None:
    """Audit the file once, and print what was found."""
    way, path = WAYS[sys.argv[1]], Path(sys.argv[2])
    run = way(path)
    began, used = time.perf_counter(), time.process_time()
    counts, content_hash = run()
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    told = {"seconds": seconds, "cpu": cpu, "peak_mib": peak_mib(), "counts": counts, "hash": content_hash}
    versions = {name: version(name) for name in ("duckdb", "ibis-framework", "pandera", "pandas", "polars")}
    print(json.dumps({**told, "versions": versions}))


if __name__ == "__main__":
    main()
