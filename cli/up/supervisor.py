"""One process that starts everything, watches it, and ends it in the right order."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from app.kernel.embedded import EmbeddedError, Hold, Stores, hold, processes, run_stores
from cli.up.console import Console
from cli.up.errors import LeftBehind, PartEnded, StepFailed, UpError
from cli.up.interrupts import Interrupts, StopRequested
from cli.up.parts import Child, Part, describe, stop_all
from cli.up.ports import reachable, require_free_port, wait_until_ready

MARK = "LINLI_UP_OF"
PARTS_PATIENCE_SECONDS = 15.0
WATCH_SECONDS = 0.1
FORCED = 130


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything answers; handed to steps and to the banner."""

    data_dir: Path
    host: str
    port: int
    database_url: str
    redis_url: str

    @property
    def url(self) -> str:
        """The API's address for a browser on this machine."""
        host = reachable(self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a child needs to find the stores and to listen."""
        return {
            "LINLI_DATA_DIR": str(self.data_dir),
            "LINLI_HOST": self.host,
            "LINLI_PORT": str(self.port),
            "LINLI_DATABASE_URL": self.database_url,
            "LINLI_REDIS_URL": self.redis_url,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """Work to be done in this process before the children start."""

    name: str
    run: Callable[[Addresses], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start: stores unless their URLs are given, steps in order, then the children.

    A step that is a `Child` is run to its end as a command. `early` children start beside the
    steps: they spend their first seconds on imports, and say by themselves when they are ready.
    Readiness is awaited at `ready_path` unless that is empty. `banner` is shown once all is ready.
    """

    data_dir: Path
    host: str
    port: int
    children: Sequence[Child]
    early: Sequence[Child] = ()
    steps: Sequence[Step | Child] = ()
    database_url: str | None = None
    redis_url: str | None = None
    ready_path: str = "/readyz"
    banner: Callable[[Addresses], str] = field(default=lambda addresses: addresses.url)
    what: str = "linli up"


def supervise(plan: Plan, console: Console | None = None) -> int:
    """Run the plan until Ctrl-C, SIGTERM or the death of a part; returns the exit code.

    0 after a clean stop, 1 when something could not start, died or did not stop in time (said in
    plain words), 130 when a second Ctrl-C forced the end. No process outlives this one, even after
    `kill -9`. Call it in the main thread.
    """
    return _Run(plan, console or Console()).run()


class _Run:
    """One life of the plan: its parts, so that a signal handler can reach them."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self.plan = plan
        self.console = console
        self.parts: list[Part] = []
        self.stores: Stores | None = None
        self.forced = False
        self.unclean: list[str] = []

    def run(self) -> int:
        """See `supervise`."""
        code = 0
        with Interrupts(self._force) as interrupts:
            try:
                self._live(interrupts)
            except StopRequested:
                code = 0
            except (UpError, EmbeddedError) as error:
                self.console.say(str(error))
                code = 1
        for line in self.unclean:
            self.console.say(line)
        if self.forced:
            return FORCED
        self.console.say("stopped")
        return code or (1 if self.unclean else 0)

    def _live(self, interrupts: Interrupts) -> None:
        with ExitStack() as stack:
            mine = stack.enter_context(hold(self.plan.data_dir, what=self.plan.what))
            self._clear_up(mine)
            require_free_port(self.plan.host, self.plan.port)
            addresses = self._start_stores(mine, stack)
            stack.callback(self._stop_parts)
            # Whatever ends the block, a signal must not cut short the ending.
            stack.callback(interrupts.calm)
            env = {**addresses.environment(), MARK: str(mine.data_dir)}
            for child in self.plan.early:
                self.parts.append(Part(child, env, self.console))
            for step in self.plan.steps:
                self._do(step, addresses, env)
            for child in self.plan.children:
                self.parts.append(Part(child, env, self.console))
            if self.plan.ready_path:
                wait_until_ready(self.plan.host, self.plan.port, self.plan.ready_path, self._check)
            interrupts.calm()
            self.console.plain(self.plan.banner(addresses))
            while not interrupts.requested:
                self._check()
                time.sleep(WATCH_SECONDS)
            self.console.say("stopping; Ctrl-C again to force it")

    def _clear_up(self, mine: Hold) -> None:
        """End children of a run that was killed, should they still be about it themselves."""
        theirs = processes.given_variable(MARK, str(mine.data_dir))
        if not processes.end_leftovers(theirs, (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            raise LeftBehind

    def _start_stores(self, mine: Hold, stack: ExitStack) -> Addresses:
        began = time.monotonic()
        self.stores = stack.enter_context(
            run_stores(mine, self.plan.database_url, self.plan.redis_url, wait_for_users=False)
        )
        for name, server in (
            ("PostgreSQL", self.stores.postgres),
            ("Valkey", self.stores.valkey),
        ):
            if server:
                self.console.say(f"{name} runs (pid {server.pid}, log {server.log})")
            else:
                self.console.say(f"{name}: the given server is used")
        self.console.say(f"stores ready after {time.monotonic() - began:.1f} s")
        return Addresses(
            mine.data_dir,
            self.plan.host,
            self.plan.port,
            self.stores.database_url,
            self.stores.redis_url,
        )

    def _do(self, step: Step | Child, addresses: Addresses, env: dict[str, str]) -> None:
        began = time.monotonic()
        if isinstance(step, Step):
            step.run(addresses)
        else:
            self._run_command(step, env)
        self.console.say(f"{step.name}: done in {time.monotonic() - began:.1f} s")

    def _run_command(self, step: Child, env: dict[str, str]) -> None:
        part = Part(step, env, self.console)
        self.parts.append(part)
        while (code := part.exit_code()) is None:
            self._check(but=part)
            time.sleep(0.02)
        self.parts.remove(part)
        part.wait(1.0)
        if code != 0:
            raise StepFailed(name=step.name, how=describe(code), lines=part.last_lines())

    def _check(self, *, but: Part | None = None) -> None:
        self._check_stores()
        for part in self.parts:
            code = part.exit_code()
            if code is not None and part is not but:
                self.console.say(f"{part.name} has ended ({describe(code)})")
                raise PartEnded(name=part.name, how=describe(code), lines=part.last_lines())

    def _check_stores(self) -> None:
        stores = self.stores
        if stores is None:
            return
        for name, server in (("PostgreSQL", stores.postgres), ("Valkey", stores.valkey)):
            code = server.exit_code() if server else None
            if server and code is not None:
                lines = server.log.read_text(errors="replace").splitlines()[-20:]
                raise PartEnded(
                    name=name, how=describe(code), lines="\n".join(f"  {line}" for line in lines)
                )

    def _stop_parts(self) -> None:
        # A part that ended by itself is the reason for the stop, not one more complaint.
        running = [part for part in self.parts if part.exit_code() is None]
        ended = [part for part in self.parts if part not in running]
        self.unclean = stop_all(running, PARTS_PATIENCE_SECONDS)
        stop_all(ended, 0.0)

    def _force(self) -> None:
        """Kill the parts and tell the stores to end at once; called in a signal handler."""
        self.forced = True
        for part in self.parts:
            part.kill()
        stores = self.stores
        if stores and stores.postgres and stores.postgres.exit_code() is None:
            os.kill(stores.postgres.pid, signal.SIGQUIT)
        if stores and stores.valkey and stores.valkey.exit_code() is None:
            os.kill(stores.valkey.pid, signal.SIGKILL)
