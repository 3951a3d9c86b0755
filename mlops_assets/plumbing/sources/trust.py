"""Which servers need not prove who they are: those on this machine. A network's word for it is never enough.

Put here how such a server is recognised. Keep out how others prove it (each transport does).
"""

from __future__ import annotations

import ipaddress


def is_on_this_machine(host: str | None) -> bool:
    """Whether it is a loopback address, a socket's path, or none at all, which means one of these."""
    if not host or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
