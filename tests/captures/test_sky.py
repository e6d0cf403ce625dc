"""The skies of real receivers beside gpsd's: the same satellites, in the same places, as strong."""

from __future__ import annotations

import json
from pathlib import Path

from firmware_bridge.framing import Framer
from firmware_bridge.nmea import Rejected, said
from firmware_bridge.sky import Constellation, SkyReader
from tests.captures.test_captures import logs, needs_logs

MATCHED_SHARE_MIN = 0.98
# gpsd's numbers for the constellations; the fourth, IMES, are transmitters in buildings.
_CONSTELLATIONS = ["gps", "sbas", "galileo", "beidou", "unknown", "qzss", "glonass", "navic"]

_Seen = tuple[
    str, int, float, float, float
]  # constellation, number, elevation, azimuth, signal; 0 for what was not said


def skies_of(log: Path) -> list[set[_Seen]]:
    reader, skies = SkyReader(), []
    for sentence in Framer().feed(log.read_bytes()):
        try:
            said(sentence)
        except Rejected:
            continue
        if reader.take(sentence):
            skies.append(
                {
                    (one.constellation.value, one.prn, one.elevation_deg or 0, one.azimuth_deg or 0, one.snr_db or 0)
                    for one in reader.sky.satellites
                }
            )
    return skies


def skies_of_gpsd(log: Path) -> list[set[_Seen]]:
    """One satellite is named once for each of its signals there; the strongest counts."""
    skies = []
    for line in log.with_name(log.name + ".chk").read_bytes().decode("utf-8", "replace").splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if not isinstance(answer, dict) or answer.get("class") != "SKY":
            continue
        strongest: dict[tuple[int, int], _Seen] = {}
        for one in sorted(answer.get("satellites", []), key=lambda one: one["ss"]):
            whose, number = one.get("gnssid", 0), one.get("svid", one["PRN"])
            place = one.get("el", 0), one.get("az", 0)
            strongest[whose, number] = (_CONSTELLATIONS[whose], number, *place, one["ss"])
        skies.append(set(strongest.values()))
    return skies


@needs_logs
def test_the_skies_agree_with_gpsd(report) -> None:
    receivers = matched = asked = whole = skies = 0
    constellations: set[str] = set()
    for log in logs():
        ours, theirs = skies_of(log), skies_of_gpsd(log)
        if not ours or not any(theirs):
            continue
        receivers += 1
        seen = set().union(*ours)
        constellations |= {one[0] for one in seen}
        matched += sum(len(sky & seen) for sky in theirs)
        asked += sum(map(len, theirs))
        whole += sum(sky in ours for sky in theirs)
        skies += len(theirs)
    report(
        f"gps-logs: skies of {receivers} receivers with GSV; {matched} of gpsd's {asked} satellites are the same in "
        f"place and signal ({100 * matched / asked:.2f} %), {whole} of its {skies} skies as a whole"
    )
    assert matched >= MATCHED_SHARE_MIN * asked
    assert constellations >= {Constellation.GPS, Constellation.GLONASS, Constellation.GALILEO, Constellation.BEIDOU}
