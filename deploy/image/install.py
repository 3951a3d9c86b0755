# ruff: noqa: INP001, S603  a program of image builds and of the set-up, never imported; what it starts, they name
"""Install a lock into the virtual environment of the running interpreter: uv by pip, everything else by uv.

Put here how packages come in, and what uv has to be told for it. Keep out what is left out of an image afterwards: that
is ``slim``.

What pip is told holds still, whether by arguments, by ``PIP_*`` variables or by its configuration files. uv reads none
of them, and is told the same in its own words.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from optparse import Values

BY_HASH: Final = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
"""Options of both: what is installed is what the lock names, and none of it is built here."""


def main() -> None:
    """Install the lock named first; the arguments behind it are pip's."""
    lock, arguments = Path(sys.argv[1]), sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder, "uv.lock")
        first.write_text(entry("uv", lock.read_text(encoding="utf-8")), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", *arguments, "--no-compile", *BY_HASH]
        _run([*pip, "--requirement", str(first)], {})
    options, variables = in_words_of_uv(arguments)
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--python", sys.executable]
    uv += [*options, *BY_HASH, "--requirement", str(lock)]
    # Its metadata would hold when each wheel of a folder came in, and no two images would be equal.
    _run(uv, {**variables, "UV_NO_INSTALLER_METADATA": "1"})
    Path(sys.prefix, ".lock").unlink(missing_ok=True)


def _run(command: list[str], variables: dict[str, str]) -> None:
    """Run a command, or end as it ended; it has said why, and its words may hold credentials of an index."""
    code = subprocess.run(command, check=False, env={**os.environ, **variables}).returncode
    if code != 0:
        sys.exit(code)


def entry(name: str, lock: str) -> str:
    """The requirement of that name with its hashes, as it stands in the lock."""
    found = re.search(rf"^{name}==(.*\\\n)*.*\n", lock, re.MULTILINE)
    if found is None:
        sys.exit(
            f"The lock holds no {name}, which installs it: add it to pyproject.toml's group build, then make lock."
        )
    return found[0]


def in_words_of_uv(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """The options and variables of uv that say what pip is told."""
    pip = _told(arguments)
    # pip believes the machine's authorities too, and takes a file from whichever index has it: its hash decides.
    options = ["--system-certs", "--index-strategy", "unsafe-best-match"]
    options += [] if pip.cache_dir else ["--no-cache"]
    options += ["--no-index"] if pip.no_index else ["--default-index", pip.index_url]
    repeated = {
        "--index": [] if pip.no_index else pip.extra_index_urls,
        "--find-links": pip.find_links,
        "--allow-insecure-host": pip.trusted_hosts,
    }
    options += [word for option, values in repeated.items() for value in values for word in (option, value)]
    variables = {
        "UV_HTTP_TIMEOUT": f"{pip.timeout:.0f}",
        "UV_HTTP_RETRIES": f"{pip.retries}",
        "SSL_CERT_FILE": pip.cert or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"),
        "SSL_CLIENT_CERT": pip.client_cert,
        "HTTP_PROXY": pip.proxy,
        "HTTPS_PROXY": pip.proxy,
    }
    return options, {name: value for name, value in variables.items() if value}


def _told(arguments: list[str]) -> Values:
    """What pip makes of arguments, variables and configuration files. No public part of it gives the three together."""
    from pip._internal.commands import create_command  # noqa: PLC0415  a virtual environment may have no pip

    options, _ = create_command("install").parse_args(arguments)
    return options


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        # Whoever started it says what that means.
        sys.exit(130)
