"""Sources of a few answers over HTTP, asked as their owner wants it: what came is kept like that of any other kind.

Put here what such kinds have in common. Keep out services that are declared alone (``rest``, ``file``).
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import TYPE_CHECKING

from mlops_assets.plumbing.sources.hidden import Hidden
from mlops_assets.plumbing.sources.http.fetcher import Fetcher
from mlops_assets.plumbing.sources.http.recording import Player, Recorder
from mlops_assets.plumbing.sources.source import Source

if TYPE_CHECKING:
    from mlops_assets.platform.lake.ledger import Delivery
    from mlops_assets.plumbing.sources.delivered import Delivered, Request
    from mlops_assets.plumbing.sources.http.recording import Pages


class FetchedSource(Source):
    """A source whose answers are put together by ``collected``, in an order that the answers alone decide."""

    @abstractmethod
    def collected(self, request: Request, pages: Pages, hidden: Hidden) -> Delivered:
        """The rows of a partition.

        Args:
            request: which one.
            pages: gives the answers: the source, or what was kept of it.
            hidden: gains the secrets with which it is asked.

        Raises:
            SourceError: as ``read``.
        """

    def read(self, request: Request) -> Delivered:
        """Ask for all answers."""
        hidden = Hidden()
        with (
            hidden.in_errors(),
            Fetcher.from_settings(request.settings) as fetcher,
            Recorder(fetcher, request.raw, hidden) as recorder,
        ):
            return dataclasses.replace(self.collected(request, recorder, hidden), hidden=hidden)

    def reread(self, request: Request, delivery: Delivery) -> Delivered:
        """All answers as they were kept."""
        with Player(request.raw, delivery.origin) as player:
            return dataclasses.replace(self.collected(request, player, Hidden()), facts=delivery.facts)
