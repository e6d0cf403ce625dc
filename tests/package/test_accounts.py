"""Who may sign in: passwords, the lock after five wrong ones, and that nobody learns which names exist by waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.pool import StaticPool

from hub import accounts, schema
from hub.accounts import Role
from hub.errors import Refused

NOW_MS = 1_789_069_150_000
PASSWORD = "correct horse battery"
MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    schema.metadata.create_all(engine)
    with engine.begin() as connection:
        accounts.add(connection, "ash", Role.DISPATCHER, NOW_MS, full_name="Ash", password=PASSWORD)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(shared: Engine) -> Engine:
    """One dispatcher who has not mistyped yet."""
    with shared.begin() as connection:
        accounts.release(connection, "ash", "boss", NOW_MS)
        connection.execute(schema.audit.delete())
    return shared


def word(engine: Engine, name: str, password: str, now_ms: int = NOW_MS) -> str:
    try:
        return accounts.check(engine, name, password, now_ms).account
    except Refused as wrong:
        return wrong.code


def audited(engine: Engine) -> list[tuple[str, str | None]]:
    with engine.begin() as connection:
        return [(row.what, row.about) for row in connection.execute(select(schema.audit).order_by(schema.audit.c.seq))]


def test_the_right_password_gives_the_account(engine: Engine) -> None:
    account = accounts.check(engine, "ash", PASSWORD, NOW_MS)
    assert (account.account, account.name, account.role) == ("ash", "Ash", "dispatcher")


@pytest.mark.parametrize(
    ("name", "password"),
    [("ash", "wrong"), ("ash", ""), ("nobody", PASSWORD), ("", ""), ("ash", "\ud800"), ("ash", "x" * 999)],
)
def test_a_wrong_name_and_a_wrong_password_are_the_same_answer(engine: Engine, name: str, password: str) -> None:
    with pytest.raises(Refused) as caught:
        accounts.check(engine, name, password, NOW_MS)
    assert caught.value.code == "wrong_password"
    assert name == "" or name not in caught.value.sentence


def test_five_wrong_passwords_lock_until_a_supervisor_releases(engine: Engine) -> None:
    assert [word(engine, "ash", "wrong") for _ in range(5)] == ["wrong_password"] * 5
    assert word(engine, "ash", PASSWORD) == "locked"
    assert word(engine, "ash", PASSWORD, NOW_MS + 1000 * MINUTE_MS) == "locked"
    assert ("account_locked", "ash") in audited(engine)
    with engine.begin() as connection:
        accounts.release(connection, "ash", "boss", NOW_MS)
    assert word(engine, "ash", PASSWORD) == "ash"


def test_the_fifth_try_may_still_be_right_and_wipes_the_slate(engine: Engine) -> None:
    assert [word(engine, "ash", "wrong") for _ in range(4)] == ["wrong_password"] * 4
    assert word(engine, "ash", PASSWORD) == "ash"
    assert word(engine, "ash", "wrong") == "wrong_password"
    assert word(engine, "ash", PASSWORD) == "ash"


def test_wrong_passwords_further_apart_do_not_add_up(engine: Engine) -> None:
    for number in range(6):
        assert word(engine, "ash", "wrong", NOW_MS + number * 16 * MINUTE_MS) == "wrong_password"
    assert word(engine, "ash", PASSWORD, NOW_MS + 6 * 16 * MINUTE_MS) == "ash"


def test_a_clock_set_back_gives_no_more_tries(engine: Engine) -> None:
    for number in range(5):
        word(engine, "ash", "wrong", NOW_MS - number * 60 * MINUTE_MS)
    assert word(engine, "ash", PASSWORD, NOW_MS) == "locked"


def test_a_try_is_counted_before_the_password_is_looked_at(engine: Engine) -> None:
    fails: list[int] = []

    def committed(connection: Connection) -> None:
        fails.append(connection.execute(select(schema.account.c.fails)).scalar_one())

    event.listen(engine, "commit", committed)
    try:
        assert word(engine, "ash", PASSWORD) == "ash"
    finally:
        event.remove(engine, "commit", committed)
    assert fails == [1, 0]  # a plug pulled between the two leaves the try counted


def test_parallel_tries_are_counted_one_by_one(engine: Engine) -> None:
    words: list[str] = []
    guessers = [threading.Thread(target=lambda: words.append(word(engine, "ash", "wrong"))) for _ in range(7)]
    for guesser in guessers:
        guesser.start()
    for guesser in guessers:
        guesser.join(30)
    assert sorted(words) == ["locked"] * 2 + ["wrong_password"] * 5


def test_an_unknown_name_takes_as_long_as_a_known_one(engine: Engine) -> None:
    def took_s(name: str) -> float:  # of this thread: other work on the machine does not count
        began_s = time.thread_time()
        word(engine, name, "wrong")
        return time.thread_time() - began_s

    known = min(took_s("ash") for _ in range(2))
    unknown = min(took_s("nobody") for _ in range(2))
    assert known / 3 < unknown < known * 3


def test_what_was_typed_as_an_unknown_name_is_not_kept(engine: Engine) -> None:
    word(engine, "my-secret-password", "ash")
    assert audited(engine) == [("sign_in", None)]


def test_a_made_up_password_is_said_once_and_works(engine: Engine) -> None:
    with engine.begin() as connection:
        password = accounts.add(connection, "tech", Role.FLEET_TECH, NOW_MS)
    try:
        assert len(password.replace("-", "")) == 16
        assert word(engine, "tech", password) == "tech"
        with engine.begin() as connection:
            row = connection.execute(select(schema.account).where(schema.account.c.account == "tech")).one()
        assert password.encode() not in row.password + row.salt
    finally:
        with engine.begin() as connection:
            connection.execute(schema.account.delete().where(schema.account.c.account == "tech"))


@pytest.mark.parametrize(
    ("name", "role", "password"),
    [
        ("Ash B", "dispatcher", PASSWORD),
        ("", "dispatcher", PASSWORD),
        ("ash", "dispatcher", PASSWORD),
        ("new", "king", PASSWORD),
        ("new", "dispatcher", "short"),
    ],
    ids=["a space", "no name", "taken", "no such role", "a short password"],
)
def test_an_account_that_cannot_be_is_refused(engine: Engine, name: str, role: str, password: str) -> None:
    with engine.begin() as connection, pytest.raises(Refused):
        accounts.add(connection, name, role, NOW_MS, password=password)


def test_every_role_of_the_table_is_known() -> None:
    assert {str(role) for role in Role} == {
        "dispatcher",
        "supervisor",
        "fleet_tech",
        "desk_clinician",
        "privacy_auditor",
        "hub_admin",
        "wall",
    }
