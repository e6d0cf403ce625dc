"""`terminal.toml`: what a fleet tech writes is meant, and what cannot be is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge import settings
from edge.settings import ReceiverSettings, SettingsError, Source


def loaded(home: Path, text: str) -> ReceiverSettings:
    (home / settings.SETTINGS_FILE).write_text(text)
    receiver = settings.load(home).receiver
    assert receiver is not None
    return receiver


def test_an_empty_table_finds_the_receiver_by_itself(tmp_path: Path) -> None:
    receiver = loaded(tmp_path, "[receiver]\n")
    assert (receiver.source, receiver.port, receiver.speed, receiver.estimates) == (Source.SERIAL, "auto", 0, False)


@pytest.mark.parametrize(("said", "speed"), [("0", 0), ('"auto"', 0), ("4800", 4800), ("921600", 921600)])
def test_a_speed_is_a_number_or_found(tmp_path: Path, said: str, speed: int) -> None:
    assert loaded(tmp_path, f'[receiver]\nport = "/dev/ttyACM0"\nbaud = {said}\n').speed == speed


def test_gpsd_is_another_source(tmp_path: Path) -> None:
    receiver = loaded(tmp_path, '[receiver]\nsource = "gpsd"\ngpsd_host = "127.0.0.1"\ngpsd_port = 2948\n')
    assert (receiver.source, receiver.gpsd_port) == (Source.GPSD, 2948)


@pytest.mark.parametrize(
    "wrong", ['port = ""', "baud = 50", "baud = -1", 'baud = "fast"', 'source = "usb"', "gpsd_port = 0", "speed = 9600"]
)
def test_what_cannot_be_is_refused_with_the_files_name(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"terminal\.toml is wrong"):
        loaded(tmp_path, f"[receiver]\n{wrong}\n")


def test_a_terminal_without_the_table_has_no_receiver(tmp_path: Path) -> None:
    (tmp_path / settings.SETTINGS_FILE).write_text("")
    assert settings.load(tmp_path).receiver is None
