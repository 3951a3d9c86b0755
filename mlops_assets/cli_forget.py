"""The command ``mlops-assets lake forget``: erasing persons from a deployment.

Put here how keys are given, what is shown and asked, and the order in which lakes, exports, deliveries and what lies
about are gone through. Keep out how each of them is done.
"""

from __future__ import annotations

import getpass
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mlops_assets import cli_lake
from mlops_assets.cli_definitions import ModulesOption, known
from mlops_assets.platform import scratch
from mlops_assets.platform.errors import PlatformError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.platform.assets.exported import Exported
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.erasure import Content
    from mlops_assets.platform.lake.erasure_record import ErasureRecord, NotRebuildable
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.lake.unproven import Unproven
    from mlops_assets.platform.leftovers import Words
    from mlops_assets.platform.settings import Settings

app = typer.Typer()

_STANDARD_INPUT: Final = "-"
_MODELS: Final = "models/"

_Keys = dict[str, set[str]]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What an erasure goes by."""

    session: LakeSession
    contracts: Mapping[str, Contract]
    exports: Sequence[Exported]
    keys: _Keys
    words: Words

    @property
    def settings(self) -> Settings:
        return self.session.settings

    def unproven(self, lake: str) -> list[Unproven]:
        """The lake's kept deliveries that may hold them."""
        from mlops_assets.platform.lake.unproven import unproven  # noqa: PLC0415  --help needs no lake

        return unproven(self.session, lake, self.contracts, self.keys, self.words)


@app.command()
def forget(
    keys_file: Annotated[
        str | None,
        typer.Option(help="File with one KIND=VALUE a line, such as voter=NC:AA100; - for standard input."),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    modules: ModulesOption = None,
) -> None:
    """Erase persons from every table, kept version, staged file, export, delivery and error text of the deployment.

    Keys are read from a file, from standard input, or asked for without showing them: an argument would stay in the
    shell's history. Says first what holds them and what cannot be rebuilt afterwards, and asks. Sources do not bring
    them back. A run that was cut off is completed by the same keys. Exit code 1 names what is left of them.

    Of the tables that hold persons of that kind, a kept delivery of a source stays only if it is proven not to hold
    them: all its rows are published, still in the lake, and not theirs. Every other one is removed.
    """
    from mlops_assets.platform.contracts import subjects  # noqa: PLC0415  --help needs no contracts
    from mlops_assets.platform.lake import erasure, matching  # noqa: PLC0415
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415
    from mlops_assets.platform.leftovers import Words  # noqa: PLC0415

    tables = known(modules)
    contracts, settings, lakes = tables.contracts, tables.settings, tables.there(None)
    keys = subjects.parsed(_lines(keys_file), erasure.kinds_of(contracts))
    if not keys:
        typer.echo("No keys were given.")
        raise typer.Exit(2)
    keys = _with_pseudonyms(settings, keys)
    long_enough = sorted(word for word in matching.words_of(keys) if len(word) >= matching.SHORTEST_WORD)
    with LakeSession(settings) as session:
        work = _Work(session=session, contracts=contracts, exports=tables.exports, keys=keys, words=Words(long_enough))
        _show_plan(work, lakes)
        cli_lake.ask("Erase them for good?", yes=yes)
        erasure_id = erasure.begin(session, contracts, keys, by=_asked_by())
        for lake in lakes:
            erasure.erase(session, lake, contracts, keys, erasure_id)
        done = erasure.settle(session, erasure_id)
        problems = [*_renew_exports(work), *_clean_deliveries(work)]
        _remove_kept(work, lakes, erasure_id)
        _remove_texts(work)
        problems += _what_is_left(work, lakes)
        if not problems:
            erasure.finish(session, erasure_id)
    _show_record(erasure_id, done)
    if not any(record.publishes for record in done.values()):
        typer.echo("No table held a row of them: are the keys written as in the tables?", err=True)
    for problem in problems:
        typer.echo(f"Left: {problem}", err=True)
    if problems:
        typer.echo("Mend that and give the same keys again; until then lake check names the erasure.", err=True)
        raise typer.Exit(1)


def _lines(keys_file: str | None) -> list[str]:
    if keys_file is None:
        return [str(typer.prompt("Key (KIND=VALUE)", hide_input=True))]
    if keys_file == _STANDARD_INPUT:
        return sys.stdin.read().splitlines()
    try:
        return Path(keys_file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            source=f"Keys file {keys_file}",
            culprit=f"it cannot be read ({type(error).__name__}).",
            remedy="Name a text file of one KIND=VALUE a line.",
        ) from None


def _with_pseudonyms(settings: Settings, keys: _Keys) -> _Keys:
    """The keys, and the pseudonyms that stand for them in tables without names."""
    from mlops_assets.contracts.subjects import VOTER, VOTER_TOKEN  # noqa: PLC0415
    from mlops_assets.platform.contracts.subjects import normalised  # noqa: PLC0415
    from mlops_assets.wrangling.pseudonyms import person_token  # noqa: PLC0415

    if VOTER not in keys:
        return keys
    key = settings.secret(settings.pseudonym_key, "PSEUDONYM_KEY")
    tokens = {normalised(person_token(voter, key)) for voter in keys[VOTER]}
    return {**keys, VOTER_TOKEN: keys.get(VOTER_TOKEN, set()) | tokens}


def _asked_by() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _show_plan(work: _Work, lakes: Iterable[str]) -> None:
    from mlops_assets.platform.lake import erasure, rewriting  # noqa: PLC0415

    contents: list[Content] = []
    for lake in lakes:
        with rewriting.prepared(work.session, lake, work.contracts, work.keys, writes=False) as found:
            found.look()
            held, publishes = found.affected(), found.publishes()
        for table in sorted({f"{one.file.layer}/{one.file.table}" for one in held}):
            of_table = [one for one in held if f"{one.file.layer}/{one.file.table}" == table]
            rows = sum(count for one in of_table for count, _ in one.removed.values())
            typer.echo(f"{lake}: {table}: {rows:,} rows in {len(of_table):,} files")
        if publishes:
            typer.echo(f"{lake}: {len(publishes):,} publishes that are kept lose rows")
        for each in work.unproven(lake):
            if not each.stays:
                typer.echo(f"{lake}: {each.table}: kept delivery {each.file.name[:12]} is removed: {each.why}")
        contents += [(lake, e.record.asset, e.record.partition or "", e.record.content_hash) for e in publishes]
    if not contents:
        typer.echo("No table holds a row of them: are the keys written as in the tables?")
    _show_lost(erasure.not_rebuildable(work.session, contents).values())
    for name, holding in _exports_with_them(work).items():
        for export_id in holding:
            typer.echo(f"export {export_id} of {name} holds them and is replaced")


def _show_lost(lost: Iterable[Iterable[NotRebuildable]]) -> None:
    every = [one for some in lost for one in some]
    for one in every:
        if one.asset.startswith(_MODELS):
            typer.echo(
                f"model {one.asset} {one.partition} (publish {one.publish_id[:8]}) cannot be rebuilt from its sources"
            )
    tables = Counter(one.asset for one in every if not one.asset.startswith(_MODELS))
    for asset, number in sorted(tables.items()):
        typer.echo(f"{asset}: {number:,} publishes were made from their rows; made again, they are without them")
    direct = sum(one.directly for one in every)
    if every:
        typer.echo(f"{direct:,} publishes read their rows and cannot be rebuilt; {len(every) - direct:,} follow those")


def _exports_with_them(work: _Work) -> dict[str, list[str]]:
    """For each name whose exports hold them the ids of those."""
    from mlops_assets.platform.exports.history import EXPORT_ID  # noqa: PLC0415
    from mlops_assets.platform.leftovers import files_with  # noqa: PLC0415

    holding: dict[str, list[str]] = {}
    for file in sorted(files_with(work.settings.exports, work.words)):
        name, export_id, *_ = (*file.relative_to(work.settings.exports).parts, "")
        if EXPORT_ID.fullmatch(export_id) and export_id not in holding.get(name, []):
            holding.setdefault(name, []).append(export_id)
    return holding


def _renew_exports(work: _Work) -> list[str]:
    """Write an export without them of each name whose exports hold them, and delete those that do."""
    from mlops_assets.platform.assets.inputs import as_key  # noqa: PLC0415
    from mlops_assets.platform.exports.export import discard_exports  # noqa: PLC0415

    declared = {export.served_name: export for export in work.exports}
    problems = []
    for name, holding in _exports_with_them(work).items():
        if name not in declared:
            problems.append(f"exports {', '.join(holding)} of {name}: no definitions that were given declare it.")
            continue
        tables = [work.contracts[as_key(table).to_user_string()] for table in declared[name].tables]
        try:
            declared[name].renew(work.session, tables)
            discard_exports(work.settings.exports / name, holding)
        except PlatformError as error:
            problems.append(f"exports {', '.join(holding)} of {name}: no other could take their place. {error}")
            continue
        typer.echo(f"Replaced {len(holding)} exports of {name}; the service follows the new one by itself.")
    return problems


def _clean_deliveries(work: _Work) -> list[str]:
    """Take their lines out of the landing folder if it is the deployment's own; else say which files list them."""
    from mlops_assets.contracts.subjects import VOTER  # noqa: PLC0415
    from mlops_assets.plumbing.connectors import landing_erasure  # noqa: PLC0415

    landing, voters = work.settings.landing, work.keys.get(VOTER, set())
    if not landing.is_relative_to(work.settings.home.absolute()):
        listing = landing_erasure.listing(landing, voters)
        return [f"{file}: a delivery outside of the home folder lists them." for file in listing]
    gone = landing_erasure.erase(landing, voters)
    if gone:
        typer.echo(f"Rewrote {len(gone)} deliveries in the landing folder.")
    return []


def _remove_kept(work: _Work, lakes: Iterable[str], erasure_id: str) -> None:
    """Remove the kept deliveries that may hold them; what was made from those cannot be rebuilt any more."""
    from mlops_assets.platform.lake import raw  # noqa: PLC0415

    for lake in lakes:
        gone = [each.file for each in work.unproven(lake) if not each.stays]
        raw.erase(gone, erasure_id)
        if gone:
            typer.echo(f"{lake}: removed {len(gone)} kept deliveries that held them, or could not be proven not to.")


def _remove_texts(work: _Work) -> None:
    """Remove what nothing needs: texts of errors that name them, and cached answers of sources, whatever is in them."""
    from mlops_assets.platform.leftovers import files_with  # noqa: PLC0415

    cached = [file for file in (work.settings.home.absolute() / "cache").rglob("*") if file.is_file()]
    for file in (*files_with(work.settings.errors, work.words), *cached):
        file.unlink(missing_ok=True)
        typer.echo(f"Removed {file}.")


def _what_is_left(work: _Work, lakes: Iterable[str]) -> list[str]:
    """What still has them, or may: the lakes' Parquet files decoded, deliveries, the home folder, scratch folders."""
    from mlops_assets.platform.lake.remains import remains  # noqa: PLC0415
    from mlops_assets.platform.leftovers import files_with  # noqa: PLC0415

    scratch.remove_abandoned()
    found: list[str] = []
    for lake in lakes:
        left = remains(work.session, lake, work.contracts, work.keys)
        found += [f"{file}: {wrong}." for file, wrong in left.items()]
        found += [f"{each.file} ({each.table}): {each.why}." for each in work.unproven(lake)]
    # Decoded above; and catalogs hold what is in those files, as does one of a voter of another state with that number.
    looked_at = [work.settings.lake_data_path(lake) for lake in lakes]
    looked_at += [
        catalog.with_name(f"{catalog.name}{suffix}")
        for catalog in map(work.settings.lake_catalog_path, lakes)
        for suffix in ("", "-wal", "-shm")
    ]
    for folder in (work.settings.home.absolute(), *scratch.of_others()):
        found += [f"{file} names them." for file in files_with(folder, work.words, but=looked_at)]
    return found


def _show_record(erasure_id: str, done: Mapping[str, ErasureRecord]) -> None:
    for lake, record in done.items():
        rows = sum(one.rows_removed + one.quarantined_removed for one in record.publishes)
        if rows:
            typer.echo(f"{lake}: {rows:,} rows removed from {len(record.publishes):,} publishes")
    _show_lost(record.not_rebuildable for record in done.values())
    typer.echo(f"Erasure {erasure_id}. Its record is in the catalogs; sources that still deliver them are filtered.")
