"""Kill the writer at any moment: everything it had called saved is there, and no number twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge import schema
from edge.store import Store
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.system

KILLS = 20

WRITER = """
import sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric import ec
from edge import outbox, schema
from edge.clock import Clock
from edge.outbox import Signer
from edge.store import Store
from wire.facts import AuditFact

home, saved = Path(sys.argv[1]), open(sys.argv[2], "ab", buffering=0)
signer, clock = Signer("care-1", ec.generate_private_key(ec.SECP256R1())), Clock(bytes(16))
ledger = Store(home / "ledger.db", schema.LEDGER)
fact = AuditFact(what="unlocked", outcome="ok")
while True:
    seq = ledger.do(lambda db: outbox.append(db, signer, clock.stamp(), "audit", fact))
    saved.write(b"%d\\n" % seq)
"""


def test_everything_reported_as_saved_survives_twenty_kills(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    saved = tmp_path / "saved"
    for _ in range(KILLS):
        before = saved.stat().st_size if saved.exists() else 0
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(saved)])
        try:
            end_s = time.monotonic() + PATIENCE_S
            while not saved.exists() or saved.stat().st_size == before:
                assert time.monotonic() < end_s and writer.poll() is None, "the writer does not write"
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.05))
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    said = [int(line) for line in saved.read_bytes().split(b"\n")[:-1]]
    ledger = Store(tmp_path / "ledger.db", schema.LEDGER)
    held = ledger.do(lambda db: [row[0] for row in db.execute("select seq from record order by seq").fetchall()])
    sound = ledger.do(lambda db: db.execute("pragma integrity_check").fetchone()[0])
    ledger.close()
    assert sound == "ok"
    assert held == list(range(1, len(held) + 1)), "a number was given twice or left out"
    assert set(said) <= set(held), f"seed {seed}: saved and gone: {sorted(set(said) - set(held))}"
    assert len(said) == len(set(said))
    assert len(said) > KILLS
