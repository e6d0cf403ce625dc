"""A board's first boot against the hub's real API over TLS: what is answered, what is refused, what resumes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from hub import schema
from hub.enroll import THREADS, DeviceApiParts, device_api_server
from provisioning.errors import CannotDo
from provisioning.first_boot import PENDING, Arrived, first_boot
from serving import server
from tests.hub_on_disk import NO_LIMITS, NOW_S, Site, open_site
from wire.certificates import device_of, verify_device
from wire.codec import decode
from wire.enrollment import (
    DEVICE_CHAIN_FILE,
    DEVICE_KEY_FILE,
    ENROLLED_FILE,
    IDENTITY_FOLDER,
    KEM_KEY_FILE,
    ROOT_FILE,
    Enrolled,
    Facts,
)

FACTS = Facts(serial="10000000abcd", model="Raspberry Pi 5", tier="T0", software="0.1.0")
YEAR_S = 365 * 86_400
STEPS = 6  # what first_boot says before it does it


class PowerCut(Exception):
    """The board went dark."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.fixture
def site(shared: Site) -> Site:
    """The hub, with its clock set right and no device yet."""
    shared.clock.now_ms = NOW_S * 1000
    with shared.engine.begin() as connection:
        for table in (schema.bundle, schema.device, schema.audit):
            connection.execute(table.delete())
    shared.changes.clear()
    return shared


def boot(data: bytes, home: Path, cut_at: int | None = None) -> Arrived:
    """First boot on the board in `home`, the power cut before its step `cut_at`."""
    steps: list[str] = []

    def say(step: str) -> None:
        if len(steps) == cut_at:
            raise PowerCut
        steps.append(step)

    return first_boot(data, home, FACTS, say, sleep=lambda _: None)


def refused(data: bytes, home: Path, saying: str | None = None) -> str | None:
    with pytest.raises(CannotDo, match=saying) as caught:
        boot(data, home)
    assert not (home / IDENTITY_FOLDER).exists()
    return caught.value.code


def enrolled(home: Path) -> Enrolled:
    return decode((home / IDENTITY_FOLDER / ENROLLED_FILE).read_bytes(), Enrolled)


def test_a_blank_board_becomes_the_device_of_its_bundle(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    arrived = boot(added.bundle, tmp_path)
    admission = enrolled(tmp_path).admission
    assert arrived.device == added.device == admission.device
    leaf = verify_device(admission.chain, site.ca.root, NOW_S)
    assert device_of(leaf) == added.device
    with site.engine.begin() as connection:
        row = connection.execute(select(schema.device)).one()
    assert (row.state, row.unit, row.kem_public) == ("enrolled", "care-1", arrived.kem_public)
    assert int(row.serial, 16) == leaf.serial_number
    assert site.certificates() == 1
    assert len(site.changes) == 1


def test_the_identity_is_whole_and_for_its_owner_only(site: Site, tmp_path: Path) -> None:
    boot(site.bundle().bundle, tmp_path)
    folder = tmp_path / IDENTITY_FOLDER
    assert folder.is_symlink()
    names = {ENROLLED_FILE, DEVICE_KEY_FILE, KEM_KEY_FILE, DEVICE_CHAIN_FILE, ROOT_FILE}
    assert {path.name for path in folder.iterdir()} == names
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert not (folder.parent / PENDING).exists()


@pytest.mark.parametrize("cut_at", range(STEPS))
def test_a_first_boot_cut_at_any_step_resumes_with_one_certificate(site: Site, tmp_path: Path, cut_at: int) -> None:
    added = site.bundle()
    with pytest.raises(PowerCut):
        boot(added.bundle, tmp_path, cut_at)
    assert not (tmp_path / IDENTITY_FOLDER).exists()
    assert boot(added.bundle, tmp_path).device == added.device
    assert site.certificates() == 1


def test_a_cut_between_writing_the_identity_and_its_link_resumes(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    with pytest.raises(PowerCut):
        boot(added.bundle, tmp_path, STEPS - 1)
    half = tmp_path / "identity" / "v1"
    half.mkdir()
    (half / ENROLLED_FILE).write_bytes(b"half")
    (tmp_path / "identity" / ".current").symlink_to("v1")
    assert boot(added.bundle, tmp_path).device == added.device
    assert enrolled(tmp_path).admission.device == added.device
    assert site.certificates() == 1


def test_a_board_that_is_enrolled_already_says_so_again(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    first = boot(added.bundle, tmp_path)
    site.clock.now_ms += 3600_000
    assert boot(added.bundle, tmp_path) == first


def test_a_board_that_is_another_device_keeps_its_identity(site: Site, tmp_path: Path) -> None:
    first = boot(site.bundle().bundle, tmp_path)
    with pytest.raises(CannotDo) as caught:
        boot(site.bundle("CARE-2").bundle, tmp_path)
    assert caught.value.code == "E10"
    assert enrolled(tmp_path).admission.device == first.device


def test_a_used_bundle_gives_another_board_nothing_and_an_alarm(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    boot(added.bundle, tmp_path / "first")
    assert refused(added.bundle, tmp_path / "second") == "E2"
    assert site.certificates() == 1
    assert ("bundle_reused", "denied") in site.audited()


def test_two_boards_with_one_bundle_get_one_certificate_between_them(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    together = threading.Barrier(2)
    outcomes: list[str | None] = []

    def race(home: Path) -> None:
        def say(step: str) -> None:
            if step.startswith("proving"):
                together.wait(10)

        try:
            first_boot(added.bundle, home, FACTS, say, sleep=lambda _: None)
            outcomes.append(None)
        except CannotDo as wrong:
            outcomes.append(wrong.code)

    racers = [threading.Thread(target=race, args=(tmp_path / name,)) for name in ("a", "b")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(20)
    assert sorted(outcomes, key=str) == ["E2", None]
    assert site.certificates() == 1


def test_an_expired_bundle_is_refused(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    site.clock.now_ms = added.exp_s * 1000
    assert refused(added.bundle, tmp_path) == "E1"
    assert site.certificates() == 0


def test_a_bundle_altered_in_any_byte_is_refused(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    size = len(added.bundle)
    codes = set()
    for at in range(0, size, 7):  # each costs a handshake; the signature test flips every byte
        altered = bytearray(added.bundle)
        altered[at] ^= 0x01
        codes.add(refused(bytes(altered), tmp_path / str(at)))
    assert codes <= {"E3", "E4", "E5", "E7", None}  # None: the URL is none any more
    assert site.certificates() == 0
    assert boot(added.bundle, tmp_path / "whole").device == added.device


def test_a_hub_of_another_agency_learns_nothing(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    with open_site(tmp_path / "other", now_s=NOW_S + 1) as other:
        there = other.settings.device_api.port
        lured = added.bundle.replace(str(site.settings.device_api.port).encode(), str(there).encode())
        assert lured != added.bundle
        assert refused(lured, tmp_path / "board") == "E3"
        assert other.audited() == []


def test_a_server_that_shows_our_root_but_has_no_certificate_of_it_is_refused(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    with open_site(tmp_path / "other", now_s=NOW_S + 1) as other:
        parts = DeviceApiParts(
            engine=other.engine,
            ca=site.ca,  # what it says
            settings=other.settings,
            changed=lambda: None,
            now_ms=site.clock,
            limits=NO_LIMITS,
        )
        server = device_api_server(parts, other.home)  # whom its key is
        server.bind_addr = ("127.0.0.1", 0)
        server.prepare()
        serving = threading.Thread(target=server.serve, daemon=True)
        serving.start()
        try:
            lured = added.bundle.replace(str(site.settings.device_api.port).encode(), str(server.bind_addr[1]).encode())
            assert refused(lured, tmp_path / "board", "unable to get local issuer certificate") == "E3"
        finally:
            server.stop()
            serving.join(5)


@pytest.mark.parametrize("years", [-25, 14], ids=["the board's clock is ahead", "the board's clock is behind"])
def test_a_board_whose_clock_is_wrong_by_years_enrolls(tmp_path: Path, years: int) -> None:
    now_s = int(time.time()) + years * YEAR_S  # the hub's; the board has this machine's
    with open_site(tmp_path / "site", now_s) as site:
        added = site.bundle()
        assert boot(added.bundle, tmp_path / "board").device == added.device


def test_a_hub_whose_clock_is_outside_the_bundle_s_day_is_not_believed(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    site.clock.now_ms -= 2 * 86_400_000
    assert refused(added.bundle, tmp_path) == "E6"


def test_a_hub_whose_own_certificate_has_ended_is_refused(tmp_path: Path) -> None:
    with open_site(tmp_path / "site", NOW_S) as site:
        site.clock.now_ms += 3 * YEAR_S * 1000
        added = site.bundle()
        assert refused(added.bundle, tmp_path / "board") == "E3"
        assert site.certificates() == 0


def test_no_hub_is_one_sentence(site: Site, tmp_path: Path) -> None:
    added = site.bundle()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = added.bundle.replace(str(site.settings.device_api.port).encode(), str(probe.getsockname()[1]).encode())
        assert refused(nobody, tmp_path) == "E5"


def test_silent_connections_keep_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server would wait five minutes for each of them, far longer than a board waits for the server.
    monkeypatch.setattr(server, "TIMEOUT_S", 300)
    with open_site(tmp_path / "site", NOW_S) as site:
        silent = [socket.create_connection(("127.0.0.1", site.settings.device_api.port)) for _ in range(THREADS + 1)]
        try:
            added = site.bundle()
            assert boot(added.bundle, tmp_path / "board").device == added.device
        finally:
            for connection in silent:
                connection.close()
