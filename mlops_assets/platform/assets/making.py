"""Making partitions: from what a step reads to what is published, of one partition or of many at once.

Put here the order of it: read, call, stage, audit, publish. Keep out how each of these is done, and what Dagster is
told (``step``).

The function is called for each partition. What it gave is then audited by one query and published by one transaction,
and what goes wrong with one partition keeps none of the others back.
"""

from __future__ import annotations

import dataclasses
import inspect
import time
import traceback
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import duckdb
from dagster._core.definitions.utils import NoValueSentinel

from mlops_assets.platform import provenance
from mlops_assets.platform.assets.failures import is_end
from mlops_assets.platform.assets.reading import pinned_versions, read_inputs
from mlops_assets.platform.audit import audit
from mlops_assets.platform.audit.outcomes import Audit, judged_outcomes
from mlops_assets.platform.audit.quarantine import set_aside
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.volume import ACCEPTED_TAG, Reference
from mlops_assets.platform.errors import CatalogAwayError, ContractError, PlatformError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.frames import FrameError, as_ibis, framed
from mlops_assets.platform.lake.ledger import PublishRecord
from mlops_assets.platform.lake.publish import Outcome, OvertakenError, Replacement, publish_all
from mlops_assets.platform.lake.stage import lease, stage
from mlops_assets.platform.withheld import withhold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.platform.assets.inputs import Read
    from mlops_assets.platform.assets.reading import Input
    from mlops_assets.platform.assets.step import Partition, Step
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry, QuarantineRecord
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.lake.stage import StagedFile

_ATTEMPTS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a run of a step makes its partitions from.

    Attributes:
        step: what is done.
        context: Dagster's.
        given: config, resources and plain inputs, by the names of the function's parameters.
        reads: the upstream tables, by those names.
    """

    step: Step
    context: dg.AssetExecutionContext
    given: Mapping[str, object]
    reads: Mapping[str, Read]

    @property
    def contract(self) -> Contract:
        """The table."""
        return self.step.contract


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of a partition: its audit, and the publish unless that stopped it.

    Attributes:
        audit: what was found.
        metadata: what the function says of it.
        tags: of the materialization, as the function gave them.
        published: the publish; ``None`` where the audit stopped it.
        seconds: how long reading, the function and staging took.
    """

    audit: Audit
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    published: Outcome | None = None
    seconds: float = 0.0


Result = Made | Exception
"""What became of a partition, or why it was not made."""


@dataclass(kw_only=True)
class _Draft:
    """A partition whose rows are staged; the frame that they came in is let go."""

    partition: Partition
    before: Entry | None
    inputs: Mapping[str, Input]
    check_results: Sequence[dg.AssetCheckResult]
    metadata: Mapping[str, Any]
    tags: Mapping[str, str]
    file: StagedFile
    seconds: float

    def reference(self, accepted: frozenset[int]) -> Reference:
        return Reference(rows=self.before.record.rows if self.before is not None else None, accepted=accepted)


def make(task: Task, session: LakeSession, partitions: Sequence[Partition]) -> dict[str | None, Result]:
    """Make the partitions, once more from what is there then where somebody published meanwhile or from newer inputs.

    Args:
        task: from what.
        session: a session that may read and write the step's lakes.
        partitions: different ones, at least one.

    Returns:
        For each partition's key what became of it.

    Raises:
        CatalogAwayError: the catalog did not answer.
        LakeError: the pin of the run's version or the lake itself cannot be read.
    """
    done: dict[str | None, Result] = {}
    left = partitions
    for number in range(1, _ATTEMPTS + 1):
        done |= _attempt(task, session, left, anew=number > 1)
        overtaken = {key: each for key, each in done.items() if isinstance(each, OvertakenError)}
        if not overtaken:
            break
        left = [partition for partition in left if partition.key in overtaken]
        if number < _ATTEMPTS:
            for error in overtaken.values():
                task.context.log.warning("%s Attempt %d of %d follows.", error, number + 1, _ATTEMPTS)
    return done


def _attempt(
    task: Task, session: LakeSession, partitions: Sequence[Partition], *, anew: bool
) -> dict[str | None, Result]:
    contract = task.contract
    current = ledger.current(session, contract, [partition.key for partition in partitions])
    lakes = {read.contract.lake.name for read in task.reads.values()}
    versions = pinned_versions(session, lakes, task.context.instance, task.context.run.run_id, anew=anew)
    done: dict[str | None, Result] = {}
    files: set[StagedFile] = set()
    with lease(session, contract.lake.name) as attempt:
        try:
            drafts = []
            for number, partition in enumerate(partitions):
                try:
                    before = current.get(partition.key)
                    made = _draft(task, session, partition, before, versions, attempt=f"{attempt}-{number}")
                except FrameError as error:
                    made = Made(audit=audit.of_wrong_shape(contract, str(error)))
                except CatalogAwayError:
                    raise
                except Exception as error:  # noqa: BLE001  told with the others'
                    _let_go(error)
                    done[partition.key] = error
                    continue
                except BaseException as error:  # an engine's panic is no Exception
                    if is_end(error):
                        raise
                    done[partition.key] = withhold(error, source=f"Asset {contract.key.to_user_string()}")
                    continue
                if isinstance(made, Made):
                    done[partition.key] = made
                else:
                    files.add(made.file)
                    drafts.append(made)
            return done | (_published(task, session, drafts, files) if drafts else {})
        finally:
            for file in files:
                file.remove()


def _let_go(error: BaseException) -> None:
    """Let go of what the functions that the error came through had in their hands, such as frames."""
    for each in (error, error.__cause__, error.__context__):
        if each is not None:
            traceback.clear_frames(each.__traceback__)


def _draft(
    task: Task,
    session: LakeSession,
    partition: Partition,
    before: Entry | None,
    versions: Mapping[str, int],
    *,
    attempt: str,
) -> _Draft | Made:
    """Call the function and stage what it returns, unless that has not the contract's shape."""
    began = time.perf_counter()
    contract = task.contract
    inputs = read_inputs(
        session,
        task.reads,
        contract,
        partition.key,
        versions=versions,
        instance=task.context.instance,
        run_id=task.context.run.run_id,
    )
    result = _call(task, session, partition, inputs)
    table = as_ibis(session, result.value, rules.columns_of(contract))
    problem = audit.shape_problem(contract, table.schema())
    if problem is not None:
        return Made(audit=audit.of_wrong_shape(contract, problem))
    written = result.value if isinstance(result.value, Path) else None
    file = stage(session, contract, table, written=written, attempt=attempt)
    return _Draft(
        partition=partition,
        before=before,
        inputs=inputs,
        check_results=result.check_results or [],
        metadata=result.metadata or {},
        tags=result.tags or {},
        file=file,
        seconds=time.perf_counter() - began,
    )


def _published(
    task: Task, session: LakeSession, drafts: Sequence[_Draft], files: set[StagedFile]
) -> dict[str | None, Result]:
    """Audit the drafts, and publish those that pass; ``files`` gains what is staged for that."""
    accepted = _accepted(task.context)
    candidates = [
        audit.Candidate(file=draft.file, partition=draft.partition.values, reference=draft.reference(accepted))
        for draft in drafts
    ]
    done: dict[str | None, Result] = {}
    passed: dict[str | None, tuple[Made, Replacement]] = {}
    audits = _audited(session, task.contract, candidates)
    for draft, candidate, found in zip(drafts, candidates, audits, strict=True):
        if isinstance(found, Exception):
            done[draft.partition.key] = found
            continue
        try:
            judged = judged_outcomes(task.contract, draft.check_results)
            whole = dataclasses.replace(found, outcomes=(*found.outcomes, *judged))
            made, replacement = _settled(task, session, draft, candidate, whole)
        except CatalogAwayError:
            raise
        except Exception as error:  # noqa: BLE001  told with the others'
            done[draft.partition.key] = error
            continue
        if replacement is None:
            done[draft.partition.key] = made
        else:
            files.update(replacement.files)
            passed[draft.partition.key] = (made, replacement)
    outcomes = _publish(session, task.contract, {key: replacement for key, (_, replacement) in passed.items()})
    for key, outcome in outcomes.items():
        made, _ = passed[key]
        done[key] = dataclasses.replace(made, published=outcome) if isinstance(outcome, Outcome) else outcome
    return done


def _audited(
    session: LakeSession, contract: Contract, candidates: Sequence[audit.Candidate]
) -> list[Audit | duckdb.Error]:
    """Audit them together; one by one, where a rule raises on some value, so that one alone is the culprit."""
    try:
        return [*audit.audit(session, contract, candidates)]
    except duckdb.Error as error:
        if len(candidates) == 1:
            return [error]
        return [found for each in candidates for found in _audited(session, contract, [each])]


def _settled(
    task: Task, session: LakeSession, draft: _Draft, candidate: audit.Candidate, found: Audit
) -> tuple[Made, Replacement | None]:
    """What is to be published of a draft: all of it, the rows that pass, or nothing."""
    made = Made(audit=found, metadata=draft.metadata, tags=draft.tags, seconds=draft.seconds)
    good, bad, aside = draft.file, None, None
    if found.stops:
        settled = set_aside(session, task.contract, candidate, found=found)
        if isinstance(settled, Audit):
            return dataclasses.replace(made, audit=settled), None
        made = dataclasses.replace(made, audit=settled.audit)
        good, bad, aside = settled.good, settled.bad, settled.record
    return made, Replacement(
        partition=draft.partition.values,
        staged=good,
        record=_record(task, session, draft, made.audit, file=good, aside=aside),
        quarantined=bad,
        instead_of=draft.before.version if draft.before is not None else 0,
    )


def _publish(
    session: LakeSession, contract: Contract, replacements: Mapping[str | None, Replacement]
) -> dict[str | None, Outcome | PlatformError]:
    """Publish them together; one by one, where that is refused, so that one alone is the culprit."""
    if not replacements:
        return {}
    try:
        return dict(zip(replacements, publish_all(session, contract, list(replacements.values())), strict=True))
    except CatalogAwayError:
        raise
    except PlatformError as error:
        if len(replacements) == 1:
            return dict.fromkeys(replacements, error)
        done: dict[str | None, Outcome | PlatformError] = {}
        for key, each in replacements.items():
            done |= _publish(session, contract, {key: each})
        return done


def _record(
    task: Task,
    session: LakeSession,
    draft: _Draft,
    audited: Audit,
    *,
    file: StagedFile,
    aside: QuarantineRecord | None,
) -> PublishRecord:
    return PublishRecord(
        publish_id=uuid.uuid4().hex,
        asset=task.contract.key.to_user_string(),
        partition=draft.partition.key,
        run_id=task.context.run.run_id,
        code_version=task.step.code_version,
        code=provenance.origin_of(task.step.function),
        package_version=provenance.package_version(),
        environment=provenance.environment(session.settings),
        columns=list(rules.columns_of(task.contract)),
        content_hash=audited.content_hash or "",
        rows=audited.rows or 0,
        bytes=file.bytes,
        inputs={name: read.record for name, read in draft.inputs.items()},
        checks=[outcome.as_record() for outcome in audited.outcomes],
        published_at=time.time(),
        snapshots={name: read.snapshot for name, read in draft.inputs.items()},
        quarantined=aside,
    )


def _accepted(context: dg.AssetExecutionContext) -> frozenset[int]:
    """The numbers of rows that the run's tag accepts; what is no number accepts none."""
    given = (part.strip() for part in context.run.tags.get(ACCEPTED_TAG, "").split(","))
    return frozenset(int(part) for part in given if part.isdecimal())


def _call(
    task: Task, session: LakeSession, partition: Partition, inputs: Mapping[str, Input]
) -> dg.MaterializeResult[Any]:
    """What the function returns; a bare frame becomes the value of a result.

    Raises:
        ContractError: its result has no value, or names a data version or another asset.
    """
    offered: dict[str, Any] = {
        "context": task.context,
        "partition": partition,
        "session": session,
        "settings": session.settings,
        "versions": {name: read.record.partitions for name, read in inputs.items()},
        **task.given,
        **{name: framed(read.table, task.step.frames[name]) for name, read in inputs.items()},
    }
    wanted = inspect.signature(task.step.function).parameters
    result = task.step.function(**{name: offered[name] for name in wanted})
    if not isinstance(result, dg.MaterializeResult):
        return dg.MaterializeResult(value=result)
    for wrong, culprit, remedy in (
        (result.value is NoValueSentinel, "has no value", "Give the rows as value=."),
        (result.data_version is not None, "names a data_version", "Leave it out: it is the hash of the rows."),
        (result.asset_key not in {None, task.contract.key}, "is of another asset", "Leave asset_key out."),
    ):
        if wrong:
            source = f"Asset {task.contract.key.to_user_string()}"
            raise ContractError(source=source, culprit=f"its MaterializeResult {culprit}.", remedy=remedy)
    return result
