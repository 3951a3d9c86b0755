"""How the OpenAPI document tells of served tables: for each its own addresses, parameters, types and examples.

Put here what follows from a table's declaration. Keep out what is said of all routes alike (``documentation``).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.exports.manifest import LATEST, Kind, Mode
from mlops_assets.serving.exports.values import ASKED, EXAMPLES, SCHEMAS
from mlops_assets.serving.routes.parameters import AS_OF, CURSOR
from mlops_assets.serving.routes.tables import (
    DEFAULT_LIMIT,
    MOST_KEYS,
    MOST_ROWS,
    FoundRows,
    Lookup,
    OneRow,
    Page,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops_assets.serving.exports.table import ServedTable

LIST: Final = "/v1/tables/{table}"
ONE: Final = "/v1/tables/{table}/{key}"
LOOKUP: Final = "/v1/lookup/{table}"
_JSON: Final = "application/json"


def with_tables(document: Mapping[str, Any], tables: Iterable[ServedTable]) -> dict[str, Any]:
    """The document with the addresses of each of those tables in place of those of any table."""
    told = copy.deepcopy(dict(document))
    listing, one, lookup = (told["paths"].pop(path) for path in (LIST, ONE, LOOKUP))
    for kind in (Page, OneRow, FoundRows, Lookup):
        del told["components"]["schemas"][kind.__name__]
    for table in tables:
        paths = {f"/v1/lookup/{table.name}": {"post": _lookup_operation(lookup["post"], table)}}
        schemas = {"row": _row_schema(table), **_lookup_schemas(table)}
        if table.served.mode is Mode.LIST:
            paths[f"/v1/tables/{table.name}"] = {"get": _list_operation(listing["get"], table)}
            schemas["page"] = _page_schema(table)
            parts = "/".join(f"{{{column}}}" for column in _addressed(table))
            if parts:
                paths[f"/v1/tables/{table.name}/{parts}"] = {"get": _one_operation(one["get"], table)}
                schemas["one"] = _one_schema(table)
        told["paths"] |= paths
        # One word behind the table's name: no schema has the name of another table's.
        told["components"]["schemas"] |= {f"{table.name}_{part}": schema for part, schema in schemas.items()}
    return told


def _list_operation(general: Mapping[str, Any], table: ServedTable) -> dict[str, Any]:
    parameters = [_parameter(table, column, place="query") for column in table.served.filters]
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": DEFAULT_LIMIT}
    cursor = {"type": "string", "pattern": f"^{CURSOR.pattern}$"}
    parameters += [
        _query("limit", limit, "Most rows of one page.", DEFAULT_LIMIT),
        _query("cursor", cursor, "The last page's `next_cursor`."),
        _as_of(),
    ]
    text = (
        f"{_said(table)} Rows that fit all filters, page by page, sorted by {', '.join(table.key)}. A cursor stays "
        "valid when a new export is taken over; give the first page's `export_id` as `as_of` where all pages must be "
        "of one."
    )
    return _operation(general, f"list_{table.name}", f"List {table.name}", text, parameters, _reference(table, "page"))


def _one_operation(general: Mapping[str, Any], table: ServedTable) -> dict[str, Any]:
    parameters = [_parameter(table, column, place="path") for column in _addressed(table)]
    if table.served.latest is not None:
        parameters.append(_parameter(table, table.served.latest, place="query"))
    parameters.append(_as_of())
    text = f"{_said(table)} The row of a key."
    answer = _reference(table, "one")
    return _operation(general, f"get_{table.name}", f"One row of {table.name}", text, parameters, answer)


def _lookup_operation(general: Mapping[str, Any], table: ServedTable) -> dict[str, Any]:
    text = f"{_said(table)} {general['description']}"
    answer = _reference(table, "found")
    made = _operation(general, f"look_up_{table.name}", f"Look up {table.name}", text, [], answer)
    example = {"keys": [{column: _example(table, column) for column in _addressed(table)}]}
    made["requestBody"]["content"] = {_JSON: {"schema": _reference(table, "lookup"), "example": example}}
    return made


def _operation(
    general: Mapping[str, Any],
    name: str,
    summary: str,
    text: str,
    parameters: list[dict[str, Any]],
    answer: Mapping[str, Any],
) -> dict[str, Any]:
    made = copy.deepcopy(dict(general))
    headers = [parameter for parameter in made["parameters"] if parameter["in"] == "header"]
    made |= {"operationId": name, "summary": summary, "description": text, "parameters": [*parameters, *headers]}
    made["responses"]["200"]["content"] = {_JSON: {"schema": dict(answer)}}
    return made


def _reference(table: ServedTable, part: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{table.name}_{part}"}


def _said(table: ServedTable) -> str:
    served = table.served
    limited = f" Principals may be limited by {', '.join(served.limit_by)} (claim `limits`)." if served.limit_by else ""
    return f"{served.description} Needs the scope `{served.scope}`.{limited}".strip()


def _page_schema(table: ServedTable) -> dict[str, Any]:
    properties = {
        "export_id": {"type": "string"},
        "items": {"type": "array", "items": _reference(table, "row")},
        "next_cursor": {"type": ["string", "null"]},
    }
    return _object(f"Rows of {table.name}.", properties)


def _one_schema(table: ServedTable) -> dict[str, Any]:
    return _object(f"One row of {table.name}.", {"export_id": {"type": "string"}, "row": _reference(table, "row")})


def _lookup_schemas(table: ServedTable) -> dict[str, Any]:
    row = {"oneOf": [_reference(table, "row"), {"type": "null"}]}
    found = {"export_id": {"type": "string"}, "rows": {"type": "array", "items": row}}
    keys = {"type": "array", "minItems": 1, "maxItems": MOST_KEYS, "items": _reference(table, "key")}
    key = _object(f"What names a row of {table.name}.", {column: _asked(table, column) for column in table.key})
    return {
        "found": _object(f"For each key its row of {table.name}; null where there is none to be seen.", found),
        "lookup": {**_object(f"Keys of rows of {table.name}.", {"keys": keys}), "additionalProperties": False},
        "key": {**key, "required": _addressed(table), "additionalProperties": False},
    }


def _row_schema(table: ServedTable) -> dict[str, Any]:
    properties = {}
    for column, kind in table.columns.items():
        schema = {**SCHEMAS[kind], **_listed(table, column)}
        if column not in table.key:
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        if description := table.served.descriptions.get(column):
            schema["description"] = description
        properties[column] = schema
    return _object(table.served.description or f"A row of {table.name}.", properties)


def _object(text: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": text, "required": list(properties), "properties": dict(properties)}


def _addressed(table: ServedTable) -> list[str]:
    """The columns of the key that a row is asked for by: all but the one whose latest value may stand for it."""
    return [column for column in table.key if column != table.served.latest]


def _asked(table: ServedTable, column: str) -> dict[str, Any]:
    """What a column of rows is asked for with."""
    kind = table.columns[column]
    schema = {**ASKED[kind], **_listed(table, column)}
    if column != table.served.latest:
        return schema
    if kind is not Kind.TEXT:
        return {"anyOf": [schema, {"const": LATEST}]}
    return {**schema, "enum": [*schema["enum"], LATEST]} if "enum" in schema else schema


def _example(table: ServedTable, column: str) -> object:
    values = table.served.values.get(column)
    return values[0] if values else EXAMPLES[table.columns[column]]


def _listed(table: ServedTable, column: str) -> dict[str, Any]:
    values = table.served.values.get(column)
    return {} if values is None else {"enum": list(values)}


def _parameter(table: ServedTable, column: str, *, place: str) -> dict[str, Any]:
    schema = _asked(table, column)
    text = table.served.descriptions.get(column, "")
    example = _example(table, column)
    if column == table.served.latest:
        text, example = f"{text} `{LATEST}` stands for the greatest there is.".strip(), LATEST
    if place == "path":
        return {
            "name": column,
            "in": "path",
            "required": True,
            "schema": {**schema, **({"minLength": 1} if schema.get("type") == "string" else {})},
            "description": text,
            "example": example,
        }
    return _query(column, schema, text, example)


def _as_of() -> dict[str, Any]:
    text = (
        "A past version: the id of a kept export, or a time with its zone (RFC 3339; write + as %2B), which stands for "
        "the export that was current then. Without it, the current export answers."
    )
    schema = {"type": "string", "pattern": f"^({AS_OF.pattern})$"}
    return _query("as_of", schema, text, "2024-11-05T12:00:00Z")


def _query(name: str, schema: Mapping[str, Any], text: str, example: object = None) -> dict[str, Any]:
    told = {"name": name, "in": "query", "required": False, "schema": dict(schema), "description": text}
    return told if example is None else {**told, "example": example}
