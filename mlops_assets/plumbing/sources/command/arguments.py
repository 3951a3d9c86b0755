"""Arguments of a command, filled in for a partition so that a key never becomes an option or a part of a script.

Put here what the arguments of a declared command may name, and how they are filled in. Keep out how it is run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.templates import END, PARTITION, START, filled, require_known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract

PARTITION_VARIABLE: Final = "MLOPS_ASSETS_PARTITION"
"""In this variable the command finds the partition's key."""
OUTPUT_VARIABLE: Final = "MLOPS_ASSETS_OUTPUT"
"""In this variable it finds the path of the file that it is to write."""

_OUTPUT: Final = re.compile(r"(?<!\{)\{output\}(?!\})")
_SHELLS: Final = frozenset({"ash", "bash", "dash", "ksh", "sh", "zsh"})
_RUNS_TEXT: Final = re.compile(r"-[A-Za-z]*c")


def require_arguments(source: str, command: Sequence[str], contract: Contract, *, output: bool) -> None:
    """Refuse a command whose arguments cannot be filled in, or not safely.

    Args:
        source: what is declared, for messages.
        command: the program and its arguments.
        contract: whose partitions they are filled in for.
        output: whether there is a file that ``{output}`` can stand for.

    Raises:
        ContractError: an argument names what is not there; a name stands in the text that a shell runs.
    """
    script = _script(command)
    for place, argument in enumerate(command):
        if place == script:
            _require_no_name(source, argument, contract)
        else:
            require_known(source, "command", _with_output(argument, Path() if output else None), contract)


def filled_arguments(
    source: str, command: Sequence[str], contract: Contract, partition: Partition, output: Path | None
) -> list[str]:
    """The arguments for a partition.

    Args:
        source: how messages name the command.
        command: the program and its arguments as declared.
        contract: the table.
        partition: which one.
        output: the file that ``{output}`` stands for.

    Raises:
        SourceError: one would become an option by the partition's key.
    """
    script = _script(command)
    arguments = []
    for place, template in enumerate(command):
        argument = template if place == script else filled(_with_output(template, output), contract, partition)
        if argument.startswith("-") and not template.startswith("-"):
            raise SourceError(
                source=source,
                culprit=f"its argument {template} would begin with -, so that it would be read as an option.",
                remedy="Declare it behind something, such as --key={partition} or ./{partition}.",
            )
        arguments.append(argument)
    return arguments


def _script(command: Sequence[str]) -> int | None:
    """The place of the text that a shell is given to run, also where another program starts that shell."""
    shell = False
    for place, argument in enumerate(command[:-1]):
        if shell and _RUNS_TEXT.fullmatch(argument):
            return place + 1
        shell = shell or Path(argument).name in _SHELLS
    return None


def _require_no_name(source: str, script: str, contract: Contract) -> None:
    known = [PARTITION, START, END, "output", *contract.partition_columns.values()]
    # A shell's own ${month} is meant for it.
    found = re.search(rf"(?<!\$)\{{({'|'.join(map(re.escape, known))})[:!}}]", script)
    if found is not None:
        raise ContractError(
            source=source,
            culprit=f"its command names {{{found[1]}}} in the text that a shell runs, where it could become a command.",
            remedy=f'Write "$1" there, and after the text the arguments sh and {{{found[1]}}}; or read '
            f'"${PARTITION_VARIABLE}" and "${OUTPUT_VARIABLE}".',
        )


def _with_output(template: str, output: Path | None) -> str:
    if output is None:
        return template
    path = str(output).replace("{", "{{").replace("}", "}}")
    return _OUTPUT.sub(lambda _: path, template)
