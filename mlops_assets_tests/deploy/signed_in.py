"""A loopback address that leads to the deployment's reverse proxy, signed in with a client certificate.

Put here what lets a browser without certificates of its own see the UI. Keep out assertions.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mlops_assets_tests.background import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = 2**16


@contextmanager
def signed_in(folder: Path, port: int, certificate: str) -> Iterator[str]:
    """The base address of a forwarder; what passes through it is unchanged.

    Args:
        folder: folder with the certificates.
        port: port of the reverse proxy.
        certificate: name of the certificate to sign in with.
    """
    outward = ssl.create_default_context(cafile=str(folder / "services.crt"))
    outward.load_cert_chain(folder / f"{certificate}.pem")
    # The browser is told not to mind whose certificate this is.
    inward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inward.load_cert_chain(folder / f"{certificate}.pem")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            behind = await asyncio.open_connection("localhost", port, ssl=outward)
            await asyncio.gather(_pipe(reader, behind[1]), _pipe(behind[0], writer))

    with served(lambda: asyncio.start_server(forward, "localhost", 0, ssl=inward)) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()
    writer.close()
