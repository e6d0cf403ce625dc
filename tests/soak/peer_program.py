"""ThingsBoard Gateway's SQLite storage under the same loops: run by the Python of its own environment, alone.

`write FOLDER NOTED FIRST GUARD`: put messages FIRST, FIRST + 1, … as its connectors do, and note in NOTED each that it
accepted; after each answer a file on the same disk must open, as for our own crews. `read FOLDER`: print the number of
each message that its own reader gives, oldest first.

The settings are those of the `storage` table it ships, with "sqlite" in place of "memory".
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from threading import Event

from thingsboard_gateway.storage.sqlite.sqlite_event_storage import SQLiteEventStorage

PACE_S = 0.02  # a crew of ours presses about as often
IDLE_READS = 10  # its thread looks for rows five times a second
SHIPPED = {
    "type": "sqlite",
    "read_records_count": 100,
    "max_records_count": 100000,
    "max_file_count": 10,
    "max_read_records_count": 10,
    "max_records_per_file": 10000,
    "messages_ttl_check_in_hours": 1,
    "messages_ttl_in_days": 7,
}


def opened(folder: str) -> SQLiteEventStorage:
    # Its own logger has this method; the level is its lowest.
    logging.Logger.trace = lambda self, *words, **more: self.log(5, *words, **more)
    logging.basicConfig(level=logging.ERROR)
    return SQLiteEventStorage({**SHIPPED, "data_file_path": f"{folder}/"}, logging.getLogger("storage"), Event())


def write(folder: str, noted: str, first: str, guard: str) -> None:
    storage = opened(folder)
    print("ready", flush=True)
    number = int(first)
    with Path(noted).open("a", buffering=1) as file:
        while True:
            is_taken = storage.put(json.dumps({"deviceName": "care-1", "telemetry": [{"n": number}]}))
            os.close(os.open(guard, os.O_RDONLY))
            if is_taken:
                file.write(f"{number}\n")
            number += 1
            time.sleep(PACE_S)


def read(folder: str) -> None:
    storage = opened(folder)
    idle = 0
    while idle < IDLE_READS:
        pack = storage.get_event_pack()
        if not pack:
            idle += 1
            time.sleep(0.3)
            continue
        idle = 0
        for message in pack:
            print(json.loads(message)["telemetry"][0]["n"])
        storage.event_pack_processing_done()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](*sys.argv[2:])
