"""The vault: what a PIN opens, and how often it may be tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import vault
from wire.codec import Malformed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Argon2id with little memory: the derivation is the library's, the counting is ours."""
    monkeypatch.setattr(vault, "MEMORY_KIB", 64)
    yield


def wrong(pin: str) -> str:
    return f"{(int(pin) + 1) % 10**vault.PIN_DIGITS:0{vault.PIN_DIGITS}d}"


def test_the_issued_pin_opens_the_same_key_every_time(tmp_path: Path) -> None:
    pin = vault.issue(tmp_path, "s-rowan")
    first, second = vault.unlock(tmp_path, "s-rowan", pin), vault.unlock(tmp_path, "s-rowan", pin)
    assert isinstance(first, vault.VaultKey) and isinstance(second, vault.VaultKey)
    assert first.key == second.key and len(first.key) == 32
    assert len(pin) == 6 and pin.isdigit()


def test_a_wrong_pin_opens_nothing_and_says_how_many_tries_are_left(tmp_path: Path) -> None:
    pin = vault.issue(tmp_path, "s-rowan")
    assert vault.unlock(tmp_path, "s-rowan", wrong(pin)) == vault.Locked(why=vault.Why.WRONG, tries_left=4)


def test_the_fifth_wrong_pin_locks_even_the_right_one_out(tmp_path: Path) -> None:
    pin = vault.issue(tmp_path, "s-rowan")
    outcomes = [vault.unlock(tmp_path, "s-rowan", wrong(pin)) for _ in range(5)]
    assert [o.tries_left for o in outcomes if isinstance(o, vault.Locked)] == [4, 3, 2, 1, 0]
    assert vault.unlock(tmp_path, "s-rowan", pin) == vault.Locked(why=vault.Why.LOCKED_OUT, tries_left=0)


def test_a_right_pin_sets_the_count_back(tmp_path: Path) -> None:
    pin = vault.issue(tmp_path, "s-rowan")
    for _ in range(3):
        for _ in range(4):
            vault.unlock(tmp_path, "s-rowan", wrong(pin))
        assert isinstance(vault.unlock(tmp_path, "s-rowan", pin), vault.VaultKey)


def test_a_try_is_counted_before_it_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = vault.issue(tmp_path, "s-rowan")

    class PowerCut(BaseException):
        pass

    def cut(phrase: str, salt: bytes, pepper: bytes | None) -> bytes:
        raise PowerCut

    monkeypatch.setattr(vault, "argon2id", cut)
    for _ in range(5):
        with pytest.raises(PowerCut):
            vault.unlock(tmp_path, "s-rowan", pin)
    monkeypatch.undo()
    assert vault.unlock(tmp_path, "s-rowan", pin) == vault.Locked(why=vault.Why.LOCKED_OUT, tries_left=0)


def test_another_board_cannot_test_a_pin(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    pin = vault.issue(mine, "s-rowan")
    vault.pepper(other)
    (other / "vault").mkdir()
    (other / "vault" / "s-rowan.slot").write_bytes((mine / "vault" / "s-rowan.slot").read_bytes())
    assert isinstance(vault.unlock(other, "s-rowan", pin), vault.Locked)


def test_a_slot_under_another_name_does_not_open(tmp_path: Path) -> None:
    pin = vault.issue(tmp_path, "s-rowan")
    (tmp_path / "vault" / "s-rowan.slot").rename(tmp_path / "vault" / "s-other.slot")
    assert isinstance(vault.unlock(tmp_path, "s-other", pin), vault.Locked)


def test_a_second_pin_is_refused_unless_the_drafts_are_given_up(tmp_path: Path) -> None:
    pin = vault.issue(tmp_path, "s-rowan")
    with pytest.raises(vault.SlotTaken):
        vault.issue(tmp_path, "s-rowan")
    before = vault.unlock(tmp_path, "s-rowan", pin)
    after = vault.unlock(tmp_path, "s-rowan", vault.issue(tmp_path, "s-rowan", replace=True))
    assert isinstance(before, vault.VaultKey) and isinstance(after, vault.VaultKey) and before.key != after.key


def test_nobody_without_a_slot_gets_in_and_no_name_reaches_outside_the_folder(tmp_path: Path) -> None:
    assert vault.unlock(tmp_path, "nobody", "000000") == vault.Locked(why=vault.Why.NO_SLOT, tries_left=0)
    with pytest.raises(Malformed):
        vault.unlock(tmp_path, "../../etc/passwd", "000000")


def test_only_the_owner_reads_the_files_and_the_key_shows_in_no_repr(tmp_path: Path) -> None:
    pin = vault.issue(tmp_path, "s-rowan")
    files = [tmp_path / "board.secret", tmp_path / "vault" / "s-rowan.slot"]
    assert [f.stat().st_mode & 0o777 for f in files] == [0o600, 0o600]
    key = vault.unlock(tmp_path, "s-rowan", pin)
    assert isinstance(key, vault.VaultKey) and repr(key.key) not in repr(key)
    assert vault.holders(tmp_path) == ("s-rowan",)


def test_a_damaged_slot_says_so(tmp_path: Path) -> None:
    vault.issue(tmp_path, "s-rowan")
    (tmp_path / "vault" / "s-rowan.slot").write_bytes(b"\x95\x01")
    with pytest.raises(Malformed):
        vault.unlock(tmp_path, "s-rowan", "000000")
