"""Values, texts and bytes that break readers: in addresses, in headers, in JSON.

Put here what is put in the place of something good. Keep out requests (``hostile_requests``).
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

MARK: Final = "zqhostile"
"""Stands in much of what is sent, and must not come back in a header."""
_DEEP: Final = 100_000
_SPLICE: Final = "@splice@"
_TEXTS: Final = (
    *(MARK, "..", "%2e%2e", "%2f", "%5c", "//", "%00", "%0a", f"%0d%0aX-Injected:%20{MARK}", "%ff%fe", "%", "%zz"),
    *("%c3%28", "%ed%a0%80", "é", "\x80\xff", ";", ";a=1", "null", "NaN", "1e999", "-0", "9" * 5000, "a" * 3000),
    *(
        "'--",
        '"',
        "<script>",
        "{}",
        "[]",
        "${jndi:ldap://a}",
        "\t",
        "+",
        "%20",
        "*",
        "\\",
        "|",
        "^",
        "`",
        "~",
        "latest",
    ),
    *("-1", "0", "1", "2024-02-30", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "%u0000", "a,b", "W/*", '"*"'),
    *("\u0663", "\uff11", "true", "sqlite_schema", "../../etc/passwd", "q=0;q=1", "gzip;q=" + "0" * 500, "A" * 7900),
)
_RARE: Final = (b"[" * _DEEP, b'{"a":' * _DEEP, b"[" * _DEEP + b"]" * _DEEP, b'"' + b"a" * 200_000 + b'"')
_VALUES: Final = (
    *(b"null", b"true", b"false", b"0", b"-0", b"-1", b"1.5", b"1e999", b"-1e999", b"1e-999", b"NaN", b"-Infinity"),
    *(b"9" * 5000, b"-" + b"9" * 5000, b"0." + b"3" * 5000, b"1e" + b"9" * 400, b"9007199254740993", b"3.0", b"1e2"),
    *(b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"-9223372036854775809", b"1e308"),
    *(b'""', b'"\\u0000"', b'"a\x00b"', b'"\xff\xfe"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\x"', b'"nan"', b'"1"'),
    *(
        b"[]",
        b"{}",
        b"[[]]",
        b"[[[1]]]",
        b'{"a": 1, "a": 2}',
        b'[1, "a", null]',
        b"[[1], [2]]",
        b"[null]",
        b"01",
        b"+1",
    ),
    *(f'"{MARK}"'.encode(), b'"2024-13-45T99:99:99Z"', b'"1000-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59-14:00"'),
    *(b"[" * 2000 + b"]" * 2000, b'{"__class__": {"__init__": 1}}', b"1000000", b"1000001", b"999999999999"),
)


def hostile_text(draw: random.Random) -> str:
    """A text for an address or a header."""
    return draw.choice(_TEXTS)


def broken_json(body: bytes, draw: random.Random) -> bytes:
    """That JSON with another value or name somewhere, or with a name twice or not at all; often no JSON any more."""
    document = json.loads(body)
    holders = list(_holders(document))
    holder: Any = draw.choice(holders)
    places = list(range(len(holder))) if isinstance(holder, list) else list(holder)
    if not places:
        return broken_bytes(body, draw)
    place = draw.choice(places)
    value = draw.choice(_RARE) if draw.random() < 0.02 else draw.choice(_VALUES)
    kind = draw.randrange(5)
    if kind == 0:
        del holder[place]
    elif kind == 1 and isinstance(holder, dict):
        holder[_SPLICE] = holder[place]
        value = draw.choice(
            (json.dumps(place).encode(), f'"{MARK}"'.encode(), b'"\\ud800"', b'"\\u0000"', b"1", b'"a\xff"')
        )
    elif kind == 2 and isinstance(holder, list):
        holder *= draw.choice((2, 50, 1200))
    else:
        holder[place] = _SPLICE
    return json.dumps(document).encode().replace(f'"{_SPLICE}"'.encode(), value)[:1_000_000]


def broken_bytes(body: bytes, draw: random.Random) -> bytes:
    """Those bytes cut, doubled, turned, or others in their place."""
    place = draw.randrange(len(body) + 1)
    front, one, back = body[:place], body[place : place + 1], body[place + 1 :]
    turned = bytes(byte ^ (1 << draw.randrange(8)) for byte in one)
    signs = draw.randbytes(draw.randrange(1, 20))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: front,
        lambda: front + signs + one + back,
        lambda: body + one + back,
        lambda: front + turned + back,
        lambda: draw.choice(
            (b"\xef\xbb\xbf" + body, body.decode("latin-1").encode("utf-16"), b"\x00" + body, body + signs)
        ),
        lambda: draw.choice(_VALUES),
        lambda: gzip.compress(body, 1),
        lambda: draw.randbytes(draw.randrange(300)),
    )
    return draw.choice(ways)()


def _holders(value: Any) -> Iterator[Any]:  # noqa: ANN401  JSON
    """All objects and arrays within."""
    if isinstance(value, dict | list):
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from _holders(each)
