"""The broker is a child of the hub: an ordinary Mosquitto with a configuration of ours, never an anonymous listener.

A client is its certificate: the CN is its user and its client id, and the access list is written in terms of it. The
child dies with the hub (also when the hub is killed) and is started again when it dies alone.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from hub.ca import CRL_FILE, TRUST_FILE, Service
from hub.settings import TLS_FOLDER, Settings, SettingsError
from wire.codec import MESSAGE_BYTES_MAX
from wire.topics import HUB_PRESENCE, ROOT

BROKER_FOLDER = "broker"
SBIN = "/usr/sbin:/usr/local/sbin"  # where Debian puts it, off an ordinary user's PATH
START_S_MAX = 15.0
STOP_S_MAX = 2.0
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.5, 30.0
HEALTHY_S = 60.0  # after which a death is taken for a new one and not for the same again
LOG_LINES_MAX = 200  # enough to see why it died


class BrokerError(SettingsError):
    """The broker cannot be started. The message says what to do."""


class Broker:
    """Mosquitto for the hub in `home`; what happens to it is told to `say`, a line at a time."""

    def __init__(self, home: Path, settings: Settings, say: Callable[[str], None], sbin: str = SBIN) -> None:
        self._home, self._settings, self._say, self._sbin = home, settings, say, sbin
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._started = threading.Event()
        self._failure: BrokerError | None = None
        self._lines: deque[str] = deque(maxlen=LOG_LINES_MAX)

    def start(self) -> None:
        """Start it and wait until it takes connections; BrokerError when it does not."""
        program, host, port = _program(self._sbin), self._settings.broker.host, self._settings.broker.port
        _refuse_taken(host, port)
        configuration = write_configuration(self._home, self._settings)
        context = _as_ingest(self._home / TLS_FOLDER)
        # One thread starts every child and outlives them: the kernel sends the death signal when the *thread* that
        # started a child ends.
        command = ["setpriv", "--pdeathsig", "KILL", program, "-c", str(configuration)]
        self._thread = threading.Thread(target=self._keep_running, args=(command, context), name="broker", daemon=True)
        self._thread.start()
        self._started.wait(START_S_MAX + STOP_S_MAX)
        if self._failure is not None or not self._started.is_set():
            self.stop()
            raise self._failure or BrokerError("the broker did not start; see the lines above")

    def stop(self) -> None:
        """End it; nothing happens when it is not running."""
        self._stopping.set()
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.terminate()
        if self._thread is not None:
            self._thread.join(STOP_S_MAX)
            if self._thread.is_alive() and self._child is not None:
                self._child.kill()
                self._thread.join(STOP_S_MAX)

    def reload(self) -> None:
        """Let it read the access list and the revocation list anew; nobody is disconnected."""
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.send_signal(signal.SIGHUP)

    @property
    def pid(self) -> int | None:
        """The process id of the running broker; None when there is none."""
        with self._lock:
            return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def log_lines(self) -> tuple[str, ...]:
        """The last lines it wrote."""
        return tuple(self._lines)

    def _keep_running(self, command: list[str], context: ssl.SSLContext) -> None:
        wait_s = BACKOFF_S_MIN
        while not self._stopping.is_set():
            began_s = time.monotonic()
            code = self._run_once(command, context)
            if self._stopping.is_set():
                return
            if not self._started.is_set():
                self._failure = BrokerError(f"the broker ended at once (code {code}): {self._last_words()}")
                self._started.set()
                return
            wait_s = BACKOFF_S_MIN if time.monotonic() - began_s > HEALTHY_S else min(2 * wait_s, BACKOFF_S_MAX)
            self._say(f"the broker ended (code {code}): {self._last_words()}; starting it again in {wait_s:.1f} s")
            self._stopping.wait(wait_s)

    def _run_once(self, command: list[str], context: ssl.SSLContext) -> int:
        with self._lock:
            if self._stopping.is_set():
                return 0
            self._lines.clear()
            child = self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        assert child.stdout is not None
        reader = threading.Thread(target=self._read, args=(child.stdout,), name="broker-log", daemon=True)
        reader.start()
        if self._is_accepting(child, context):
            if self._started.is_set():
                self._say("the broker runs again")
            self._started.set()
        elif child.poll() is None and not self._stopping.is_set():
            self._say("the broker does not take connections; ending it")
            child.kill()
        code = child.wait()
        reader.join(STOP_S_MAX)
        return code

    def _is_accepting(self, child: subprocess.Popen[str], context: ssl.SSLContext) -> bool:
        deadline_s = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline_s and child.poll() is None and not self._stopping.is_set():
            try:
                # It listens before it has read its certificates: only a handshake says that it is up.
                with (
                    socket.create_connection((self._settings.broker.host, self._settings.broker.port), 1.0) as plain,
                    context.wrap_socket(plain),
                ):
                    return True
            except OSError:
                self._stopping.wait(0.02)
        return False

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                text = line.rstrip()
                self._lines.append(text)
                if "being dropped" in text or "Error:" in text:
                    self._say(f"broker: {text}")

    def _last_words(self) -> str:
        """Its first complaint since it was started: those that follow only tell what came of it."""
        wrong = [line for line in self._lines if "Error" in line]
        said = wrong or list(self._lines) or ["it said nothing"]
        return said[0 if wrong else -1].partition(": ")[2] or said[-1]


def write_configuration(home: Path, settings: Settings) -> Path:
    """Write the configuration and the access list; the path of the configuration."""
    folder = home / BROKER_FOLDER
    data = folder / "data"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if "\n" in str(home):
        raise BrokerError("the broker cannot live in a folder whose name has a line break")
    (folder / "acl").write_text(access_list(), "ascii")
    # It refuses an access list or a revocation list that others may write, and says so only in a warning.
    (folder / "acl").chmod(0o600)
    configuration = folder / "mosquitto.conf"
    configuration.write_text(_configuration(home.resolve(), settings), "utf-8")
    configuration.chmod(0o600)
    return configuration


def access_list() -> str:
    """Who may say what: a terminal only under its own id, the hub's ingest everything it needs and no more."""
    return f"""\
pattern write {ROOT}/%u/up/#
pattern read {ROOT}/%u/down/#
pattern read {HUB_PRESENCE}

user {Service.INGEST}
topic read {ROOT}/+/up/#
topic write {ROOT}/+/down/#
topic write {HUB_PRESENCE}
topic read $SYS/#
"""


def _configuration(home: Path, settings: Settings) -> str:
    tls, folder = home / TLS_FOLDER, home / BROKER_FOLDER
    # Started as root it would become the user "mosquitto", who may not read the keys.
    return f"""\
user {_user()}
listener {settings.broker.port} {settings.broker.host}
cafile {tls / TRUST_FILE}
certfile {tls / f"{Service.BROKER}.crt"}
keyfile {tls / f"{Service.BROKER}.key"}
crlfile {tls / CRL_FILE}
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
tls_version tlsv1.3
ciphers_tls1.3 TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256
acl_file {folder / "acl"}
set_tcp_nodelay true
max_inflight_messages 500
max_queued_messages 20000
max_packet_size {MESSAGE_BYTES_MAX}
max_keepalive 120
queue_qos0_messages false
persistence true
persistence_location {folder / "data"}/
autosave_interval 30
persistent_client_expiration 14d
sys_interval 10
log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages true
"""


def _as_ingest(tls: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # who answers is our own child: the port was free before
    context.verify_mode = ssl.CERT_NONE
    try:
        context.load_cert_chain(tls / f"{Service.INGEST}.crt", tls / f"{Service.INGEST}.key")
    except OSError:
        raise BrokerError(f"{tls} lacks a good {Service.INGEST}.crt and key: remove both, they are made anew") from None
    return context


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())  # a container's user without a name: not root, so the broker does not look it up


def _program(sbin: str) -> str:
    if shutil.which("setpriv") is None:
        raise BrokerError("setpriv is missing: `sudo apt-get install --no-install-recommends util-linux`")
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path=sbin)
    if program is None:
        raise BrokerError("Mosquitto is missing: `sudo apt-get install --no-install-recommends mosquitto`")
    return program


def _refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker does: TIME_WAIT is not in use
        try:
            probe.bind((host, port))
        except OSError as wrong:
            raise BrokerError(
                f"port {port} on {host} cannot be used by the broker ({wrong.strerror}): "
                "end what uses it, or choose another under [broker] in hub.toml"
            ) from None
