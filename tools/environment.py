"""Makes the virtual environment ``.venv`` from ``requirements.lock``: for the Makefile, by the standard library alone.

The lock is installed by uv, which is itself installed by pip from the same lock. Where uv cannot be had or cannot reach
the packages, pip installs all of it, more slowly. Whoever installs checks the hash of every file, and builds none.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
READY = VENV / ".ready"
"""There when the environment is whole; the Makefile compares its time with those of the lock and of this file."""
LOCKED = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement")
PROJECT = ("--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT))
# What pip warns of (its own age, places that are not there) is nothing that a newcomer can mend.
PIP = (str(PYTHON), "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check")


def main() -> int:
    """Make or complete the environment; returns the exit code."""
    started = time.monotonic()
    if not _usable():
        say(f"making the virtual environment with Python {'.'.join(map(str, sys.version_info[:3]))}")
        try:
            venv.create(VENV, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            return fail(f"the virtual environment could not be made ({error})", f"Is there room on the disk of {VENV}?")
    READY.unlink(missing_ok=True)
    count = sum(line[:1].isalnum() for line in LOCK.read_text(encoding="utf-8").splitlines())
    if not (_install_by_uv(count) or _install_by_pip(count)):
        return fail("the packages could not be installed", "Is a package index within reach? See what pip said.")
    READY.touch()
    say(f"the environment is ready, after {time.monotonic() - started:.0f} s")
    return 0


def _usable() -> bool:
    """Whether an environment of this Python is there that was finished: one that was interrupted is made anew."""
    try:
        answer = subprocess.run(
            [PYTHON, "-c", "import sys; print(sys.base_prefix)"], check=False, capture_output=True, text=True
        )
    except OSError:
        return False
    return READY.exists() and answer.returncode == 0 and answer.stdout.strip() == sys.base_prefix


def _install_by_uv(count: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        only_uv = Path(folder, "uv.txt")
        only_uv.write_text(requirement("uv"), encoding="utf-8")
        if subprocess.run([*PIP, *LOCKED, str(only_uv)], check=False).returncode:
            say("uv cannot be had")
            return False
    say(f"installing {count} packages with uv, each checked against its hash")
    uv = (str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(PYTHON))
    if all(subprocess.run([*uv, *words], check=False).returncode == 0 for words in ((*LOCKED, str(LOCK)), PROJECT)):
        return True
    say("uv could not install them; it does not read pip's configuration")
    return False


def _install_by_pip(count: int) -> bool:
    say(f"installing {count} packages with pip: a few minutes")
    return all(subprocess.run([*PIP, *words], check=False).returncode == 0 for words in ((*LOCKED, str(LOCK)), PROJECT))


def requirement(name: str) -> str:
    """The lines of the lock that hold one package, with its hashes."""
    lines = LOCK.read_text(encoding="utf-8").splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith(f"{name}=="))
    rest = next(number for number, line in enumerate(lines[first + 1 :], first + 1) if not line.startswith("    --"))
    return "".join(lines[first:rest])


def say(text: str) -> None:
    """Tell what is under way."""
    print(f"set-up: {text}", flush=True)


def fail(culprit: str, remedy: str) -> int:
    """Tell what went wrong and what to do; the exit code."""
    print(f"set-up: {culprit}. {remedy}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("interrupted; the next command begins anew")
        sys.exit(130)
