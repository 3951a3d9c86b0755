"""REST sources whose answers come in pages: all of them, in order, or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.http.auth import ApiKey
from mlops_assets.plumbing.sources.http.pages import Cursor, LinkHeader, NextAddress, Offset, PageNumber
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.api import ApiServer, Asked, Said
from mlops_assets_tests.plumbing.sources.rest_orders import ids, order, read, source

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [order(number) for number in range(10)]


def numbered(asked: Asked, *, most: int = 4, rows: list[dict[str, object]] = ROWS) -> list[dict[str, object]]:
    """The page that is asked for by number, of at most so many rows."""
    start = (int(asked.query["page"]) - 1) * most
    return rows[start : start + most]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:8], ROWS[:4], ROWS[:3], []])
def test_numbered_pages_end_at_one_without_rows(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    with ApiServer(lambda asked: Said(value=numbered(asked, rows=rows))) as api:
        delivered = read(source(api.url, paginate=PageNumber()), tmp_path / "s")

    assert ids(delivered) == list(range(len(rows)))


def test_a_page_after_a_short_one_need_not_be_there(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        page = numbered(asked)
        return Said(value=page) if page else Said(status=404, value={"error": "no such page"})

    with ApiServer(answer) as api:
        delivered = read(source(api.url, paginate=PageNumber(size_parameter="size", size=4)), tmp_path / "s")

    assert ids(delivered) == list(range(10))
    assert api.asked[0].query == {"page": "1", "size": "4"}


def test_a_source_that_gives_fewer_rows_than_asked_for_loses_none(tmp_path: Path) -> None:
    with ApiServer(lambda asked: Said(value=numbered(asked))) as api:
        delivered = read(source(api.url, paginate=PageNumber(size_parameter="size", size=1000)), tmp_path / "s")

    assert ids(delivered) == list(range(10))


def test_a_page_that_is_missing_in_the_middle_is_an_error(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        return Said(status=404) if asked.query["page"] == "2" else Said(value=numbered(asked))

    with ApiServer(answer) as api, pytest.raises(SourceError, match=r"page 2.* answers 404"):
        read(source(api.url, paginate=PageNumber(size_parameter="size", size=4)), tmp_path / "s")


def test_a_source_that_ignores_the_page_s_number_is_an_error(tmp_path: Path) -> None:
    with ApiServer(lambda _: Said(value=ROWS)) as api, pytest.raises(SourceError, match="page 1 comes again"):
        read(source(api.url, paginate=PageNumber()), tmp_path / "s")


def test_pages_that_never_end_are_an_error(tmp_path: Path) -> None:
    with (
        ApiServer(lambda asked: Said(value=[order(int(asked.query["page"]))])) as api,
        pytest.raises(SourceError, match="more than 7 pages"),
    ):
        read(source(api.url, paginate=PageNumber(), most_pages=7), tmp_path / "s")

    assert len(api.asked) == 7


def test_pages_from_a_row_on_follow_what_was_read(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        start = int(asked.query["offset"])
        return Said(value={"rows": ROWS[start : start + 3], "count": 10})

    with ApiServer(answer) as api:
        declared = source(api.url, paginate=Offset(limit=5, total="count"), rows="rows")
        delivered = read(declared, tmp_path / "s")

    assert ids(delivered) == list(range(10))
    assert [asked.query["offset"] for asked in api.asked] == ["0", "3", "6", "9", "10"]


def test_a_total_that_was_not_read_is_an_error(tmp_path: Path) -> None:
    with (
        ApiServer(lambda asked: Said(value={"rows": numbered(asked), "count": 11})) as api,
        pytest.raises(SourceError, match="tells of 11 rows and gives 10"),
    ):
        read(source(api.url, paginate=PageNumber(total="count"), rows="rows"), tmp_path / "s")


def test_a_total_that_changes_is_an_error(tmp_path: Path) -> None:
    with (
        ApiServer(lambda asked: Said(value={"rows": numbered(asked), "n": 9 + int(asked.query["page"])})) as api,
        pytest.raises(SourceError, match="changed from 10 to 11"),
    ):
        read(source(api.url, paginate=PageNumber(total="n"), rows="rows"), tmp_path / "s")


@pytest.mark.parametrize("last", [None, "", False])
def test_a_cursor_is_followed_to_the_page_without_one(tmp_path: Path, last: object) -> None:
    def answer(asked: Asked) -> Said:
        start = int(asked.query.get("after", "0"))
        following = start + 4
        mark = following if following < len(ROWS) else last
        return Said(value={"data": {"items": ROWS[start:following]}, "meta": {"next": mark}})

    with ApiServer(answer) as api:
        declared = source(api.url, paginate=Cursor(parameter="after", path="meta.next"), rows="data.items")
        delivered = read(declared, tmp_path / "s")

    assert ids(delivered) == list(range(10))
    assert delivered.facts["pages"] == 3


def test_a_cursor_that_comes_again_is_an_error(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        number = len(asked.query)
        return Said(value={"items": [order(len(api.asked))], "next": f"mark{number}"})

    with ApiServer(answer) as api, pytest.raises(SourceError, match="named again as the next one"):
        read(source(api.url, paginate=Cursor(path="next"), rows="items"), tmp_path / "s")


def test_links_in_the_header_are_followed(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        number = int(asked.query.get("p", "1"))
        page = numbered(Asked(**{**vars(asked), "query": {"page": str(number)}}))
        links = '</orders?p=1>; rel="first", </a,b>; title="a; rel=next, b"; rel=up'
        if number < 3:
            links += f', </orders?p={number + 1}>; type="x"; rel="last next"'
        return Said(value=page, headers={"Link": links})

    with ApiServer(answer) as api:
        delivered = read(source(f"{api.url}/orders", paginate=LinkHeader()), tmp_path / "s")

    assert ids(delivered) == list(range(10))


def test_addresses_in_the_answer_are_followed(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        number = int(asked.query.get("p", "1"))
        page = numbered(Asked(**{**vars(asked), "query": {"page": str(number)}}))
        return Said(value={"items": page, "next": f"{api.url}/?p={number + 1}" if number < 3 else None})

    with ApiServer(answer) as api:
        delivered = read(source(api.url, paginate=NextAddress(), rows="items", query={"q": "{month}"}), tmp_path / "s")

    assert ids(delivered) == list(range(10))
    assert api.asked[0].query == {"q": "2024-01"}


@pytest.mark.parametrize("elsewhere", ["http://example.org/?p=2", "//127.0.0.2/", "https://127.0.0.1/", "ftp://x/"])
def test_a_next_page_elsewhere_is_not_asked_for(tmp_path: Path, elsewhere: str) -> None:
    with (
        ApiServer(lambda _: Said(value={"items": ROWS, "next": elsewhere})) as api,
        pytest.raises(SourceError, match="elsewhere"),
    ):
        read(source(api.url, paginate=NextAddress(), rows="items"), tmp_path / "s")


def test_a_next_page_that_was_there_already_is_an_error(tmp_path: Path) -> None:
    with (
        ApiServer(lambda _: Said(value={"items": [order(len(api.asked))], "next": "/again"})) as api,
        pytest.raises(SourceError, match="named again"),
    ):
        read(source(api.url, paginate=NextAddress(), rows="items"), tmp_path / "s")


def test_pages_of_csv_may_be_numbered(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        lines = [f"{row['order_id']},{row['amount']}" for row in numbered(asked)]
        return Said(value="\n".join(["order_id,amount", *lines]).encode(), content_type="text/csv")

    with ApiServer(answer) as api:
        delivered = read(source(api.url, paginate=PageNumber(), format="csv"), tmp_path / "s")

    assert ids(delivered) == list(range(10))


def test_paths_into_json_are_refused_for_csv() -> None:
    with pytest.raises(ContractError, match="names a path into JSON"):
        source("http://example.org", format="csv", paginate=Cursor(path="next"))


def test_a_page_of_csv_without_its_header_line_is_refused(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        return Said(
            value=b"order_id,amount\n1,1\n" if asked.query["page"] == "1" else b"2,3\n", content_type="text/csv"
        )

    with ApiServer(answer) as api, pytest.raises(SourceError, match="its header line is not that of the first page"):
        read(source(api.url, paginate=PageNumber(), format="csv"), tmp_path / "s")


def test_a_size_that_no_parameter_asks_for_is_refused_as_it_is_declared() -> None:
    with pytest.raises(ContractError, match="one of size and size_parameter"):
        PageNumber(size=5)


@pytest.mark.parametrize(
    "options",
    [
        {"paginate": Cursor(parameter="month", path="next"), "query": {"month": "{month}"}},
        {"auth": ApiKey(secret=Secret(file="orders_token"), query="page"), "paginate": PageNumber()},
    ],
)
def test_a_parameter_that_is_set_twice_is_refused_as_it_is_declared(options: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="set the parameter"):
        source("http://example.org", **options)
