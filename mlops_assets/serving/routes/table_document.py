"""How the OpenAPI document tells of served tables: for each its own addresses, parameters, types and examples.

Put here what follows from a table's declaration. Keep out what is said of all routes alike (``documentation``).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.exports.manifest import Kind, Mode
from mlops_assets.serving.exports.values import EXAMPLES, LONGEST, SCHEMAS
from mlops_assets.serving.routes.parameters import AS_OF, CURSOR
from mlops_assets.serving.routes.tables import DEFAULT_LIMIT, LATEST, MOST_KEYS, MOST_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops_assets.serving.exports.table import ServedTable

LIST: Final = "/v1/tables/{table}"
ONE: Final = "/v1/tables/{table}/{key}"
LOOKUP: Final = "/v1/lookup/{table}"
_JSON: Final = "application/json"
_INT64: Final = {"minimum": -(2**63), "maximum": 2**63 - 1}
_MOST: Final = 1e300


def with_tables(document: Mapping[str, Any], tables: Iterable[ServedTable]) -> dict[str, Any]:
    """The document with the addresses of each of those tables in place of those of any table."""
    told = copy.deepcopy(dict(document))
    listing, one, lookup = (told["paths"].pop(path) for path in (LIST, ONE, LOOKUP))
    for table in tables:
        row = f"{_titled(table.name)}Row"
        told["components"]["schemas"][row] = _row_schema(table)
        reference = {"$ref": f"#/components/schemas/{row}"}
        if table.served.mode is Mode.LIST:
            told["paths"][f"/v1/tables/{table.name}"] = {"get": _list_operation(listing["get"], table, reference)}
            parts = "/".join(f"{{{column}}}" for column in _addressed(table))
            if parts:
                told["paths"][f"/v1/tables/{table.name}/{parts}"] = {
                    "get": _one_operation(one["get"], table, reference)
                }
        told["paths"][f"/v1/lookup/{table.name}"] = {"post": _lookup_operation(lookup["post"], table, reference)}
    return told


def _list_operation(general: Mapping[str, Any], table: ServedTable, row: Mapping[str, Any]) -> dict[str, Any]:
    parameters = [_parameter(table, column, place="query") for column in table.served.filters]
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": DEFAULT_LIMIT}
    cursor = {"type": "string", "pattern": f"^{CURSOR.pattern}$"}
    parameters += [
        _query("limit", limit, "Most rows of one page.", DEFAULT_LIMIT),
        _query("cursor", cursor, "The last page's `next_cursor`."),
        _as_of(),
    ]
    page = {
        "type": "object",
        "required": ["export_id", "items", "next_cursor"],
        "properties": {
            "export_id": {"type": "string"},
            "items": {"type": "array", "items": row},
            "next_cursor": {"type": ["string", "null"]},
        },
    }
    text = (
        f"{_said(table)} Rows that fit all filters, page by page, sorted by {', '.join(table.key)}. A cursor stays "
        "valid when a new export is taken over; give the first page's `export_id` as `as_of` where all pages must be "
        "of one."
    )
    return _operation(general, f"list_{table.name}", f"List {table.name}", text, parameters, page)


def _one_operation(general: Mapping[str, Any], table: ServedTable, row: Mapping[str, Any]) -> dict[str, Any]:
    parameters = [_parameter(table, column, place="path") for column in _addressed(table)]
    if table.served.latest is not None:
        parameters.append(_parameter(table, table.served.latest, place="query"))
    parameters.append(_as_of())
    answer = {
        "type": "object",
        "required": ["export_id", "row"],
        "properties": {"export_id": {"type": "string"}, "row": row},
    }
    text = f"{_said(table)} The row of a key."
    return _operation(general, f"get_{table.name}", f"One row of {table.name}", text, parameters, answer)


def _lookup_operation(general: Mapping[str, Any], table: ServedTable, row: Mapping[str, Any]) -> dict[str, Any]:
    answer = {
        "type": "object",
        "required": ["export_id", "rows"],
        "properties": {
            "export_id": {"type": "string"},
            "rows": {"type": "array", "items": {"oneOf": [row, {"type": "null"}]}},
        },
    }
    text = f"{_said(table)} {general['description']}"
    made = _operation(general, f"look_up_{table.name}", f"Look up {table.name}", text, [], answer)
    key = {
        "type": "object",
        "additionalProperties": False,
        "required": _addressed(table),
        "properties": {column: _asked(table, column) for column in table.key},
    }
    body = {
        "type": "object",
        "additionalProperties": False,
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "minItems": 1, "maxItems": MOST_KEYS, "items": key}},
    }
    example = {"keys": [{column: EXAMPLES[table.columns[column]] for column in _addressed(table)}]}
    made["requestBody"]["content"] = {_JSON: {"schema": body, "example": example}}
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
    made |= {"operationId": name, "summary": summary, "description": text, "parameters": parameters}
    made["responses"]["200"]["content"] = {_JSON: {"schema": dict(answer)}}
    return made


def _said(table: ServedTable) -> str:
    served = table.served
    limited = f" Principals may be limited by {', '.join(served.limit_by)} (claim `limits`)." if served.limit_by else ""
    return f"{served.description} Needs the scope `{served.scope}`.{limited}".strip()


def _row_schema(table: ServedTable) -> dict[str, Any]:
    properties = {}
    for column, kind in table.columns.items():
        schema: dict[str, Any] = dict(SCHEMAS[kind])
        if column not in table.key:
            schema["type"] = [schema["type"], "null"]
        if description := table.served.descriptions.get(column):
            schema["description"] = description
        properties[column] = schema
    return {
        "type": "object",
        "description": table.served.description or f"A row of {table.name}.",
        "required": list(table.columns),
        "properties": properties,
    }


def _addressed(table: ServedTable) -> list[str]:
    """The columns of the key that a row is asked for by: all but the one whose latest value may stand for it."""
    return [column for column in table.key if column != table.served.latest]


def _asked(table: ServedTable, column: str) -> dict[str, Any]:
    """What a column of rows is asked for with."""
    kind = table.columns[column]
    schema: dict[str, Any] = dict(SCHEMAS[kind])
    if kind is Kind.TEXT:
        schema["maxLength"] = LONGEST
    elif kind is Kind.INTEGER:
        schema |= _INT64
    elif kind is Kind.NUMBER:
        schema |= {"minimum": -_MOST, "maximum": _MOST}
    if column == table.served.latest and kind is not Kind.TEXT:
        return {"anyOf": [schema, {"const": LATEST}]}
    return schema


def _parameter(table: ServedTable, column: str, *, place: str) -> dict[str, Any]:
    schema = _asked(table, column)
    text = table.served.descriptions.get(column, "")
    example = EXAMPLES[table.columns[column]]
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


def _titled(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
