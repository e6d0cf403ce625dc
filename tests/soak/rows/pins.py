"""F30: the power goes while PINs are tried; whoever saw an answer has spent a try, on the disk as well."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from edge import vault
from tests.soak.ground import Ground
from tests.soak.images import GUARD_FILE, Image, open_image
from tests.soak.machine import ROOT
from tests.soak.report import Outcome, Row
from tests.soak.site import until

STAFF = "s-rowan"
TRYING_S = 0.5  # a try takes a sixth of a second here
IMAGE_MB = 32

_THIEF = """
import os, sys
from pathlib import Path
from edge import vault

home, noted, guard = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
print("ready", flush=True)
while True:
    answer = vault.unlock(home, sys.argv[4], "not it")
    os.close(os.open(guard, os.O_RDONLY))  # what was answered after the cut was answered to nobody
    with noted.open("a") as file:
        file.write(f"{answer.why}\\n")
    if answer.why != "wrong":
        break
"""


def regained(ground: Ground) -> Outcome:
    """Somebody tries PINs and cuts the power, again and again: the disk has counted every answer they were given."""
    times, chance = ground.often(quick=8, full=300), ground.chance("cuts between count and check")
    given = unanswered = locked = spent = 0
    findings: list[str] = []
    noted = ground.scratch / "answers"
    with open_image(ground, "disk", IMAGE_MB) as image:
        home = image.at / "board"
        home.mkdir()
        pin = vault.issue(home, STAFF)
        os.sync()
        for number in range(times):
            noted.write_text("")
            _try_until_the_cut(home, noted, image, chance.uniform(0.0, TRYING_S), after_one=number % 2 == 1)
            answers = len(noted.read_text().split())
            counted = vault.TRIES_MAX - (vault.tries_left(home, STAFF) or 0)
            if counted < spent + answers:
                findings.append(f"{answers} answers after {spent} tries, and the disk has counted {counted} in all")
            given, unanswered, spent = given + answers, unanswered + counted - spent - answers, counted
            if spent == vault.TRIES_MAX:
                if not isinstance(vault.unlock(home, STAFF, pin), vault.Locked):
                    findings.append("a slot whose tries were spent was opened")
                locked, spent = locked + 1, 0
                pin = vault.issue(home, STAFF, replace=True)
                os.sync()
    if not given:
        findings.append("nobody was given an answer: this proves nothing")
    return Outcome(
        repetitions=times,
        lost=0,
        duplicated=0,
        recovery_s_max=None,
        also=f"{given} answers given, {unanswered} tries counted without one, {locked} times locked",
        findings=tuple(findings),
    )


def _try_until_the_cut(home: Path, noted: Path, image: Image, for_s: float, *, after_one: bool) -> None:
    """Try PINs of the slot in `home` for a while, perhaps from the first answer on; then cut the power and start again."""
    guard = str(image.at / GUARD_FILE)
    with subprocess.Popen(
        [sys.executable, "-c", _THIEF, str(home), str(noted), guard, STAFF],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # an I/O error, once the power is cut
    ) as thief:
        assert thief.stdout is not None
        thief.stdout.readline()
        if after_one:
            until("an answer", lambda: noted.read_text())
        time.sleep(for_s)
        image.cut_power()
        thief.kill()
    image.power_on()


ROWS = (Row("F30", "power cut while PINs are tried: no try comes back", regained),)
