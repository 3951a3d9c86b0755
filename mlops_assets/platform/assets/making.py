"""Making partitions: from what a step reads to what is published, of one partition or of many at once.

Put here the order of it: read, call, stage, audit, publish. Keep out how each of these is done, and what Dagster is
told (``step``).

The function is called for each partition. What it gave is then audited by one query and published by one transaction,
and what goes wrong with one partition keeps none of the others back.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Final

from mlops_assets.platform import provenance
from mlops_assets.platform.assets.auditing import audited
from mlops_assets.platform.assets.drafting import Draft, Made, Result, Task, drafts
from mlops_assets.platform.assets.failures import ending
from mlops_assets.platform.assets.raw import of_metadata
from mlops_assets.platform.assets.reading import pinned_versions
from mlops_assets.platform.audit import audit
from mlops_assets.platform.audit.outcomes import Audit, judged_outcomes
from mlops_assets.platform.audit.quarantine import set_aside
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.volume import ACCEPTED_TAG
from mlops_assets.platform.errors import CatalogAwayError, PlatformError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.ledger import PublishRecord
from mlops_assets.platform.lake.publish import Outcome, OvertakenError, Replacement, publish_all
from mlops_assets.platform.lake.stage import lease

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import dagster as dg

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import QuarantineRecord
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.lake.stage import StagedFile

_ATTEMPTS: Final = 4


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
    files: set[StagedFile] = set()
    with lease(session, contract.lake.name) as attempt:
        drafted = drafts(task, session.settings, partitions, current, versions, attempt=attempt, files=files)
        try:
            with closing(drafted):
                return _published(task, session, drafted, files, most=len(partitions))
        finally:
            for file in files:
                file.remove()


def _published(
    task: Task,
    session: LakeSession,
    drafted: Iterable[tuple[Partition, Result | Draft]],
    files: set[StagedFile],
    *,
    most: int,
) -> dict[str | None, Result]:
    """Audit the drafts, and publish those that pass; ``files`` gains what is staged for that."""
    accepted = _accepted(task.context)
    done: dict[str | None, Result] = {}
    passed: dict[str | None, tuple[Made, Replacement]] = {}
    candidates: list[tuple[Draft, audit.Candidate]] = []

    def staged() -> Iterator[audit.Candidate]:
        for partition, each in drafted:
            if not isinstance(each, Draft):
                done[partition.key] = each
                continue
            reference = each.reference(accepted)
            candidate = audit.Candidate(file=each.file, partition=partition.values, reference=reference)
            candidates.append((each, candidate))
            yield candidate

    audits = audited(session, task.contract, staged(), most=most)
    for (draft, candidate), found in zip(candidates, audits, strict=True):
        settled = found if isinstance(found, Exception) else _tried(task, session, draft, candidate, found)
        if isinstance(settled, Exception):
            done[draft.partition.key] = settled
            continue
        made, replacement = settled
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


def _tried(
    task: Task, session: LakeSession, draft: Draft, candidate: audit.Candidate, found: Audit
) -> tuple[Made, Replacement | None] | Exception:
    """What is to be published of a draft, or the error that is told with the others'."""
    try:
        judged = judged_outcomes(task.contract, draft.check_results)
        whole = dataclasses.replace(found, outcomes=(*found.outcomes, *judged))
        return _settled(task, session, draft, candidate, whole)
    except CatalogAwayError:
        raise
    except Exception as error:  # noqa: BLE001
        if (end := ending(error)) is not None:
            raise end from None
        return error


def _settled(
    task: Task, session: LakeSession, draft: Draft, candidate: audit.Candidate, found: Audit
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
    draft: Draft,
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
        code=provenance.origin_of(task.step.function, task.contract.model),
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
        delivery=of_metadata(draft.metadata),
    )


def _accepted(context: dg.AssetExecutionContext) -> frozenset[int]:
    """The numbers of rows that the run's tag accepts; what is no number accepts none."""
    given = (part.strip() for part in context.run.tags.get(ACCEPTED_TAG, "").split(","))
    return frozenset(int(part) for part in given if part.isdecimal())
