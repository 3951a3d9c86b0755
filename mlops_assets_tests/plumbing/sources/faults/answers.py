"""Rounds on REST services whose pages and answers are not what they should be, over real HTTP.

Put here how such a service is declared. Keep out what it answers (``service``) and faults of connections (``wire``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.plumbing.sources.http.auth import ApiKey, Basic, Bearer, OAuth2
from mlops_assets.plumbing.sources.http.limits import Limits
from mlops_assets.plumbing.sources.http.pages import Cursor, LinkHeader, NextAddress, Offset, PageNumber
from mlops_assets.plumbing.sources.http.rest import RestSource
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.api import ApiServer
from mlops_assets_tests.plumbing.sources.faults import page_reference, visits
from mlops_assets_tests.plumbing.sources.faults.dialects import contract
from mlops_assets_tests.plumbing.sources.faults.reference import typed
from mlops_assets_tests.plumbing.sources.faults.rounds import SECRET, Bench, Case
from mlops_assets_tests.plumbing.sources.faults.service import ATTEMPTS, TOKEN, Service

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

MOST_PAGES: Final = 30
QUICK: Final = Limits(
    connect_seconds=1.0,
    answer_seconds=2.0,
    idle_seconds=1.0,
    total_seconds=5.0,
    attempts=ATTEMPTS,
    first_delay_seconds=0.002,
    longest_delay_seconds=0.05,
)
SIGNATURE: Final = "sg9-7f3a-signature"


def declared(chance: random.Random, url: str, **options: Any) -> RestSource:  # noqa: ANN401  options of a declaration
    """A declaration that signs in somehow."""
    secret = Secret(file="token")
    auth = chance.choice([
        None,
        Bearer(secret=secret),
        ApiKey(secret=secret, header="X-Api-Key"),
        ApiKey(secret=secret, query="key"),
        Basic(user="reader", password=secret),
        OAuth2(token_url=f"{url}/token", client_id="us", client_secret=secret),
    ])  # fmt: skip
    given = {
        "contract": contract(chance),
        "snapshot": True,
        "auth": auth,
        "limits": QUICK,
        "query": {"signature": SIGNATURE},
    }
    return RestSource(url=f"{url}/", **{**given, **options})


def _style(service: Service) -> Any:  # noqa: ANN401  one of several
    total = "meta.total" if service.total else None
    match service.style:
        case "page_number":
            sized: dict[str, Any] = (
                {"size_parameter": "size", "size": service.size} if service.chance.random() < 0.5 else {}
            )
            return PageNumber(total=total, **sized)
        case "offset":
            return Offset(limit=service.size, total=total)
        case "cursor":
            return Cursor(path="meta.next", total=total)
        case "link_header":
            return LinkHeader(total=total)
        case "next_address":
            return NextAddress(path="meta.next", total=total)
    return None


@contextmanager
def pages(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """Pages that come again, go missing, never end, break or are refused."""
    del bench
    service = Service(chance)
    truth, wanted = typed(service.given), service.accepted()
    good = list(service.pages)

    def heal() -> None:
        service.fault = "none"
        service.pages = good

    with ApiServer(service) as api:
        source = declared(
            chance,
            api.url,
            paginate=_style(service),
            format="csv" if service.csv else "json",
            rows=None if service.csv else "data",
            most_pages=MOST_PAGES,
        )
        if service.fault == "endless":
            service.pages = list(good)
        most = (MOST_PAGES + 2) * 2 + ATTEMPTS * 2
        yield Case(
            fault=f"{'CSV' if service.csv else 'JSON'} {service.style}: {service.fault}",
            source=source,
            accepted=wanted,
            truth=truth,
            heal=heal,
            private=visits.words_of(service.given) + page_reference.only_rows(service.broken),
            secrets=(SECRET, SIGNATURE, TOKEN),
            also=lambda _: f"it was asked {service.answers} times" if service.answers > most else None,
        )
