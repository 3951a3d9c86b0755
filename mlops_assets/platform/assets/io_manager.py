"""The I/O manager by which a plain Dagster asset reads a table of a lake.

Put here reading for assets that are not published into a lake. Keep out published assets' own inputs (``reading``).
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.inputs import In, resolved_in
from mlops_assets.platform.assets.lakes import lakes_of
from mlops_assets.platform.assets.reading import never_published, pinned_version, seen_by_run
from mlops_assets.platform.contracts.lake import placed
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake.frames import framed
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import published_table
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    import ibis.expr.types as ir


class LakeIOManager(dg.ConfigurableIOManager):
    """Reads tables of a lake for plain assets; it writes none.

    An input gets the partitions that Dagster maps to the step's own, or all that are published where the step has no
    partition, as the frame that its annotation names: an Ibis table (also without annotation), a PyArrow table, a
    pandas or a Polars data frame. Like published assets' inputs they are read as they were when the run began.

    Example:
        >>> import dagster as dg
        >>> import pandas as pd
        >>> @dg.asset(ins={"customers": dg.AssetIn(["wrangled", "customers"], input_manager_key="lake_io_manager")})
        ... def report(customers: pd.DataFrame) -> None: ...
    """

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Refuse to write.

        Raises:
            dg.Failure: always, unless there is nothing to write.
        """
        if obj is None:
            return
        with told_plainly(f"Asset {context.asset_key.to_user_string()}"):
            raise ContractError(
                source=f"Asset {context.asset_key.to_user_string()}",
                culprit="its rows cannot be written into a lake by an I/O manager, because nothing would audit them.",
                remedy="Make it a published asset (mlops_assets.asset with schema and lake).",
            )

    def load_input(self, context: dg.InputContext) -> Any:  # noqa: ANN401  whatever the annotation names
        """The rows of the partitions that the step needs.

        Raises:
            dg.Failure: the input is no table of a lake, or a partition that is needed has never been published.
        """
        with told_plainly(f"Input {context.name}"), ExitStack() as stack:
            table = self._table(context, stack)
            frame = framed(table, context.dagster_type.typing_type)
            if frame is table:
                # It is read later, through the session's connection.
                stack.pop_all()
            return frame

    def _table(self, context: dg.InputContext, stack: ExitStack) -> ir.Table:
        step = context.step_context
        ins = {context.name: In(context.asset_key)}
        contract = resolved_in(step.job_def, ins, f"Step {step.step.key}")[context.name].contract
        [lake] = lakes_of(step, [contract.lake])
        session = stack.enter_context(LakeSession(placed(Settings.load(), [lake])))
        with partition_loading_context(dynamic_partitions_store=context.instance):
            keys: list[str | None] = list(context.asset_partition_keys) if context.has_asset_partitions else [None]
        version = pinned_version(session, lake.name, context.instance, step.run_id)
        entries = seen_by_run(session, contract, keys, version=version, run_id=step.run_id)
        missing = [key for key in keys if key not in entries]
        if missing and (step.has_partition_key or not entries):
            raise never_published(contract, missing)
        return published_table(session, contract, entries, version=version)
