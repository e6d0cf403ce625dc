"""A backup is whole or not there, is made beside a hub at work, and becomes a hub again with nothing of the past alive."""

from __future__ import annotations

import os
import secrets
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Engine, insert, select, text, update

from hub import alarms, backup, ca, control, nightly, restore, schema, store
from hub.audit_check import Checked, Head
from hub.backup import BackupError, BackupParts, Made, Say, Stopped
from hub.ca import open_ca, renew_crl
from hub.control import Deeds
from hub.errors import Refused
from hub.settings import Backups, Settings, SettingsError, parse, text_of
from hub.tokens import Asking, Kept, Revoking
from provisioning import hub_backup
from provisioning.errors import CannotDo
from tests.hub_agency import Agency, Terminal
from tests.hub_on_disk import AGENCY, NOW_S, PASSPHRASE, hire, make_home, stock
from tests.new_store import new_store
from tests.patience import PATIENCE_S
from wire.facts import StatusFact
from wire.records import Kind

NOW_MS = NOW_S * 1000
AVAILABLE = StatusFact(unit="u1", status="available", by="crew")


class World:
    """A hub's home with its database open, as the hub that serves has it."""

    def __init__(self, folder: Path) -> None:
        self.fleet, self.home, self.settings = make_home(folder)
        (self.home / "hub.toml").write_text(text_of(self.settings))
        self.engine: Engine = new_store(self.home)
        stock(self.engine)
        self.stopping = threading.Event()
        self.said: list[str] = []

    def parts(self) -> BackupParts:
        return BackupParts(
            engine=self.engine,
            home=self.home,
            settings=self.settings,
            now_ms=lambda: NOW_MS,
            stopping=self.stopping,
            only=threading.Lock(),
        )

    def back_up(self, out: Path) -> Made:
        return backup.make(self.parts(), out, "ann", self.said.append)

    def fill(self, megabytes: int) -> None:
        with self.engine.begin() as connection:
            for _ in range(megabytes):
                row = {"device": "d", "topic": "t", "why": "w", "data": secrets.token_bytes(1 << 20), "held_ms": 1}
                connection.execute(insert(schema.quarantine).values(row))

    def audited(self) -> list[tuple[str, str | None, str]]:
        table = schema.audit
        with self.engine.begin() as connection:
            return [(row.what, row.actor, row.outcome) for row in connection.execute(select(table))]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def bring_back(file: Path, home: Path, now_ms: int = NOW_MS) -> restore.Restored:
    return restore.restore(file, home, "bob", now_ms, lambda _: None)


def counted(home: Path, table: str) -> int:
    with closing(sqlite3.connect(home / "hub.db")) as database:
        return int(database.execute(f"select count(*) from {table}").fetchone()[0])


# --- making one -------------------------------------------------------------------------------------------------------


def test_a_backup_holds_what_a_hub_needs_and_only_its_owner_reads_it(world: World, tmp_path: Path) -> None:
    (world.home / "maps" / "m1").mkdir(parents=True)
    (world.home / "maps" / "current").symlink_to("m1")
    (world.home / "maps" / "m1" / "map.json").write_text('{"source": "city.osm.pbf", "sha256": "ab"}')
    made = world.back_up(tmp_path / "b")
    with tarfile.open(tmp_path / "b") as tar:
        names = tar.getnames()
    keys = {f"keys/{key.name}" for key in (world.home / "keys").iterdir()}
    assert set(names) == {"manifest.json", "hub.db", "hub.toml", "map.json", *keys}
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert made.size == (tmp_path / "b").stat().st_size
    assert world.audited() == [("backup_made", "ann", "ok")]


def test_what_is_committed_while_it_is_copied_is_in_the_copy(world: World, tmp_path: Path) -> None:
    world.fill(24)
    is_over, written = threading.Event(), 0

    def ingest() -> None:
        nonlocal written
        while not is_over.is_set():
            with world.engine.begin() as connection:
                connection.execute(
                    insert(schema.staff).values(staff=f"s{written}", name="n", role="sworn", skills="", languages="")
                )
            written += 1

    busy = threading.Thread(target=ingest, daemon=True)
    busy.start()
    try:
        world.back_up(tmp_path / "b")
        at_end = written
    finally:
        is_over.set()
        busy.join()
    bring_back(tmp_path / "b", tmp_path / "new")
    with closing(sqlite3.connect(tmp_path / "new" / "hub.db")) as database:
        (held,) = database.execute("select count(*) from staff").fetchone()
    assert 3 < held <= at_end, "ingest had its turn between the steps, and what it wrote is there"


def test_the_connection_is_given_back_between_two_steps(world: World, tmp_path: Path) -> None:
    world.fill(16)
    longest_s, is_over = 0.0, threading.Event()

    def look() -> None:
        nonlocal longest_s
        while not is_over.is_set():
            began_s = time.monotonic()
            with world.engine.begin() as connection:
                connection.execute(text("select 1"))
            longest_s = max(longest_s, time.monotonic() - began_s)
            time.sleep(0.001)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    steps: list[int] = []
    try:
        backup.copy_database(world.engine, tmp_path / "copy", _Counting(steps), world.stopping)
    finally:
        is_over.set()
        looking.join()
    assert len(steps) >= 16
    assert longest_s < 5.0


class _Counting(backup.Progress):
    def __init__(self, steps: list[int]) -> None:
        super().__init__(lambda _: None, "")
        self._steps = steps

    def at(self, done: int, whole: int) -> None:
        self._steps.append(done)


def test_a_hub_that_stops_leaves_no_half_backup(world: World, tmp_path: Path) -> None:
    world.fill(4)
    world.stopping.set()
    (tmp_path / "out").mkdir()
    with pytest.raises(Stopped):
        world.back_up(tmp_path / "out" / "b")
    assert list((tmp_path / "out").iterdir()) == []
    assert world.audited() == [("backup_failed", "ann", "failed")]


def test_two_at_a_time_are_refused(world: World, tmp_path: Path) -> None:
    parts = world.parts()
    with parts.only, pytest.raises(BackupError, match="being made already"):
        backup.make(parts, tmp_path / "b", None, lambda _: None)


def test_a_file_that_is_there_is_not_written_over(world: World, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine")
    with pytest.raises(BackupError, match="is there already"):
        world.back_up(tmp_path / "b")
    assert (tmp_path / "b").read_text() == "mine"


def test_a_disk_that_gets_full_is_one_sentence_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    world.fill(3)
    world.engine.dispose()
    (tmp_path / "out").mkdir()
    program = (
        "import resource, sys; from hub.main import cli\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))\n"
        "cli()\n"
    )
    command = ["backup", "--home", str(world.home), "--out", str(tmp_path / "out" / "b")]
    said = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True)
    assert (said.returncode, said.stderr.count("\n")) == (2, 1), said.stderr
    assert "does not take the backup" in said.stderr and "make room" in said.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_backup_never_takes_the_room_that_records_need(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "LEFT_BYTES_MIN", 1 << 60)
    with pytest.raises(BackupError, match="MB free and a backup needs"):
        world.back_up(world.home / "b")


def test_a_damaged_database_is_said_and_not_backed_up(world: World, tmp_path: Path) -> None:
    world.fill(2)
    world.engine.dispose()
    with (world.home / "hub.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(secrets.token_bytes(4096 * 30))
    try:
        world.engine = store.open_store(world.home)
    except SettingsError:
        return  # so damaged that the hub does not even open it
    with pytest.raises(BackupError, match="damaged"):
        world.back_up(tmp_path / "b")


# --- restoring --------------------------------------------------------------------------------------------------------


def test_a_hub_in_the_way_is_moved_aside_and_keeps_its_map_and_backups(world: World, tmp_path: Path) -> None:
    (world.home / "maps" / "m1").mkdir(parents=True)
    (world.home / "maps" / "current").symlink_to("m1")
    (world.home / "maps" / "m1" / "map.json").write_text('{"source": "city.osm.pbf", "sha256": "ab"}')
    (world.home / "backups").mkdir()
    world.back_up(world.home / "backups" / "b")
    world.fill(1)
    world.engine.dispose()
    restored = bring_back(world.home / "backups" / "b", world.home)
    assert restored.aside is not None
    assert counted(restored.aside, "quarantine") == 1
    assert counted(world.home, "quarantine") == 0
    assert (world.home / "backups" / "b").exists()
    assert (world.home / "maps" / "current" / "map.json").exists()
    assert restored.map_name is None
    assert {path.name for path in world.home.parent.iterdir() if path.name.startswith(".")} == set()


def test_without_the_old_home_it_says_which_map_to_import(world: World, tmp_path: Path) -> None:
    (world.home / "maps" / "current").mkdir(parents=True)
    (world.home / "maps" / "current" / "map.json").write_text('{"source": "city.osm.pbf", "sha256": "ab"}')
    world.back_up(tmp_path / "b")
    restored = bring_back(tmp_path / "b", tmp_path / "new")
    assert any("city.osm.pbf" in line for line in restore.what_next(restored, tmp_path / "new"))
    assert any("Revoke again" in line for line in restore.what_next(restored, tmp_path / "new"))


def test_every_restore_begins_an_epoch_above_any_before_also_from_the_same_backup(world: World, tmp_path: Path) -> None:
    world.back_up(tmp_path / "b")
    first = bring_back(tmp_path / "b", tmp_path / "one").epoch
    elsewhere = bring_back(tmp_path / "b", tmp_path / "two", NOW_MS + 5000).epoch
    over = bring_back(tmp_path / "b", tmp_path / "two", NOW_MS - 10**10).epoch  # by a clock that went back
    assert first == NOW_S and elsewhere == first + 5 and over == elsewhere + 1


def test_a_board_revoked_after_the_backup_stays_revoked(world: World, tmp_path: Path) -> None:
    authority = open_ca(world.home, world.settings)
    device = Terminal("d-1", "care-1")
    leaf = authority.device_certificate(device.key.public_key(), "d-1", NOW_S)
    row = {"device": "d-1", "unit": "care-1", "kind": "vehicle", "state": "active", "added_ms": 1}
    with world.engine.begin() as connection:
        connection.execute(insert(schema.device).values(**row, serial=f"{leaf.serial_number:x}"))
    world.back_up(tmp_path / "b")
    with world.engine.begin() as connection:
        connection.execute(update(schema.device).values(state="revoked", revoked_ms=NOW_MS))
        renew_crl(world.home, authority, connection, NOW_S)
    world.engine.dispose()
    restored = bring_back(tmp_path / "b", world.home)
    assert restored.revoked == ("d-1",)
    engine = store.open_store(world.home)
    with engine.begin() as connection:
        assert [entry.serial for entry in ca.revoked(connection)] == [leaf.serial_number]
    engine.dispose()


def test_nobody_stays_signed_in_and_no_bundle_stays_open(world: World, tmp_path: Path) -> None:
    hire(world.engine)
    session = {"session": b"s", "account": "tech", "csrf": "c", "began_ms": NOW_MS, "seen_ms": NOW_MS}
    device = {"device": "d-1", "unit": "care-1", "kind": "vehicle", "state": "pending", "added_ms": 1}
    with world.engine.begin() as connection:
        connection.execute(insert(schema.web_session).values(session))
        connection.execute(insert(schema.device).values(device))
        connection.execute(insert(schema.bundle).values(tid=b"t", device="d-1", secret=b"s", exp_ms=NOW_MS + 10**7))
    world.back_up(tmp_path / "b")
    bring_back(tmp_path / "b", tmp_path / "new")
    assert counted(tmp_path / "new", "web_session") == 0
    assert counted(tmp_path / "new", f"bundle where exp_ms > {NOW_MS}") == 0
    assert counted(tmp_path / "new", "audit where what = 'restored'") == 1


@pytest.mark.parametrize("where", [100, 3_000, 60_000, -1200])
def test_a_backup_with_one_changed_byte_is_refused_and_changes_nothing(
    world: World, tmp_path: Path, where: int
) -> None:
    world.back_up(tmp_path / "b")
    data = bytearray((tmp_path / "b").read_bytes())
    end = data.rstrip(b"\0")
    data[where if where > 0 else len(end) + where] ^= 0x55
    (tmp_path / "b").write_bytes(data)
    with pytest.raises((BackupError, SettingsError)):
        bring_back(tmp_path / "b", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97])
def test_a_backup_that_was_cut_is_refused(world: World, tmp_path: Path, share: float) -> None:
    world.back_up(tmp_path / "b")
    data = (tmp_path / "b").read_bytes().rstrip(b"\0")
    (tmp_path / "b").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BackupError, match=r"not a whole backup|damaged"):
        bring_back(tmp_path / "b", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_outside_the_home_is_refused(tmp_path: Path) -> None:
    assert [backup.is_inside(name) for name in ("keys/a", "a", "../a", "/a", "a/../b", "a//b", "", ".", "./a")] == [
        True,
        True,
        *[False] * 7,
    ]


def test_a_folder_with_other_things_in_it_is_left_alone(world: World, tmp_path: Path) -> None:
    world.back_up(tmp_path / "b")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("x")
    with pytest.raises(BackupError, match="not a hub's home and not empty"):
        bring_back(tmp_path / "b", tmp_path / "photos")
    assert (tmp_path / "photos" / "1.jpg").exists()


def test_the_home_of_a_running_hub_is_left_alone(world: World, tmp_path: Path) -> None:
    world.back_up(tmp_path / "b")
    with pytest.raises(SettingsError, match="another tandem-hub is using"):
        bring_back(tmp_path / "b", world.home)


def test_a_backup_of_a_newer_program_is_refused(world: World, tmp_path: Path) -> None:
    with world.engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    world.back_up(tmp_path / "b")
    with pytest.raises(SettingsError, match="newer Tandem"):
        bring_back(tmp_path / "b", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_resent_records_and_a_gap_after_a_restore(tmp_path: Path) -> None:
    """What the terminals resend is taken as new, a boot of the lost time as well; a hole is recorded, and again once."""
    agency = Agency(tmp_path)
    first = agency.one.record(Kind.STATUS, AVAILABLE)
    agency.take(agency.one.birth(), first)
    with agency.engine.begin() as connection:
        store.raise_epoch(connection, 500)
    agency.marks = type(agency.marks)()
    agency.one.boot = secrets.token_bytes(16)
    agency.one.seq = 6
    taken = agency.take(agency.one.birth(lowest_held=5))
    assert [(receipt.through, receipt.epoch) for receipt in taken.receipts] == [(4, 500)]
    taken = agency.take(agency.one.birth(lowest_held=5), agency.one.record(Kind.STATUS, AVAILABLE, seq=5))
    assert [(receipt.through, receipt.epoch) for receipt in taken.receipts] == [(5, 500)]
    assert [(row[2], row[3]) for row in agency.rows("gap")["gap"]] == [(2, 4)]


# --- sealed to the bench ----------------------------------------------------------------------------------------------


@pytest.fixture
def sealed(world: World, tmp_path: Path) -> Path:
    public = hub_backup.make_key(world.fleet, PASSPHRASE)
    (world.home / "keys" / public.name).write_bytes(public.read_bytes())
    world.fill(3)
    assert world.back_up(tmp_path / "b").is_sealed
    return tmp_path / "b"


def test_a_hub_with_the_benchs_key_seals_and_only_the_bench_opens(world: World, tmp_path: Path, sealed: Path) -> None:
    assert AGENCY.encode() not in sealed.read_bytes()
    with pytest.raises(BackupError, match="sealed to the bench"):
        bring_back(sealed, tmp_path / "new")
    hub_backup.open_backup(sealed, world.fleet, PASSPHRASE, tmp_path / "plain")
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o600
    bring_back(tmp_path / "plain", tmp_path / "new")
    assert counted(tmp_path / "new", "quarantine") == 3


@pytest.mark.parametrize("change", ["byte", "cut", "cut at a piece", "swapped"])
def test_a_sealed_backup_that_was_changed_does_not_open(
    world: World, tmp_path: Path, sealed: Path, change: str
) -> None:
    data = sealed.read_bytes()
    piece = (1 << 20) + 16
    begin = 23 + 2 + int.from_bytes(data[23:25], "big")
    changed = {
        "byte": data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:],
        "cut": data[:-100],
        "cut at a piece": data[: begin + 2 * piece],
        "swapped": data[:begin]
        + data[begin + piece : begin + 2 * piece]
        + data[begin : begin + piece]
        + data[begin + 2 * piece :],
    }[change]
    sealed.write_bytes(changed)
    with pytest.raises(CannotDo, match="another key, or was cut"):
        hub_backup.open_backup(sealed, world.fleet, PASSPHRASE, tmp_path / "plain")
    assert not list(tmp_path.glob("*plain*"))


def test_the_backup_key_is_not_made_twice(world: World) -> None:
    hub_backup.make_key(world.fleet, PASSPHRASE)
    with pytest.raises(CannotDo, match="is there already"):
        hub_backup.make_key(world.fleet, PASSPHRASE)


def test_a_wrong_backup_key_at_the_hub_is_refused_and_not_passed_over(world: World, tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate((world.home / "keys" / "root.crt").read_bytes())
    (world.home / "keys" / "backup.pub").write_bytes(certificate.public_bytes(Encoding.PEM))
    with pytest.raises(BackupError, match="is not the file that"):
        world.back_up(tmp_path / "b")


# --- asked for while the hub serves -----------------------------------------------------------------------------------


def test_a_command_is_answered_through_the_home_however_deep_it_is(tmp_path: Path) -> None:
    home = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6)
    home.mkdir(parents=True)
    stopping, heard = threading.Event(), list[str]()

    def no_tokens(asking: Asking, by: str) -> Kept:
        raise Refused("not_found", f"{by} asks for what is not here.")

    def make(out: Path, by: str, say: Say) -> Made:
        say(f"copying for {by}")
        if out.name == "no":
            raise BackupError("no room")
        return Made(path=str(out), size=1, records=2, is_sealed=False, took_s=0.1)

    def no_audit(heads: Sequence[Head]) -> Checked:
        return Checked(lines=len(heads), open_from=None, heads=len(heads), wrongs=("cut off",))

    deeds = Deeds(make=make, keep=no_tokens, check=no_audit)
    serving = threading.Thread(target=control.serve, args=(home, deeds, stopping), daemon=True)
    serving.start()
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while not (home / control.SOCKET).exists() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        time.sleep(0.1)
        assert (home / control.SOCKET).stat().st_mode & 0o777 == 0o600
        made = control.ask_backup(home, Path("/x/yes"), heard.append)
        assert made is not None and made.path == "/x/yes"
        assert heard == [f"copying for {backup.user_name(os.geteuid())}"]
        with pytest.raises(BackupError, match="no room"):
            control.ask_backup(home, Path("/x/no"), heard.append)
        with pytest.raises(Refused, match="asks for what is not here"):
            control.ask_tokens(home, Revoking(name="cad"))
        checked = control.ask_audit(home, (Head(by="you", epoch=1, line=2, chained=bytes(32)),))
        assert checked == Checked(lines=1, open_from=None, heads=1, wrongs=("cut off",))
    finally:
        stopping.set()
        serving.join()
    assert control.ask_backup(home, Path("/x/yes"), heard.append) is None
    assert control.ask_audit(home, ()) is None


# --- each night -------------------------------------------------------------------------------------------------------

EASTERN = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("newest", "now", "is_due"),
    [
        ("2026-03-01 03:15", "2026-03-01 23:00", False),
        ("2026-03-01 03:15", "2026-03-02 03:14", False),
        ("2026-03-01 03:15", "2026-03-02 03:15", True),
        ("2026-03-01 03:15", "2026-03-05 14:00", True),  # it was off for days: as soon as it runs
        ("2026-03-02 14:00", "2026-03-02 20:00", False),
        ("2026-03-02 02:00", "2026-03-02 03:20", True),
    ],
)
def test_a_nightly_backup_is_due_once_its_time_has_passed(newest: str, now: str, is_due: bool) -> None:
    made, clock = (datetime.fromisoformat(at).replace(tzinfo=EASTERN) for at in (newest, now))
    assert nightly.is_due(made, clock, Backups()) is is_due


def test_the_newest_stay_and_what_people_named_stays_too() -> None:
    night = [f"nightly-2026030{day}T081500Z.tandem-backup" for day in range(1, 6)]
    others = ["before-upgrade.tandem-backup", "hub-20260101T000000Z.tandem-backup", ".nightly-x.part"]
    assert nightly.surplus([*others, *night], 3) == [night[1], night[0]]
    assert nightly.surplus(others, 0) == []


def test_the_hub_makes_one_by_itself_and_keeps_as_many_as_it_was_told(world: World) -> None:
    folder = world.home / "backups"
    folder.mkdir()
    old = [folder / f"nightly-2020010{day}T081500Z.tandem-backup" for day in range(1, 9)]
    for file in old:
        file.touch()
    (folder / ".nightly-20200109T081500Z.tandem-backup.part").touch()
    parts = world.parts()
    running = threading.Thread(
        target=nightly.run, args=(parts, lambda: datetime.fromtimestamp(NOW_S, EASTERN)), kwargs={"look_s": 0.01}
    )
    running.start()
    made = folder / backup.usual_name(NOW_MS, nightly.KIND)
    deadline_s = time.monotonic() + PATIENCE_S
    while (not made.exists() or len(list(folder.iterdir())) != 7) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    world.stopping.set()
    running.join()
    assert {file.name for file in folder.iterdir()} == {made.name, *(file.name for file in old[2:])}


@pytest.mark.parametrize(
    ("line", "word"),
    [('at = "25:00"', "time of the day"), ("keep = -1", "keep 1 to 366"), ('folder = ""', "folder is empty")],
)
def test_settings_that_would_make_no_backup_are_refused(line: str, word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        parse(f'agency = "A"\n[backup]\n{line}\n')
    assert parse(text_of(Settings(agency="A"))).backup == Backups()


def test_a_night_without_room_is_an_alarm_and_the_hub_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "LEFT_BYTES_MIN", 1 << 60)
    running = threading.Thread(
        target=nightly.run,
        args=(world.parts(), lambda: datetime.fromtimestamp(NOW_S + 10**8, EASTERN)),
        kwargs={"look_s": 0.01},
        daemon=True,
    )
    running.start()
    deadline_s = time.monotonic() + PATIENCE_S
    while not world.audited() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert running.is_alive()
    with world.engine.begin() as connection:
        (alarm,) = alarms.raised(connection)
    assert alarm.kind == "backup" and "make room" in alarm.text
    world.stopping.set()
    running.join(10)
    assert list((world.home / "backups").iterdir()) == []
