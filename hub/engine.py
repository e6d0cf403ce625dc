"""The road engine is a child of the hub: it answers on the loopback only, dies with the hub, and is started again.

Nothing waits for it. A hub without the program, without roads, or with an engine that has just died, runs on and ranks
by straight line; whoever asks where the engine is hears None. It is looked after from one thread: a child that ended or
that answers nothing any more is replaced, and so is one whose roads are no longer the ones in use.

Nothing that it writes reaches a log: every question has the coordinates of an incident in it.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from msgspec import Struct

from hub.valhalla import HOW_TO_GET, Graph, Programs, RoadsError, configuration, current_graph, tiles_of

RUN_FOLDER = "road-engine"  # its configuration, in the hub's home
WORKERS = max(2, min(4, os.cpu_count() or 2))  # a question keeps one core busy; more than four never wait at one hub
LOOK_S = 2.0  # how soon new roads, or a program that was missing, are noticed
START_S_MAX = 30.0
STOP_S_MAX = 2.0
ASK_S = 2.0  # it is asked this often whether it lives; the question waits behind those of the hub
HUNG_S_MAX, BUSY_S_MAX = 10.0, 60.0  # silent and idle for so long, or silent at all, it hangs
WORKING_SHARE = 0.02  # of one core; whoever uses less is idle, also on a machine that gives it little
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.5, 30.0
HEALTHY_S = 60.0  # after which a death is taken for a new one and not for the same again
ANSWER_BYTES_MAX = 4096


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where the engine answers, on the loopback, and on which graph."""

    port: int
    graph: Graph


class Engine:
    """Valhalla for the hub in `home` on the graph in use under `roads`; what happens is told to `say`, a line at a time."""

    def __init__(
        self, home: Path, roads: Path, find: Callable[[], Programs | None], say: Callable[[str], None]
    ) -> None:
        self._run, self._roads, self._find, self._say = home / RUN_FOLDER, roads, find, say
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._endpoint: Endpoint | None = None
        self._stopping = threading.Event()
        self._said = self._complaint = ""
        # One thread starts every child and outlives them: the kernel sends the death signal when the *thread* that
        # started a child ends.
        self._thread = threading.Thread(target=self._keep_running, name="road-engine", daemon=True)

    def start(self) -> None:
        """Look after the engine from now on; returns at once, whether it can run or not."""
        self._thread.start()

    def stop(self) -> None:
        """End it; nothing happens when it is not running."""
        self._stopping.set()
        self._end()
        if self._thread.is_alive():
            self._thread.join(STOP_S_MAX)

    def where(self) -> Endpoint | None:
        """Where to ask; None while nothing answers."""
        return self._endpoint

    @property
    def pid(self) -> int | None:
        """The process id of the running engine; None when there is none."""
        with self._lock:
            return self._child.pid if self._child is not None and self._child.poll() is None else None

    def _keep_running(self) -> None:
        wait_s = BACKOFF_S_MIN
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                wanted = self._wanted()
                why = None if wanted is None else self._run_once(*wanted)
            except (RoadsError, OSError) as wrong:
                wanted, why = None, None
                self._say_once(str(wrong))
            if wanted is None or why is None:
                self._stopping.wait(LOOK_S if wanted is None else 0.0)
                continue
            wait_s = BACKOFF_S_MIN if time.monotonic() - began_s > HEALTHY_S else min(2 * wait_s, BACKOFF_S_MAX)
            self._said = ""
            self._say(f"the road engine {why}: straight line for now; starting it again in {wait_s:.1f} s")
            self._stopping.wait(wait_s)

    def _wanted(self) -> tuple[Programs, Graph] | None:
        graph = current_graph(self._roads)
        if graph is None:
            self._say_once("there are no roads yet, so rankings go by straight line: import a map")
            return None
        programs = self._find()
        if programs is None:
            self._say_once(f"the road engine is not here, so rankings go by straight line: {HOW_TO_GET}")
            return None
        return programs, graph

    def _say_once(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self._say(line)

    def _run_once(self, programs: Programs, graph: Graph) -> str | None:
        """Run it until it ends; why it ended, None when we ended it."""
        endpoint = Endpoint(port=_free_port(), graph=graph)
        command = self._prepare(programs, endpoint)
        with self._lock:
            if self._stopping.is_set():
                return None
            child = self._child = subprocess.Popen(
                command,
                cwd=self._run,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        assert child.stderr is not None
        reader = threading.Thread(target=self._read, args=(child.stderr,), name="road-engine-log", daemon=True)
        reader.start()
        try:
            return self._look_after(child, endpoint, reader)
        finally:
            self._endpoint = None
            self._end()
            child.wait()
            reader.join(STOP_S_MAX)

    def _read(self, output: IO[bytes]) -> None:
        """Keep what it complains of until it answers; from then on a complaint could be about somebody's address."""
        self._complaint = ""
        with output:
            for line in output:
                if self._endpoint is None and not self._complaint:
                    self._complaint = line.decode("utf-8", "replace").strip()

    def _prepare(self, programs: Programs, endpoint: Endpoint) -> list[str]:
        self._run.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = configuration(programs, tiles_of(self._roads, endpoint.graph).resolve(), endpoint.port)
        (self._run / "valhalla.json").write_bytes(settings)
        service = [str(programs.service), "valhalla.json", str(WORKERS)]
        return ["setpriv", "--pdeathsig", "KILL", *service]

    def _look_after(self, child: subprocess.Popen[bytes], endpoint: Endpoint, reader: threading.Thread) -> str | None:
        began_s = heard_s = worked_s = looked_s = time.monotonic()
        used_s = 0.0
        while not self._stopping.is_set():
            if _answers(endpoint.port, ASK_S):
                heard_s = time.monotonic()
                if self._endpoint is None:
                    self._endpoint = endpoint
                    self._say_once(f"road times come from the roads {endpoint.graph.id}")
            code = self._ended(child, ASK_S if self._endpoint is not None else 0.05)
            if self._stopping.is_set():
                return None
            if code is not None:
                reader.join(STOP_S_MAX)  # its last words may come later than its end
                return f"ended (code {code})" + (f", it said: {self._complaint}" if self._complaint else "")
            if self._endpoint is None and time.monotonic() - began_s > START_S_MAX:
                return "does not start"
            now_s, uses_s = time.monotonic(), _used_s(child.pid)
            if uses_s - used_s > WORKING_SHARE * (now_s - looked_s):
                worked_s = now_s
            looked_s, used_s = now_s, uses_s
            if self._endpoint is not None and is_hung(now_s - heard_s, now_s - worked_s):
                return "answers nothing any more"
            if self._has_other_roads(endpoint.graph):
                return None
        return None

    def _has_other_roads(self, graph: Graph) -> bool:
        try:
            now = current_graph(self._roads)
        except RoadsError:
            return False  # the ones in use are whole
        return now is None or now.id != graph.id

    def _ended(self, child: subprocess.Popen[bytes], wait_s: float) -> int | None:
        try:
            return child.wait(wait_s)
        except subprocess.TimeoutExpired:
            return None

    def _end(self) -> None:
        """It holds nothing that could be lost, and asked politely it waits half a minute for its callers."""
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.kill()


def is_hung(silent_s: float, idle_s: float) -> bool:
    """Whether an engine that has said nothing for so long, and done nothing, will do neither again."""
    return min(silent_s, idle_s) > HUNG_S_MAX or silent_s > BUSY_S_MAX


def _used_s(pid: int) -> float:
    """The processor time that a process has used; 0 when it is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _answers(port: int, wait_s: float) -> bool:
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=wait_s)
    try:
        asking.request("POST", "/status", b"{}")
        answer = asking.getresponse()
        return answer.status == http.HTTPStatus.OK and bool(answer.read(ANSWER_BYTES_MAX))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()


def _free_port() -> int:
    """One that nobody has; whoever takes it first makes the engine end, and it is started on another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
