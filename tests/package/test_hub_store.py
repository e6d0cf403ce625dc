"""The hub's file, its lock, its schema; settings refused by name; positions and presence between two starts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from hub import positions, presence, rankings, roster, schema, settings, store
from hub.positions import Position, Positions
from hub.presence import Presence, Word
from hub.rank import Rules
from hub.settings import SettingsError
from wire.fix import Fix


def test_every_pragma_is_what_keeps_a_commit_over_a_power_cut(tmp_path: Path) -> None:
    engine = store.open_store(tmp_path)
    with engine.begin() as connection:
        read = {
            name: connection.execute(text(f"pragma {name}")).scalar()
            for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "secure_delete", "foreign_keys")
        }
    engine.dispose()
    assert read == {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": 100,
        "secure_delete": 1,
        "foreign_keys": 1,
    }


def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    engine = store.open_store(tmp_path)
    with engine.begin() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()
    assert differences == []


def test_a_file_is_taken_as_it_is_only_at_the_newest_step(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", "hub:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == store.NEWEST


def at_step(home: Path, step: str) -> Engine:
    """A database as a hub of that step left it."""
    engine = create_engine(f"sqlite:///{home / store.DATABASE_FILE}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "hub:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, step)
    return engine


def test_a_ranking_and_what_was_sent_before_this_step_stay_as_they_were(tmp_path: Path) -> None:
    old = at_step(tmp_path, "0001")
    line = {"unit": "u1", "call_sign": "CARE-1", "fit": True, "reasons": [], "notes": ["Spanish ✓"], "distance_m": 90.0}
    line |= {"travel_s": 9.0, "freshness": "live", "age_s": 1.0, "status": "available"}
    place = "lat, lon, place, problem, cautions, need, gate, state, opened_ms, opened_by"
    with old.begin() as connection:
        for statement in (
            "insert into unit (unit, call_sign, agency, kind) values ('u1', 'CARE-1', 'L', 'vehicle')",
            "insert into staff (staff, name, role, skills, languages) values ('s1', 'Alder', 'specialist', '', 'eng')",
            f"insert into incident (incident, encounter, number, type, priority, {place}) values "
            "('i1', x'00', 1, 'MNTL', 2, 42.0, -101.0, 'P', 'p', '[]', '{\"lat\":42.0,\"lon\":-101.0}', 'unknown', "
            "'open', 5, 'nina')",
            "insert into assignment (assignment, incident, unit, device, offered_ms, offered_by) "
            "values ('a1', 'i1', 'u1', 'd1', 7, 'nina')",
        ):
            connection.exec_driver_sql(statement)
        connection.execute(
            text(
                "insert into ranking (ranking, incident, ranked_ms, ranked_by, engine, candidates, chosen) "
                "values (4, 'i1', 6, 'nina', 'straight line', :shown, 'u1')"
            ),
            {"shown": json.dumps([line])},
        )
    old.dispose()
    engine = store.open_store(tmp_path)
    with engine.begin() as connection:
        (candidate,) = rankings.candidates_of(connection, 4, "i1") or ()
        assert (candidate.call_sign, candidate.at_least_s, candidate.diverted_from) == ("CARE-1", None, None)
        assert rankings.shown(connection, 4) is None
        assert rankings.choices(connection, 4) == ()
        assert connection.execute(select(schema.ranking.c.chosen)).scalar() == "u1"
        assert connection.execute(select(schema.staff.c.licenses)).scalar() == ""
        assert connection.execute(select(schema.assignment.c.offered_ms)).scalar() == 7
    engine.dispose()


def test_a_file_of_the_first_step_keeps_its_incidents_and_what_an_older_program_writes_is_still_valid(
    tmp_path: Path,
) -> None:
    written = (
        "insert into incident (incident, encounter, number, type, priority, lat, lon, place, problem, cautions, need,"
        " gate, state, opened_ms, opened_by) values (:incident, :incident, :number, 'EDP', 2, 41.0, -83.0, '12 Shore St',"
        " 'shouting', '[]', '{}', 'unknown', 'open', 5, 'dee')"
    )
    config = Config()
    config.set_main_option("script_location", "hub:migrations")
    engine = create_engine(f"sqlite:///{tmp_path / store.DATABASE_FILE}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        before = _columns(connection)
        connection.execute(text(written), {"incident": "i1", "number": 1})
    engine.dispose()
    engine = store.open_store(tmp_path)
    with engine.begin() as connection:
        after = _columns(connection)
        assert {table: before[table] - after[table] for table in before} == {table: set() for table in before}
        connection.execute(text(written), {"incident": "i2", "number": 2})
        rows = connection.execute(text("select incident, revision, gate_by, merged_into from incident")).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [("i1", 0, None, None), ("i2", 0, None, None)]


def _columns(connection: Connection) -> dict[str, set[str]]:
    found = inspect(connection)
    return {table: {column["name"] for column in found.get_columns(table)} for table in found.get_table_names()}


def test_a_start_with_nothing_to_migrate_does_not_load_what_migrates(tmp_path: Path) -> None:
    store.open_store(tmp_path).dispose()
    program = (
        "import sys; from pathlib import Path; import hub.main; from hub import store\n"
        "store.open_store(Path(sys.argv[1])).dispose(); print('alembic' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_a_second_process_is_refused_and_the_lock_goes_with_the_first(tmp_path: Path) -> None:
    engine = store.open_store(tmp_path)
    program = (
        "import sys; from pathlib import Path; from hub import store\n"
        "try: store.open_store(Path(sys.argv[1]))\n"
        "except store.SettingsError as wrong: print(wrong)\n"
    )
    said = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout == f"another tandem-hub is using {tmp_path}; stop it first\n"
    engine.dispose()
    store.open_store(tmp_path).dispose()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    engine = store.open_store(tmp_path)
    row = {"unit": "u1", "call_sign": "CARE-1", "agency": "L", "kind": "vehicle"}
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(schema.unit).values(row))
        connection.execute(insert(schema.unit).values(row))
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from unit")).scalar() == 0
    engine.dispose()


def test_nobody_overtakes_who_waits_for_the_one_connection(tmp_path: Path) -> None:
    engine = store.open_store(tmp_path)
    turns = [0]
    is_over = threading.Event()

    def without_pause() -> None:
        while not is_over.is_set():
            with engine.begin() as connection:
                connection.execute(text("select 1"))
            turns[0] += 1

    busy = threading.Thread(target=without_pause, daemon=True)
    busy.start()
    waited = []
    try:
        for _ in range(50):
            before = turns[0]
            with engine.begin():
                waited.append(turns[0] - before)
    finally:
        is_over.set()
        busy.join()
        engine.dispose()
    assert sorted(waited)[25] <= 2, "the thread that just gave it back took it again, before the one that waits"


@pytest.mark.parametrize("what", ["deleted", "replaced", "moved away"])
def test_nothing_is_committed_to_a_file_that_is_gone(tmp_path: Path, what: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    engine = store.open_store(home)
    with engine.begin() as connection:
        store.keep_fact(connection, "before", 1)
    file = home / store.DATABASE_FILE
    match what:
        case "deleted":
            file.unlink()
        case "replaced":
            copy = home / "copy"
            copy.write_bytes(file.read_bytes())
            copy.replace(file)
        case "moved away":
            home.rename(tmp_path / "elsewhere")
    with pytest.raises(DBAPIError, match="not the file that was opened"), engine.begin() as connection:
        store.keep_fact(connection, "after", 1)
    with pytest.raises(DBAPIError), engine.begin():
        pass
    engine.dispose()


def test_a_file_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    engine = store.open_store(tmp_path)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SettingsError, match="written by a newer Tandem"):
        store.open_store(tmp_path)
    with pytest.raises(SettingsError, match="written by a newer Tandem"):
        store.open_store(tmp_path)  # the refusal let go of the lock


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(SettingsError, match=r"hub\.db does not open"):
        store.open_store(tmp_path)


def test_a_home_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tandem-hub init"):
        store.open_store(tmp_path / "none")


def test_the_epoch_begins_at_one(tmp_path: Path) -> None:
    engine = store.open_store(tmp_path)
    with engine.begin() as connection:
        assert [store.epoch(connection), store.raise_epoch(connection), store.raise_epoch(connection)] == [1, 2, 3]
    engine.dispose()


# --- settings


def test_settings_written_are_settings_read() -> None:
    made = settings.Settings(agency='Lake "shore" CARE \\ Ü', console=settings.Console(port=9000))
    assert settings.parse(settings.text_of(made)) == made


@pytest.mark.parametrize(
    ("text_", "sentence"),
    [
        ('agency = "L"\ncolor = 1', 'unknown key "color"'),
        ('agency = "L"\n[console]\nprot = 1', 'unknown key "console.prot"'),
        ('agency = "L"\n[console]\nport = "80"', "port"),
        ('agency = "L"\n[broker]\nport = 0', "broker.port is 0"),
        ('agency = "L"\n[broker]\nport = 8080', "three different ports"),
        ('agency = "L"\n[console]\nhost = "0.0.0.0"', "console.certificate"),
        ('agency = "L"\n[console]\ncertificate = "a"', "come together"),
        ('agency = " "', "agency is empty"),
        ("state_spread_s = 1.0", "agency"),
        ('agency = "L"\nstate_spread_s = 600', "state_spread_s"),
        ('agency = "L"\n[ranking]\nrest_min = -1', "rest_min is -1.0; it is 0 to 240"),
        ('agency = "L"\n[ranking]\nwish_s = nan', "wish_s is nan"),
        ('agency = "L"\n[ranking]\nrest = 1', 'unknown key "ranking.rest"'),
        ("agency = ", "not TOML"),
    ],
)
def test_wrong_settings_are_one_sentence(text_: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        settings.parse(text_)
    assert sentence in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_what_an_agency_does_not_say_of_its_rankings_is_the_usual(tmp_path: Path) -> None:
    said = settings.parse('agency = "L"\n[ranking]\nwish_s = 120\nexact_n = 5')
    assert said.ranking == Rules(wish_s=120.0, exact_n=5)
    assert settings.parse('agency = "L"').ranking == Rules()


def test_a_console_for_others_is_fine_with_a_certificate() -> None:
    parsed = settings.parse('agency = "L"\n[console]\nhost = "0.0.0.0"\ncertificate = "a"\nkey = "b"')
    assert parsed.console.is_tls


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('[[unit]]\nunit = "u 1"\ncall_sign = "C"\nkind = "vehicle"', "an id is"),
        ('[[unit]]\nunit = "u1"\ncall_sign = "C"\nkind = "boat"', "a unit is one of"),
        ('[[staff]]\nstaff = "s"\nname = "A"\nrole = "specialist"\nskills = ["magic"]', "unknown skill"),
        ('[[staff]]\nstaff = "s"\nname = "A"\nrole = "boss"', "a role is one of"),
        ('[[staff]]\nstaff = "s"\nname = "A"\nrole = "sworn"\nlicenses = { md = 2027-01-01 }', "unknown license 'md'"),
        ('[[staff]]\nstaff = "s"\nname = "A"\nrole = "sworn"\nlicenses = { lcsw = "soon" }', "date"),
        ('[[staff]]\nstaff = "s"\nname = "A"\nrole = "sworn"\nlanguages = ["english"]', "ISO 639-3"),
        ('[[duty]]\nunit = "u1"\nstaff = []', "not in the file"),
        ('[[unit]]\nunit = "u1"\ncall_sign = "C"\nkind = "desk"\ncolour = 1', "colour"),
    ],
)
def test_a_wrong_roster_is_one_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    (tmp_path / "roster.toml").write_text(line)
    with pytest.raises(SettingsError, match=sentence):
        roster.read(tmp_path / "roster.toml")


# --- positions and presence


def position(unit: str = "u1", *, fix: Fix | None = None, mono_ms: int = 1, arrived_ms: int = 100) -> Position:
    return Position(
        unit=unit,
        device="d-one",
        fix=fix,
        has_fix=fix is not None,
        arrived_ms=arrived_ms,
        age_ms=5,
        boot=b"b" * 16,
        mono_ms=mono_ms,
    )


def test_a_terminal_without_a_fix_keeps_its_last_place_with_its_own_age() -> None:
    known, fix = Positions(), Fix(lat=41.0, lon=-83.0)
    known.put(position(fix=fix, arrived_ms=100))
    believed = known.put(position(fix=None, mono_ms=2, arrived_ms=900))
    assert (believed.fix, believed.has_fix, believed.arrived_ms, believed.mono_ms) == (fix, False, 100, 2)
    assert known.get("u1") == believed
    assert known.get("u2") is None


def test_positions_come_back_after_a_restart(tmp_path: Path) -> None:
    engine, known = store.open_store(tmp_path), Positions()
    known.put(position(fix=Fix(lat=41.0, lon=-83.0)))
    known.put(position("u2"))
    with engine.begin() as connection:
        positions.keep(connection, known.unkept())
        positions.keep(connection, (position("u2", mono_ms=9),))
        assert known.unkept() == ()
        assert positions.kept(connection) == (position(fix=Fix(lat=41.0, lon=-83.0)), position("u2", mono_ms=9))
    engine.dispose()


@pytest.mark.parametrize(("terminals", "spread_s"), [(0, 10.0), (200, 10.0), (1000, 20.0), (50_000, 60.0)])
def test_a_large_fleet_comes_back_over_a_longer_time(terminals: int, spread_s: float) -> None:
    assert Presence({f"t-{n}": 0 for n in range(terminals)}).spread_s(10.0) == spread_s


def test_presence_is_gone_until_heard_and_never_until_born() -> None:
    here = Presence({"d-one": 50})
    assert (here.state("d-one").word, here.state("d-one").since_ms) == (Word.GONE, 50)
    assert here.state("d-two") == presence.State(word=Word.NEVER, since_ms=None)
    assert here.here("d-one", 100)
    assert not here.here("d-one", 200)
    assert here.state("d-one").since_ms == 100
    assert here.connected() == {"d-one"}
    here.all_gone(300)
    assert here.connected() == frozenset()
    assert not here.gone("d-one", 400)
    assert here.state("d-one").since_ms == 300
