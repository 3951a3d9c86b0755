"""Commands by declaration: a program or script whose standard output, or a file that it writes, is a partition.

Put here what a ``CommandSource`` declares, what the command is given, and what its end means. Keep out how a process is
started, watched and ended (``process``), and how its output is unpacked (``formats.packing``) and parsed (``formats``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import signal
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

from pydantic import Field, model_validator

from mlops_assets.platform.errors import ContractError, SourceError, SourceUnavailableError
from mlops_assets.platform.withheld import withhold
from mlops_assets.plumbing.sources.command import process
from mlops_assets.plumbing.sources.command.arguments import (
    OUTPUT_VARIABLE,
    PARTITION_VARIABLE,
    filled_arguments,
    require_arguments,
)
from mlops_assets.plumbing.sources.formats import packing
from mlops_assets.plumbing.sources.formats.kinds import Delimited, Format
from mlops_assets.plumbing.sources.secret import Secret, Text, hidden_of, text_of
from mlops_assets.plumbing.sources.source import Source
from mlops_assets.plumbing.sources.templates import filled, require_known
from mlops_assets.plumbing.sources.variants import Texts, Words, above

if TYPE_CHECKING:
    from mlops_assets.platform.lake.ledger import Delivery
    from mlops_assets.plumbing.sources.command.process import Ended
    from mlops_assets.plumbing.sources.delivered import Delivered, Fact, Request
    from mlops_assets.plumbing.sources.hidden import Hidden

EX_TEMPFAIL: Final = 75
"""The exit code by which a command says that trying later may succeed (sysexits.h)."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_LINES: Final = 5
_LONGEST_LINE: Final = 200


class CommandSource(Source):
    """A command whose output is the partition that it is asked for.

    It gets its arguments as they are declared, without a shell, and a clean environment: PATH; HOME and TMPDIR, which
    are a fresh folder; LANG=C.UTF-8; the partition's key as MLOPS_ASSETS_PARTITION; and the variables declared here.
    It has succeeded with exit code 0; exit code 75 means that trying later may.

    Attributes:
        command: the program and its arguments. In them ``{partition}``, ``{month}`` and the like are filled in, and
            ``{output}`` is the path of the file that it writes. The text that a shell is given to run (``sh -c``) is
            left as it is: it finds what it needs in ``"$1"`` or in its variables.
        output: the name of the file that it writes into its fresh folder, whose path is also in MLOPS_ASSETS_OUTPUT.
            Without it, what it writes to its standard output is the extract.
        format: what is in it. That it is packed (zip with one member, gzip, zstd) is told by its first bytes.
        cwd: the folder in which it starts, if not the fresh one.
        environment: further variables.
        secrets: variables whose values are secrets.
        timeout_seconds: how long it may run.
        most_bytes: how large the extract may become, as it is written.

    Example:
        >>> import dagster as dg, ibis.expr.datatypes as dt, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Orders(pa.DataFrameModel):
        ...     month: dt.String
        ...     order_id: dt.Int64
        >>> ORDERS = ma.Contract(
        ...     layer="raw",
        ...     table="orders",
        ...     model=Orders,
        ...     lake=ma.Lake("curated"),
        ...     description="What was ordered.",
        ...     owners=["team:sales"],
        ...     partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"),
        ...     partition_columns={"month": "month"},
        ... )
        >>> script = 'echo order_id; echo "$1" | tr -d -'
        >>> orders = ma.CommandSource(contract=ORDERS, command=["sh", "-c", script, "sh", "{month}"])
        >>> dg.materialize([orders.asset()], partition_key="2024-01").success
        True
    """

    command: Annotated[Words, Field(min_length=1)]
    output: str | None = None
    format: Format = Delimited()
    cwd: Text | None = None
    environment: Texts = {}  # noqa: RUF012  pydantic copies it
    secrets: dict[str, Secret] = {}  # noqa: RUF012  pydantic copies it, and Dagster knows a dict of these alone
    timeout_seconds: Annotated[float, above(0)] = 3600.0
    most_bytes: Annotated[int, above(0)] = packing.MOST_BYTES

    KIND: ClassVar[str] = "command"
    VERSION: ClassVar[str] = "1"
    PLACES: ClassVar[frozenset[str]] = frozenset({"cwd", "environment", "secrets", "timeout_seconds", "most_bytes"})

    EXAMPLE: ClassVar[Mapping[str, Any]] = {
        "command": ["./extract.sh", "{partition}"],
        "cwd": "{{ context.project_root }}",
        "timeout_seconds": 3600,
    }

    @property
    def _source(self) -> str:
        return f"Command {self.command[0]} of {self.contract.key.to_user_string()}"

    @model_validator(mode="after")
    def _require_what_can_be_run(self) -> Self:
        require_arguments(self.name, self.command, self.contract, output=self.output is not None)
        if self.output is not None:
            require_known(self.name, "output", self.output, self.contract)
            if not _is_name(self.output):
                raise self._contract_error(
                    f"its output {self.output} is no name of a file.",
                    "Name a file without a folder: the command finds its path in MLOPS_ASSETS_OUTPUT.",
                )
        for name in [*self.environment, *self.secrets]:
            if _VARIABLE.fullmatch(name) is None or name in {PARTITION_VARIABLE, OUTPUT_VARIABLE}:
                raise self._contract_error(
                    f"it gives the command a variable {name}, which is no name of one, or has its meaning already.",
                    "Use letters, digits and underscores.",
                )
        if twice := sorted({*self.environment} & {*self.secrets}):
            raise self._contract_error(
                f"its variable {twice[0]} is in environment and in secrets.", "Name it once, a secret in secrets."
            )
        return self

    def read(self, request: Request) -> Delivered:
        """Run the command, see that it has ended well, unpack and parse its output."""
        secrets = {name: secret.read(request.settings) for name, secret in self.secrets.items()}
        hidden = hidden_of(self.secrets, request.settings)
        place = Path(tempfile.mkdtemp(prefix="command-", dir=request.scratch))
        home = place / "home"
        home.mkdir()
        output = home / self._output_name(request) if self.output is not None else place / "standard-output"
        command = process.Command(
            source=self._source,
            arguments=filled_arguments(
                self._source,
                self.command,
                self.contract,
                request.partition,
                output if self.output is not None else None,
            ),
            environment={**self._environment(request, home, output), **secrets},
            cwd=Path(text_of(self.cwd, "cwd")) if self.cwd is not None else home,
            output=output,
            writes=self.output is not None,
            timeout_seconds=self.timeout_seconds,
            most_bytes=self.most_bytes,
        )
        ended = process.run(command, request.connection)
        problem = self._problem(ended, output)
        if problem is not None:
            raise self._told(problem, ended, hidden)
        shutil.move(output, request.raw)
        shutil.rmtree(place, ignore_errors=True)
        with request.raw.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            size = opened.tell()
        facts: dict[str, Fact] = {
            "command": self.command[0],
            "command_seconds": round(ended.seconds, 3),
            "output_bytes": size,
            "output_sha256": digest,
        }
        return dataclasses.replace(self._parsed(request, facts, proven=False), hidden=hidden, sha256=digest)

    def reread(self, request: Request, delivery: Delivery) -> Delivered:
        """Unpack and parse the output that was kept."""
        return self._parsed(request, delivery.facts, proven=True)

    def _parsed(self, request: Request, facts: Mapping[str, Fact], *, proven: bool) -> Delivered:
        delivered, _ = self.format.read(request, self._source, proven=proven)
        return dataclasses.replace(delivered, facts=facts)

    def _output_name(self, request: Request) -> str:
        name = filled(self.output or "", self.contract, request.partition)
        if not _is_name(name):
            raise SourceError(
                source=self._source,
                culprit=f"its output {name!r} is no name of a file.",
                remedy="Name it without the partition, or correct the partition's key.",
            )
        return name

    def _environment(self, request: Request, home: Path, output: Path) -> dict[str, str]:
        given = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "TMPDIR": str(home)}
        given |= {"LANG": "C.UTF-8", **self.environment}
        if request.partition.key is not None:
            given[PARTITION_VARIABLE] = request.partition.key
        if self.output is not None:
            given[OUTPUT_VARIABLE] = str(output)
        return given

    def _problem(self, ended: Ended, output: Path) -> SourceError | None:
        """What is wrong with its end, if anything; its remedy is what to do beside reading what it said."""
        kind: type[SourceError] = SourceError
        remedy = "Correct the command, or what it asks."
        if ended.stop is process.Stop.TIME:
            kind = SourceUnavailableError
            culprit = f"it ran for more than {self.timeout_seconds:g} s, and was ended."
            remedy = "Find out what it waits for, or give it more timeout_seconds."
        elif ended.stop is process.Stop.SIZE:
            culprit = f"it wrote more than {self.most_bytes:,} bytes, and was ended."
            remedy = "Find out why, or let it write more (most_bytes)."
        elif ended.code == EX_TEMPFAIL:
            kind = SourceUnavailableError
            culprit = f"it ended with exit code {EX_TEMPFAIL}: it may succeed later."
            remedy = "Wait until what it asks is there."
        elif ended.code > 0:
            culprit = f"it ended with exit code {ended.code}."
        elif ended.code < 0:
            culprit = f"it was ended by signal {-ended.code} ({signal.strsignal(-ended.code)})."
            remedy = "Find out who sent it; where it was 9, the machine may have run out of memory."
        elif ended.stop is not None:
            culprit = "something that it started still held its standard output after its end, so more could follow."
            remedy = "Let it wait for what it starts (wait), or redirect what is to run beside it (>/dev/null 2>&1)."
        elif not _is_file(output):
            culprit = f"it ended with exit code 0, and has not written the file {output.name}."
            remedy = f"Let it write to the path in {OUTPUT_VARIABLE}."
        else:
            return None
        return kind(source=self._source, culprit=culprit, remedy=remedy)

    def _told(self, problem: SourceError, ended: Ended, hidden: Hidden) -> SourceError:
        """The problem with what the command said of it: kept for its owner, and the last lines told if they may be."""
        said = hidden.said(ended.said.decode(errors="backslashreplace")).strip()
        if not said:
            return problem
        culprit = problem.culprit
        if not self.contract.personal:
            lines = [line.strip() for line in said.splitlines() if line.strip()][-_MOST_LINES:]
            culprit = f"{culprit} It said last: {' | '.join(map(_shown, lines))}."
        kept = withhold(CommandMessagesError(said), source=self._source)
        return type(problem)(source=problem.source, culprit=culprit, remedy=f"{problem.remedy} {kept.remedy}")

    def _contract_error(self, culprit: str, remedy: str) -> ContractError:
        return ContractError(source=self.name, culprit=culprit, remedy=remedy)


class CommandMessagesError(Exception):
    """What a command that has failed wrote to its standard error."""


def _is_name(text: str) -> bool:
    return text not in {"", ".", ".."} and "/" not in text and "\0" not in text


def _is_file(path: Path) -> bool:
    """Whether it is a plain file: to open a pipe would wait for ever."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _shown(line: str) -> str:
    line = "".join(sign if sign.isprintable() else " " for sign in line)
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
