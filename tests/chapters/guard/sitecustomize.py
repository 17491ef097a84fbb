"""Cuts a Python process off from everything but this machine, before it runs any other code.

`tests/chapters/run.py` puts this folder on PYTHONPATH, so the kernels of the notebooks, and whatever
Python they start, import it at start. An audit hook cannot be taken off again, and it sees the calls
of the socket module itself, whichever library makes them. Proxy variables are dropped: a proxy on
this machine would be a loopback address that leads outside.
"""

import ipaddress
import os
import sys

LOOPBACK_NAMES = {"localhost", "localhost.", "ip6-localhost", ""}


def is_loopback(host: object) -> bool:
    """Whether a host, given as name or address, is this machine."""
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse(event: str, arguments: tuple) -> None:
    """Raises for a connection or a look-up that leaves this machine."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if not isinstance(address, tuple) or is_loopback(address[0]):
            return  # a path of a local socket, or this machine
        target = address[0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if is_loopback(arguments[0]):
            return
        target = arguments[0]
    else:
        return
    raise ConnectionRefusedError(f"no network in tests: {event} to {target!r} was refused")


for name in list(os.environ):
    if name.lower().endswith("_proxy"):
        del os.environ[name]
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
sys.addaudithook(refuse)
os.environ["CLSLAB_TEST_GUARD"] = "on"
