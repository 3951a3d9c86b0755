"""The routes of served tables: which there are, a page of rows, one row by its key, many by their keys.

Put here what these routes take and answer. Keep out queries (``exports.table``), and how a table is described to
clients (``table_document``). Annotations are read at run time, so they are not postponed.
"""

import contextlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import unquote

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException, ServiceUnavailableException, ValidationException
from litestar.params import PathParameter
from litestar.types import ControllerRouterHandler

from mlops_assets.platform.exports.manifest import LATEST, Cell, Mode
from mlops_assets.serving.exports.catalog import catalog_of
from mlops_assets.serving.exports.table import CursorError, Question, TooSlowError
from mlops_assets.serving.exports.values import ValueUnfitError, from_json, from_text
from mlops_assets.serving.http.answers import NOT_MODIFIED, ServiceRequest, versioned
from mlops_assets.serving.http.audit import decision_of
from mlops_assets.serving.http.bodies import BODY, BodyKind, decoded, read_json_text
from mlops_assets.serving.http.encoded_answers import EncodedAnswer
from mlops_assets.serving.http.headers import OWN_QUERY, demand_known
from mlops_assets.serving.http.problems import COMMON, problem_responses, unfit
from mlops_assets.serving.identity.access import beyond_limit, demand_scope, limit_of
from mlops_assets.serving.identity.scopes import ACCESS, Access
from mlops_assets.serving.routes.parameters import AS_OF, CURSOR

if TYPE_CHECKING:
    from mlops_assets.platform.exports.manifest import ServedAs
    from mlops_assets.serving.exports.table import ServedTable

DEFAULT_LIMIT: Final = 100
MOST_ROWS: Final = 500
MOST_KEYS: Final = 100
_NOT_LISTED: Final = "it is none of the values that the column may hold"
_BEFORE_KEY: Final = 4
"""Parts of an address before those of the key."""
_BY_TABLE: Final = {ACCESS: Access.BY_TABLE}
_VERSIONED: Final = {**NOT_MODIFIED, **problem_responses(*COMMON, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)}

TableName = Annotated[str, PathParameter(description="Name of a table that `/v1/tables` lists.")]


class ColumnDescription(msgspec.Struct, frozen=True):
    """A column of a table."""

    name: str
    kind: str
    description: str


class TableDescription(msgspec.Struct, frozen=True):
    """A table, and how its rows can be asked for."""

    name: str
    description: str
    mode: str
    key: list[str]
    limit_by: list[str]
    filters: list[str]
    latest: str | None
    scope: str
    columns: list[ColumnDescription]
    export_id: str


class TableList(msgspec.Struct, frozen=True):
    """The tables that the principal may read, by name."""

    tables: list[TableDescription]


class Page(msgspec.Struct, frozen=True):
    """Rows of a table, sorted by its key."""

    export_id: str
    items: list[Any]
    next_cursor: str | None


class OneRow(msgspec.Struct, frozen=True):
    """One row of a table."""

    export_id: str
    row: Any


class FoundRows(msgspec.Struct, frozen=True):
    """For each key its row; null where there is none, or none that the principal may see."""

    export_id: str
    rows: list[Any]


class Lookup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys of rows: for each column of the table's key its value."""

    keys: Annotated[list[dict[str, str | int | float | bool]], msgspec.Meta(min_length=1, max_length=MOST_KEYS)]


@get(
    "/v1/tables",
    summary="Which tables there are",
    opt={ACCESS: Access.ANY_PRINCIPAL},
    description="The tables that the principal's scopes let it read, and how their rows are asked for.",
    responses={**NOT_MODIFIED, **problem_responses(*COMMON)},
)
async def served_tables(request: ServiceRequest) -> Response[TableList]:
    """The tables that the principal may read."""
    tables = [served.table for served in catalog_of(request).served() if served.table is not None]
    readable = [_description(table) for table in tables if table.served.scope in request.user.scopes]
    version = "\n".join([*sorted(request.user.scopes), *(table.export_id for table in readable)])
    return versioned(request, TableList(tables=readable), version=version)


@get(
    "/v1/tables/{table:str}",
    summary="List rows of a table",
    opt={**_BY_TABLE, OWN_QUERY: True},
    description="Rows that fit all given filters, page by page, sorted by the table's key.",
    responses=_VERSIONED,
)
async def list_rows(request: ServiceRequest, table: TableName) -> Response[Page]:
    """One page of the rows that the principal may see."""
    declared = (await _demanded(request, table)).served
    given = demand_known(request, {*declared.filters, "limit", "cursor", "as_of"})
    found = await catalog_of(request).table_as_of(table, _as_of(given))
    _demand_way(request, table, declared, found.served, Mode.LIST)
    texts = {column: text for column, text in given.items() if column in declared.filters}
    if unknown := sorted(set(texts) - set(found.columns)):
        raise _invalid(unknown[0], "that version of the table has no such column")
    cells = _parsed(found, texts, declared)
    limits = _limits(request, declared, found)
    _demand_visible(request, limits, cells)
    question = Question(
        filters={column: cell for column, cell in cells.items() if column not in limits},
        within={column: frozenset({cells[column]}) if column in cells else seen for column, seen in limits.items()},
        limit=_limit(given.get("limit")),
        cursor=_cursor(given.get("cursor")),
    )
    try:
        items, next_cursor = await found.page(question)
    except CursorError as error:
        raise unfit("cursor", str(error)) from error
    except TooSlowError:
        raise ServiceUnavailableException(
            detail="The rows took too long to find. Narrow the filters.", headers={"Retry-After": "30"}
        ) from None
    return versioned(request, Page(found.export_id, items, next_cursor), version=found.export_id)


@get(
    "/v1/tables/{table:str}/{key:path}",
    summary="One row by its key",
    opt={**_BY_TABLE, OWN_QUERY: True},
    description="The row with the values of the key's columns that the address names, in their order.",
    responses=_VERSIONED,
)
async def one_row(request: ServiceRequest, table: TableName) -> Response[OneRow]:
    """The row of a key."""
    declared = (await _demanded(request, table)).served
    given = demand_known(request, {"as_of", *([declared.latest] if declared.latest else ())})
    found = await catalog_of(request).table_as_of(table, _as_of(given))
    _demand_way(request, table, declared, found.served, Mode.LIST)
    latest = found.served.latest
    if latest is None and declared.latest in given:
        raise _invalid(str(declared.latest), "that version of the table has none that is meant where none is named")
    columns = [column for column in found.key if column != latest]
    texts = [unquote(part) for part in request.scope["raw_path"].decode("ascii").split("/")[_BEFORE_KEY:]]
    if len(texts) != len(columns):
        raise NotFoundException(detail=f"The address of a row of {table} ends with its {', '.join(columns)}.")
    try:
        cells = _parsed(found, dict(zip(columns, texts, strict=True)), declared)
    except ValidationException:
        raise _no_row(table) from None
    if latest is not None and given.get(latest, LATEST) != LATEST:
        cells |= _parsed(found, {latest: given[latest]}, declared)
    limits = _limits(request, declared, found)
    _demand_visible(request, limits, cells)
    row = _row(found, cells)
    if row is None or not _is_visible(limits, row):
        raise _no_row(table)
    return versioned(request, OneRow(found.export_id, row), version=found.export_id)


@post(
    "/v1/lookup/{table:str}",
    status_code=HTTPStatus.OK,
    summary="Look rows up by their keys",
    opt={**_BY_TABLE, BODY: BodyKind(kind=Lookup, limit=262_144, example={"keys": [{"customer": "a"}]})},
    description=(
        "The rows of up to 100 keys, in their order. Keys travel in the body and answers are not to be kept, as both "
        "may be of persons. Nobody can list the rows of a table that is for look-up alone."
    ),
    responses=problem_responses(*COMMON, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.NOT_FOUND),
)
async def look_up(request: ServiceRequest, table: TableName) -> Response[FoundRows]:
    """Rows by their keys."""
    body = await read_json_text(request)
    found = await _demanded(request, table)
    keys = [_key(found, number, key) for number, key in enumerate(decoded(body, Lookup).keys)]
    limits = _limits(request, found.served, found)
    for key in keys:
        _demand_visible(request, limits, key)
    rows = [_row(found, key) for key in keys]
    visible = [row if row is not None and _is_visible(limits, row) else None for row in rows]
    return EncodedAnswer(msgspec.json.encode(FoundRows(found.export_id, visible)), {"Cache-Control": "no-store"})


TABLE_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (served_tables, list_rows, one_row, look_up)


async def _demanded(request: ServiceRequest, name: str) -> "ServedTable":
    """The table as the export in use has it, for a principal with its scope."""
    found = await catalog_of(request).table(name)
    decision_of(request.scope).table = name
    demand_scope(request, found.served.scope)
    return found


def _as_of(given: Mapping[str, str]) -> str | None:
    text = given.get("as_of")
    if text is not None and AS_OF.fullmatch(text) is None:
        raise _invalid("as_of", "it is neither the id of an export nor a time with its zone")
    return text


def _cursor(text: str | None) -> str | None:
    if text is not None and CURSOR.fullmatch(text) is None:
        raise _invalid("cursor", "it is not one that a page gave out")
    return text


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_ROWS)) and 1 <= int(text) <= MOST_ROWS):
        raise _invalid("limit", f"it is not a whole number from 1 to {MOST_ROWS}")
    return int(text)


def _parsed(table: "ServedTable", given: Mapping[str, str], declared: "ServedAs") -> dict[str, Cell]:
    """The values that texts stand for; ``latest`` stands for the greatest value of its column."""
    cells: dict[str, Cell] = {}
    for column, text in given.items():
        if column == table.served.latest and text == LATEST:
            cells[column] = table.newest
            continue
        try:
            cells[column] = from_text(table.columns[column], text)
        except ValueUnfitError as error:
            raise _invalid(column, str(error)) from None
        if cells[column] not in declared.values.get(column, (cells[column],)):
            raise _invalid(column, _NOT_LISTED)
    return cells


def _key(table: "ServedTable", number: int, key: Mapping[str, str | float | bool]) -> dict[str, Cell]:
    """A key of a body: each column of the table's key, but that the latest is meant where it is left out."""
    optional = {table.served.latest} - {None}
    if not set(table.key) - optional <= key.keys() <= set(table.key):
        raise unfit(f"keys[{number}]", f"a key has the columns {', '.join(table.key)}")
    cells: dict[str, Cell] = {}
    for column in table.key:
        if column in optional and key.get(column, LATEST) == LATEST:
            continue
        try:
            cells[column] = from_json(table.columns[column], key[column])
        except ValueUnfitError as error:
            raise unfit(f"keys[{number}].{column}", str(error)) from None
        if cells[column] not in table.served.values.get(column, (cells[column],)):
            raise unfit(f"keys[{number}].{column}", _NOT_LISTED)
    return cells


def _row(table: "ServedTable", cells: Mapping[str, Cell]) -> object | None:
    """The row of a key, or the latest one where the key leaves that open."""
    if cells.keys() == set(table.key):
        return table.one([cells[column] for column in table.key])
    return table.latest(cells)


def _demand_way(request: ServiceRequest, name: str, declared: "ServedAs", then: "ServedAs", mode: Mode) -> None:
    """Refuse a way to rows that the table does not offer now, or did not then."""
    demand_scope(request, then.scope)
    if {declared.mode, then.mode} != {mode}:
        raise NotFoundException(detail=f"The rows of {name} are looked up by their keys alone: POST /v1/lookup/{name}.")


def _limits(request: ServiceRequest, declared: "ServedAs", table: "ServedTable") -> dict[str, frozenset[Cell]]:
    """For each column that limits the principal, now or then, the values that it may see.

    They are read before any row is looked for, so that nothing depends on whether there is one.

    Raises:
        PermissionDeniedException: the version that is asked for has no such column, so nothing tells its rows apart.
    """
    limits: dict[str, frozenset[Cell]] = {}
    # A limit of a column that the table has holds also where nobody has declared that the table is limited by it.
    own = [column for column in request.user.limits if column in table.columns]
    for column in dict.fromkeys((*declared.limit_by, *table.served.limit_by, *own)):
        limit = limit_of(request, column)
        if limit is None:
            continue
        if column not in table.columns:
            raise beyond_limit(request, column)
        limits[column] = _limit_cells(table, column, limit)
    return limits


def _demand_visible(request: ServiceRequest, limits: Mapping[str, frozenset[Cell]], cells: Mapping[str, Cell]) -> None:
    """Refuse what is asked for by a value that the principal may not see, whether or not there is such a row."""
    for column in limits.keys() & cells.keys():
        if cells[column] not in limits[column]:
            raise beyond_limit(request, column)


def _is_visible(limits: Mapping[str, frozenset[Cell]], row: object) -> bool:
    """Whether the limits let the row be seen; one whose value is null is for those alone who are not limited."""
    return all(getattr(row, column) in seen for column, seen in limits.items())


def _limit_cells(table: "ServedTable", column: str, limit: frozenset[str]) -> frozenset[Cell]:
    cells: list[Cell] = []
    for text in limit:
        # A limit to what no row can hold lets nothing be seen.
        with contextlib.suppress(ValueUnfitError):
            cells.append(from_text(table.columns[column], text))
    return frozenset(cells)


def _description(table: "ServedTable") -> TableDescription:
    served = table.served
    return TableDescription(
        name=table.name,
        description=served.description,
        mode=served.mode,
        key=list(table.key),
        limit_by=list(served.limit_by),
        filters=list(served.filters),
        latest=served.latest,
        scope=served.scope,
        columns=[
            ColumnDescription(column, kind, served.descriptions.get(column, ""))
            for column, kind in table.columns.items()
        ],
        export_id=table.export_id,
    )


def _invalid(name: str, message: str) -> ValidationException:
    return ValidationException(extra=[{"key": name, "message": message}])


def _no_row(name: str) -> NotFoundException:
    return NotFoundException(detail=f"{name} has no row with that key.")
