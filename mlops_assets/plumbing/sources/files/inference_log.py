"""The inference log as a source: the files that the REST service leaves of a model that takes outcomes.

Put here what of the log becomes which table. Keep out its tables (``platform.contracts.inference_log``) and how the
service writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mlops_assets.platform.contracts import inference_log
from mlops_assets.platform.contracts.lake import LakeField
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Checksum
from mlops_assets.plumbing.sources.formats.json_lines import JsonLines
from mlops_assets.plumbing.sources.secret import Text


class InferenceLog(dg.Component, dg.Model, dg.Resolvable):
    """What a served model answered and what came of it, as two tables by day: ``raw/<name>_answers``, ``_outcomes``.

    A day is taken once it is over and its file is whole, as its checksum shows. A day without outcomes has none.

    Attributes:
        name: the model's name. Its ``ma.ServedModel`` says what kind its outcomes are.
        lake: where the tables lie; in YAML the dotted name of it.
        since: the first day, such as ``2024-11-05``.
        path: the folder of the service's log, or its address, as of ``ma.FileSource``.
        options: of fsspec for the address.
        owners: whom the tables concern.
        replica: which of several replicas of the service this is; its tables are ``raw/<name>_answers_<replica>`` and
            ``_outcomes_<replica>``, and ``ma.OnlineMonitoring`` is told of all (``replicas``).

    Example:
        >>> import mlops_assets as ma
        >>> log = ma.InferenceLog(name="churn", lake=ma.Lake("curated"), since="2024-11-05", path="/var/log/inference")
        >>> sorted(asset.key.to_user_string() for asset in log.definitions().assets)
        ['raw/churn_answers', 'raw/churn_outcomes']
    """

    name: str
    lake: LakeField
    since: str
    path: Text
    options: Mapping[str, Any] = {}
    owners: list[str] = []  # noqa: RUF012  pydantic copies it
    replica: str = ""

    def sources(self) -> list[FileSource]:
        """The sources of both tables.

        Raises:
            ContractError: the model's or the replica's name could not be a table's.
        """
        return [
            FileSource(
                contract=contract(self.name, self.lake, since=self.since, owners=self.owners, replica=self.replica),
                path=self.path,
                options=self.options,
                file=f"{self.name}/{kind}/{{{inference_log.DATE}}}.jsonl",
                format=JsonLines(),
                whole=Checksum(),
            )
            for kind, contract in (("answers", inference_log.answers), ("outcomes", inference_log.outcomes))
        ]

    def definitions(self) -> dg.Definitions:
        """The assets and their sensors."""
        return dg.Definitions.merge(*(source.definitions() for source in self.sources()))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The same, of a component."""
        return dg.Definitions.merge(*(source.build_defs(context) for source in self.sources()))
