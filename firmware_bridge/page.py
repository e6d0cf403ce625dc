"""A Picture drawn for a person at a terminal, as large as the terminal is. Pure: the same picture, the same page.

Color only repeats what a word or a sign says as well. What does not fit is left out from the end of the least urgent
part, and the page says how much.
"""

from __future__ import annotations

from datetime import timedelta
from textwrap import wrap

from rich.text import Text

from firmware_bridge import pins
from firmware_bridge.find import AUTO
from firmware_bridge.readings import Condition
from firmware_bridge.sky import Satellite
from firmware_bridge.watch import FIX, LOOKING, KindCount, Picture, ShownFix

MPH_PER_MPS = 3600 / 1609.344
WIDTH_MIN = 10  # no terminal is narrower, and words need some room
SNR_FULL_DB = 50.0  # as strong as it gets under an open sky
_LABEL = 10
_LEFT_WIDTH = 36  # a label and a place, and a little space
_SATELLITE_WIDTH = 38
_KIND_WIDTH = 25
_COMPASS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
_EIGHTHS = " ▏▎▍▌▋▊▉"
_STYLES = {FIX: "bold green", Condition.NO_FIX.value: "bold yellow", Condition.OPENED.value: "bold"}


def page(picture: Picture, width: int, height: int, *, is_ascii: bool = False, is_live: bool = True) -> Text:
    """At most `height` lines, none wider than `width` or WIDTH_MIN. `is_ascii` for a terminal that knows no other signs."""
    width = max(WIDTH_MIN, width)
    sky_heading, cells = _heading(picture), _satellites(picture, is_ascii)
    kinds = [_kind(kind) for kind in picture.sentences]
    above = [_title(picture, width), *_condition(picture, width), *_two_columns(_position(picture), _clock(picture))]
    below = [_rejected(picture), _foot(picture, width if is_live else 0)]
    rest = max(0, height - len(above) - len(below) - 2)
    kind_rows = min(_rows(len(kinds), width // _KIND_WIDTH), max(rest // 2, rest - _rows(len(cells), width // 38)))
    lines = [
        *above,
        _rule(sky_heading, width, is_ascii),
        *_grid(cells, rest - kind_rows, width, _SATELLITE_WIDTH, "others"),
        _rule("Sentences, and how many a second", width, is_ascii),
        *_grid(kinds, kind_rows, width, _KIND_WIDTH, "kinds"),
        *below,
    ]
    for line in lines:
        line.truncate(width, overflow="crop" if is_ascii else "ellipsis")
    return Text("\n", no_wrap=True).join(lines[:height])


def _title(picture: Picture, width: int) -> Text:
    what = "played capture" if picture.is_capture else f"{picture.baud} baud" if picture.baud else ""
    clock = f"{picture.at:%H:%M:%S} UTC"
    name = "looking at all ports" if picture.port == AUTO else picture.port
    left = f"{name}  {what}"
    too_long = len(left) + 2 + len(clock) - width
    if too_long > 0:  # the end of the name tells two receivers apart
        left = f"...{name[too_long + 3 :]}  {what}"
    return Text(f"{left}{clock:>{max(0, width - len(left))}}", style="bold")


def _condition(picture: Picture, width: int) -> list[Text]:
    words = _condition_words(picture)
    if picture.reopened:
        words += f" Opened again {'once' if picture.reopened == 1 else f'{picture.reopened} times'}."
    style = _STYLES.get(picture.condition, "bold red")
    return [Text(line, style=style) for line in wrap(words, width, subsequent_indent="  ", max_lines=3, placeholder="")]


def _condition_words(picture: Picture) -> str:
    lasting = _lasting(picture.condition_s)
    if picture.condition == FIX and picture.fix is not None:
        dimensions = "" if picture.fix.dimensions is None else f"{picture.fix.dimensions}D, "
        return f"FIX  {dimensions}{picture.fix.quality}, {picture.fix.age_s:.1f} s old."
    if picture.condition == Condition.OPENED.value:
        return f"OPENED {lasting} ago: waiting for the first fix."
    if picture.condition == LOOKING:
        return f"LOOKING for {lasting}: listening for right sentences."
    words = {Condition.NO_FIX.value: "NO FIX for", Condition.SILENT.value: "SILENT for"}
    return f"{words.get(picture.condition, 'LOST, and trying again, for')} {lasting}: {_ended(picture.why)}"


def _position(picture: Picture) -> list[tuple[str, str]]:
    fix = picture.fix
    if fix is None:
        return [("Position", "none yet"), ("Speed", "-"), ("Heading", "-"), ("Accuracy", "-")]
    place = f"{fix.lat:.6f}, {fix.lon:.6f}"
    return [
        ("Position" if picture.condition == FIX else "Was at", place),
        ("Speed", _speed(fix)),
        ("Heading", _course(fix)),
        ("Accuracy", _accuracy(fix)),
    ]


def _speed(fix: ShownFix) -> str:
    if fix.speed_mps is None:
        return "not said"
    return f"{fix.speed_mps:.1f} m/s ({fix.speed_mps * MPH_PER_MPS:.0f} mph)"


def _course(fix: ShownFix) -> str:
    if fix.heading_deg is None:
        return "not said"
    return f"{fix.heading_deg:.0f} degrees {_COMPASS[round(fix.heading_deg / 45) % len(_COMPASS)]}"


def _accuracy(fix: ShownFix) -> str:
    told = [] if fix.accuracy_m is None else [f"{fix.accuracy_m:.1f} m"]
    told += [] if fix.hdop is None else [f"hdop {fix.hdop:.1f}"]
    return ", ".join(told) or "not said"


def _clock(picture: Picture) -> list[tuple[str, str]]:
    clock = picture.clock
    at = None if picture.fix is None else picture.fix.at
    dates = {
        "not_said": "not said yet",
        "doubted": f"{clock.said}, not believed yet",
        "believed": "believed: three agree",
        "repaired": f"repaired, it says {clock.said}",
    }
    return [
        ("Date", dates[clock.state]),
        ("Receiver", "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"),
        ("System", _offset(picture)),
        ("Pins", _pins(picture)),
    ]


def _offset(picture: Picture) -> str:
    ahead_s = picture.clock.system_ahead_s
    if picture.is_capture:
        return "not compared with a capture"
    if ahead_s is None:
        return "-"
    if abs(ahead_s) < 1:
        return "clock within 1 s of it"
    return f"clock {_lasting(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'} it"


def _pins(picture: Picture) -> str:
    """Never that the button works: nobody listens to it who could call for help. The terminal says that, when it runs."""
    state = picture.pins
    if state is None:
        return "not looked at (--settings)"
    wired = [pin for pin in state.pins.values() if pin.condition is not pins.Condition.OFF]
    if not wired:
        return "none wired"
    whole = f"{sum(pin.condition is pins.Condition.OK for pin in wired)} of {len(wired)} pins ok"
    duress = state.pins[pins.Name.DURESS].condition
    if state.is_simulated:
        return f"simulated, {whole}"
    if duress is pins.Condition.OK:
        return f"duress opens, {whole}"
    return f"NO duress ({'not wired' if duress is pins.Condition.OFF else duress}), {whole}"


def _heading(picture: Picture) -> str:
    sky = picture.sky
    used = sky.used
    if used is None and picture.fix is not None:
        used = picture.fix.satellites
    words = f"Satellites: {'?' if used is None else used} used (*)"
    if not sky.satellites:
        return f"{words}, none named in view"
    words += f", {len(sky.satellites)} in view; elevation, azimuth, dB-Hz"
    if picture.sky_age_s is not None and picture.sky_age_s > 10:
        words += f"; said {_lasting(picture.sky_age_s)} ago"
    return words


def _satellites(picture: Picture, is_ascii: bool) -> list[Text]:
    """Those that count first: used, then received. Within these by name, so that nothing hops about."""
    seen = sorted(picture.sky.satellites, key=lambda one: (not one.is_used, one.snr_db is None, one.name))
    return [_satellite(one, is_ascii) for one in seen]


def _satellite(one: Satellite, is_ascii: bool) -> Text:
    degree = " " if is_ascii else "°"
    elevation = "-" if one.elevation_deg is None else f"{one.elevation_deg:.0f}{degree}"
    azimuth = "-" if one.azimuth_deg is None else f"{one.azimuth_deg:.0f}{degree}"
    snr = "-" if one.snr_db is None else f"{one.snr_db:.0f}"
    cell = Text(f"{'*' if one.is_used else ' '}{one.name:<4}{elevation:>4} {azimuth:>4} {snr:>3} ")
    cell.append(
        _bar(one.snr_db or 0.0, _SATELLITE_WIDTH - len(cell) - 2, is_ascii), "green" if one.is_used else "yellow"
    )
    return cell


def _bar(snr_db: float, width: int, is_ascii: bool) -> str:
    length = min(1.0, snr_db / SNR_FULL_DB) * width
    if is_ascii:
        return "#" * round(length)
    whole = int(length)
    return "█" * whole + _EIGHTHS[int((length - whole) * len(_EIGHTHS))].strip()


def _kind(kind: KindCount) -> Text:
    rate = "" if kind.per_s is None else f"{kind.per_s:.1f}/s"
    return Text(f"{kind.kind:<8}{kind.count:>8}{rate:>7}")


def _rejected(picture: Picture) -> Text:
    reasons = ", ".join(f"{reason} {count}" for reason, count in picture.rejected.items())
    return Text(f"Rejected: {reasons or 'none'}", style="yellow" if reasons else "")


def _foot(picture: Picture, width: int) -> Text:
    left, right = f"{picture.read_bytes} bytes read, {picture.noise_bytes} of them noise", "  Ctrl-C ends"
    room = width - len(left)
    return Text(f"{left}{right:>{room}}" if room >= len(right) else left)


def _two_columns(left: list[tuple[str, str]], right: list[tuple[str, str]]) -> list[Text]:
    rows = []
    for (name, told), (other_name, other_told) in zip(left, right, strict=True):
        row = Text(f"{name:<{_LABEL}}{told}")
        row.truncate(_LEFT_WIDTH, pad=True)
        rows.append(row + Text(f"{other_name:<{_LABEL}}{other_told}"))
    return rows


def _rows(cells: int, columns: int) -> int:
    return -(-cells // max(1, columns))


def _grid(cells: list[Text], rows: int, width: int, cell_width: int, others: str) -> list[Text]:
    """The first cells, column by column, in at most `rows` lines; how many were left out is said in the last place."""
    columns = max(1, width // cell_width)
    rows = min(rows, _rows(len(cells), columns))
    if rows <= 0:
        return []
    if len(cells) > rows * columns:
        left_out = len(cells) - rows * columns + 1
        cells = [*cells[: rows * columns - 1], Text(f" and {left_out} {others}")]
    lines = []
    for row in range(rows):
        line = Text()
        for cell in cells[row::rows]:
            padded = cell.copy()
            padded.truncate(cell_width, pad=True)
            line.append_text(padded)
        lines.append(line)
    return lines


def _rule(words: str, width: int, is_ascii: bool) -> Text:
    sign = "-" if is_ascii else "─"
    return Text(f"{sign * 2} {words} ".ljust(width, sign))


def _ended(words: str) -> str:
    return words if words.endswith((".", "?", "!")) else f"{words}."


def _lasting(lasting_s: float) -> str:
    """A length of time as people say it: seconds up to two minutes, then the larger unit that is still exact enough."""
    if lasting_s < 120:
        return f"{lasting_s:.0f} s"
    lasting = timedelta(seconds=round(lasting_s))
    if lasting < timedelta(hours=2):
        return f"{lasting.seconds // 60} min"
    if lasting < timedelta(days=2):
        return f"{lasting.total_seconds() / 3600:.0f} h"
    return f"{lasting.days} days"
