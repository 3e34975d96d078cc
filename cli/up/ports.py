"""Whether the API's port is free, and when the API is ready behind it."""

import errno
import http.client
import socket
import time
from collections.abc import Callable

import psutil

from cli.up.errors import AddressRefused, NotReady, PortTaken

READY_SECONDS = 60.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def require_free_port(host: str, port: int) -> None:
    """Raise PortTaken, or AddressRefused when the system forbids the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a connection of the last run that is still fading is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(host=host, port=port, by=_listener(port)) from error
            raise AddressRefused(host=host, port=port, reason=error.strerror or error) from error


def reachable(host: str) -> str:
    """The address to call for a server that listens on `host`."""
    return EVERYWHERE.get(host, host)


def wait_until_ready(
    host: str, port: int, path: str, check: Callable[[], None], patience: float = READY_SECONDS
) -> None:
    """Ask until the answer is 200; `check` is called in between and raises when a part died.

    Raises NotReady with the last answer.
    """
    answer = "nothing"
    deadline = time.monotonic() + patience
    while True:
        check()
        status, answer = _ask(reachable(host), port, path)
        if status == http.client.OK:
            return
        if time.monotonic() >= deadline:  # asked once at least, however long the machine stood
            break
        time.sleep(0.1)
    url = f"http://{reachable(host)}:{port}{path}"
    raise NotReady(seconds=round(patience), url=url, answer=answer)


def _ask(host: str, port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, f"{response.status} {response.read(500).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def _listener(port: int) -> str:
    """Who listens there, as far as the system tells us."""
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.pid and address and address.port == port:
                return f" (pid {connection.pid}, {psutil.Process(connection.pid).name()})"
    except psutil.Error:
        return ""
    return ""
