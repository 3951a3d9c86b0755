"""Makes the virtual environment ``.venv`` from ``requirements.lock``: for the Makefile, by the standard library alone.

The lock is installed as it is in the images: by uv, which pip installs from the same lock. Where uv cannot be had or
cannot reach the packages, pip installs all of it, more slowly. Both check every file's hash, and build none.
"""

from __future__ import annotations

import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
READY = VENV / ".ready"
"""There when the environment is whole, and newer than what it was made of."""
MADE_OF = (LOCK, ROOT / "pyproject.toml", Path(__file__))
INSTALL = ROOT / "deploy" / "image" / "install.py"
PIP = (str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")


def main() -> int:
    """Make or complete the environment; returns the exit code."""
    started = time.monotonic()
    usable = _usable()
    if usable and READY.stat().st_mtime > max(file.stat().st_mtime for file in MADE_OF):
        return 0
    if not usable:
        say(f"making the virtual environment with Python {'.'.join(map(str, sys.version_info[:3]))}")
        try:
            venv.create(VENV, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            return fail(f"the virtual environment could not be made ({error})", f"Is there room on the disk of {VENV}?")
    READY.unlink(missing_ok=True)
    count = sum(line[:1].isalnum() for line in LOCK.read_text(encoding="utf-8").splitlines())
    if not _install(count):
        return fail("the packages could not be installed", "Is a package index within reach? See what pip said.")
    READY.touch()
    say(f"the environment is ready, after {time.monotonic() - started:.0f} s")
    return 0


def _usable() -> bool:
    """Whether an environment of this Python is there that was finished: one that was interrupted is made anew."""
    asked = "import sys; print(sys.version, sys.base_prefix)"
    try:
        answer = subprocess.run([PYTHON, "-c", asked], check=False, capture_output=True, text=True)
    except OSError:
        return False
    return READY.exists() and answer.returncode == 0 and answer.stdout.strip() == f"{sys.version} {sys.base_prefix}"


def _install(count: int) -> bool:
    """Install the lock, and the project as it stands here."""
    say(f"installing {count} packages with uv, each checked against its hash")
    if not _succeeds(str(PYTHON), str(INSTALL), str(LOCK)):
        say("uv cannot; pip takes a few minutes")
        if not _succeeds(*PIP, "--require-hashes", "--only-binary", ":all:", "--requirement", str(LOCK)):
            return False
    return _succeeds(*PIP, "--no-build-isolation", "--no-index", "--editable", str(ROOT))


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False).returncode == 0


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
