"""The supervisor's pieces on their own: ports, readiness, lines and the banner."""

import http.server
import io
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.up import Addresses, AddressRefused, Child, NotReady, PartEnded, PortTaken
from cli.up.command import UpSettings, banner, linli
from cli.up.console import Console
from cli.up.parts import KEPT_LINES, Part, describe, stop_all
from cli.up.ports import require_free_port, wait_until_ready


class Starting(http.server.BaseHTTPRequestHandler):
    """Says 503 twice, then 200."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        ready = self.asked > 2 and self.path == "/readyz"
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b"" if ready else "数据库 not migrated".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    Starting.asked = 0
    with http.server.HTTPServer(("127.0.0.1", 0), Starting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_readiness_is_awaited(port: int) -> None:
    checks: list[int] = []
    wait_until_ready("0.0.0.0", port, "/readyz", lambda: checks.append(1))
    assert Starting.asked == 3
    assert len(checks) == 3


def test_readiness_that_never_comes_shows_the_last_answer(port: int) -> None:
    with pytest.raises(NotReady, match=r"/wrong last said: 503 数据库 not migrated"):
        wait_until_ready("127.0.0.1", port, "/wrong", lambda: None, patience=0.3)


def test_readiness_is_not_awaited_from_the_dead() -> None:
    def died() -> None:
        raise PartEnded(name="api", how="exit code 1", lines="  oh")

    with pytest.raises(PartEnded, match="api ended by itself"):
        wait_until_ready("127.0.0.1", 1, "/readyz", died)


def test_taken_and_refused_addresses(port: int) -> None:
    with pytest.raises(PortTaken, match=rf"{port} .* LINLI_PORT"):
        require_free_port("127.0.0.1", port)
    with pytest.raises(AddressRefused, match=r"Cannot listen on 203\.0\.113\.7"):
        require_free_port("203.0.113.7", port)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    require_free_port("127.0.0.1", free)


def test_unknown_host_is_refused_plainly() -> None:
    with pytest.raises(AddressRefused, match="LINLI_HOST"):
        require_free_port("no such host", 8000)


def test_part_shows_every_line_and_keeps_the_last() -> None:
    out = io.StringIO()
    code = "import sys; [print('line', n) for n in range(50)]; print('错误', file=sys.stderr)"
    part = Part(Child("count", (sys.executable, "-c", code)), {}, Console(out))
    assert part.wait(30)
    assert part.exit_code() == 0
    lines = out.getvalue().splitlines()
    assert len(lines) == 51
    assert lines[0] == "count    | line 0"
    kept = part.last_lines().splitlines()
    assert (len(kept), kept[-1]) == (KEPT_LINES, "  错误")


def test_part_with_a_bad_end_is_reported() -> None:
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(4)); print(1); signal.pause()"
    out = io.StringIO()
    part = Part(Child("worker", (sys.executable, "-c", code)), {"A": "b"}, Console(out))
    while "worker" not in out.getvalue():
        assert part.exit_code() is None
    assert stop_all([part], 30) == ["worker stopped with exit code 4"]
    assert describe(-15) == "killed by SIGTERM"


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_reader_that_has_gone_does_not_hurt() -> None:
    Console(Gone()).say("two\nlines")


def test_banner_shows_no_password() -> None:
    here = Addresses(Path("/d"), "::", 9000, "postgresql://u:secret@db/linli", "redis://r")
    text = banner(here, [("Staff 员工登录", "demo")])
    assert "http://[::1]:9000/graphql" in text
    assert "secret" not in text
    assert "Staff 员工登录   demo" in text
    assert here.environment()["LINLI_DATABASE_URL"] == "postgresql://u:secret@db/linli"


def test_own_command_line_is_run_by_this_interpreter() -> None:
    assert linli("serve") == (sys.executable, "-m", "cli.main", "serve")
    assert UpSettings(Path("d"), "127.0.0.1", 8000).database_url is None
