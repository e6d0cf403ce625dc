"""TLS on a board that does not know what time it is: as strict as ever, at a time that is certain."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from edge import tls
from edge.tls import TlsFiles, judge
from tests.system.edge_site import Broker
from tests.terminal_fleet import TerminalFleet

ENDED = timedelta(days=10)  # ago, after living for a day
ALIVE = datetime.now(UTC) - ENDED - timedelta(hours=12)
FLEET = TerminalFleet()


class Server:
    """One TLS server; what it heard from whoever got through the handshake."""

    def __init__(self, home: Path, fleet: TerminalFleet, ended: timedelta) -> None:
        keys = Broker(home, fleet)
        keys.issue(fleet, "broker", ended)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(home / "broker.crt", home / "broker.key")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.heard = b""
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            plain, _ = self._listening.accept()
            with plain, self._context.wrap_socket(plain, server_side=True) as opened:
                while data := opened.recv(100):
                    self.heard += data
        except OSError:
            pass  # the client did not like us

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


def server(tmp_path: Path, fleet: TerminalFleet = FLEET, ended: timedelta = ENDED) -> Server:
    return Server(tmp_path / "server", fleet, ended)


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    who = FLEET.terminal(tmp_path / "home", "care-1")
    return TlsFiles(chain=who.chain_path, key=who.key_path, root=who.root_path)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Server]:
    made = server(tmp_path)
    yield made
    made.close()


def speak(files: TlsFiles, port: int, at: datetime | None, name: str = "localhost") -> None:
    context = tls.context(files, None if at is None else at.timestamp())
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as opened,
    ):
        opened.sendall(b"hello")


def test_a_certificate_that_was_good_then_is_good(files: TlsFiles, tmp_path: Path) -> None:
    # The fleet's own certificates are an hour old here, so the time that is certain has to be after that.
    made = server(tmp_path, ended=timedelta(minutes=10))
    try:
        speak(files, made.port, datetime.now(UTC) - timedelta(minutes=20))
    finally:
        made.close()
    assert made.heard == b"hello"


def test_by_the_system_clock_it_has_expired(files: TlsFiles, opened: Server) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        speak(files, opened.port, None)


@pytest.mark.parametrize(
    ("at", "why"),
    [(datetime.now(UTC), "expired"), (ALIVE - timedelta(days=20), "not yet valid"), (ALIVE, "not yet valid")],
    ids=["after the end", "before the beginning", "before the authority's own beginning"],
)
def test_a_certificate_that_was_not_good_then_is_refused_and_hears_nothing(
    files: TlsFiles, opened: Server, at: datetime, why: str
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        speak(files, opened.port, at)
    assert why in refused.value.verify_message
    opened._thread.join(5)
    assert opened.heard == b""


def test_another_name_is_refused(files: TlsFiles, tmp_path: Path) -> None:
    made = server(tmp_path, ended=timedelta(days=-2))
    try:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            speak(files, made.port, datetime.now(UTC), "hub.example.org")
    finally:
        made.close()


def test_another_agency_is_refused(files: TlsFiles, tmp_path: Path) -> None:
    made = server(tmp_path, TerminalFleet(), timedelta(days=-2))
    try:
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
            speak(files, made.port, datetime.now(UTC))
    finally:
        made.close()


def test_a_chain_of_nothing_is_refused() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        judge([], datetime.now(UTC))


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2300, 1, 1), timezones=st.just(UTC)))
def test_every_certificate_of_the_chain_must_be_good_at_that_very_time(at: datetime) -> None:
    chain = [FLEET.ca, FLEET.root]
    is_good = all(one.not_valid_before_utc <= at <= one.not_valid_after_utc for one in chain)
    ders = [one.public_bytes(Encoding.DER) for one in chain]
    if is_good:
        judge(ders, at)
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            judge(ders, at)
