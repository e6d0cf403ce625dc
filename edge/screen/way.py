"""The way as a crew reads it: the next turn in words, when they will be there, and the line drawn. Pure.

A turn is shown only while the vehicle is on its way. Off it, or while nobody can say, there is no arrow at all: no turn is
better than a wrong one. Without a way the screen says how far it is straight, and that this is no road.
"""

from __future__ import annotations

from math import cos, hypot, radians, sin

from msgspec import Struct

from edge.route import Followed, Seen
from edge.screen import words
from wire import way
from wire.distance import EARTH_RADIUS_M, bearing_deg, distance_m
from wire.state import Assignment, Turn
from wire.way import Line, Phase, WhyNot

MILE_M, FOOT_M = 1609.344, 0.3048
OLD_S = 10.0  # a fix of before says no turn any more: at 45 mph it is 200 m back
LATE_S = 25.0  # so long off the way with a link, and the new one should have been here
NOW_M = 20.0  # a turn that is this near is no distance any more
THEN_M = 300.0  # the turn behind the next is named when it follows so soon

POINTS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
SPOKEN = ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest")

NEAR_BOX, WHOLE_BOX = (460, 324), (316, 322)  # of the drawings, about a pixel of the smallest glass each
VIEWS_M = (200.0, 350.0, 600.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0)  # ahead; a step, so that it does not breathe
BEHIND_M = 250.0  # of the way that was driven
STEP_PX = 2.0  # points closer than this are one
MARGIN_PX = 34.0
PIN_PX = 20.0  # and that much more above, for the sign of the place stands on its tip


class Told(Struct, frozen=True, kw_only=True):
    """What stands beside the drawing. `phase`: "turn", "unsure", "off", "old" or "none"; `arrow`: a `wire.way.KINDS` word or
    empty; `head`: read at a glance; `street` and `then` on a second look; `straight`: how far it
    is as a bird flies, and where.

    `eta`: the clock when they will be there, `minutes` until then and `left` to drive, each empty while nobody knows;
    `as_of`: how old that is, empty while it is fresh.
    """

    phase: str
    mood: str
    arrow: str
    head: str
    street: str
    then: str = ""
    straight: str = ""
    eta: str = ""
    minutes: str = ""
    left: str = ""
    as_of: str = ""


class Listed(Struct, frozen=True, kw_only=True):
    """A turn in the list."""

    arrow: str
    words: str
    distance: str


class Drawing(Struct, frozen=True, kw_only=True):
    """The line in a box of `box`, y downward. `is_stale`: the vehicle left it, nobody shall follow it any more. `is_old`: the vehicle was
    there some time ago. `driven`, `ahead`: the path, as SVG says it; `straight`: from the
    vehicle to the place, where there is no way; `car`: x, y and where it points; `place`: x, y, and whether it lies beyond
    the edge in that direction; `turns`: corners to come, the first being the next; `north_deg`: where north is."""

    box: tuple[int, int]
    is_stale: bool
    is_old: bool
    driven: str
    ahead: str
    straight: str
    car: tuple[float, float, float] | None
    place: tuple[float, float, bool] | None
    turns: tuple[tuple[float, float], ...]
    north_deg: float
    scale_px: float
    scale: str


# ---- words -------------------------------------------------------------------------------------------------------


def told(seen: Seen, assignment: Assignment, has_link: bool, now_ms: int, held_ms: int | None = None) -> Told:
    """What to tell of the way to `assignment`, which is here since `held_ms`."""
    followed = seen.followed
    straight = _straight(seen, assignment)
    if followed is None or followed.line is None:
        return _without(followed, straight, has_link, held_ms is not None and now_ms - held_ms > LATE_S * 1000)
    if seen.fix is None or seen.age_s is None or followed.progress is None:
        return Told(
            phase="none", mood="wait", arrow="", head="Position unknown", street="GPS has not said yet where you are"
        )
    if seen.age_s > OLD_S:
        return _timed(
            Told(
                phase="old",
                mood="wait",
                arrow="",
                head="No GPS now",
                street=f"Your position is {words.age(int(seen.age_s * 1000))} old: no turn is shown",
                straight=straight,
                as_of=f"as of {words.age(int(seen.age_s * 1000))} ago",
            ),
            followed,
            now_ms - int(seen.age_s * 1000),
            now_ms,
        )
    match followed.progress.phase:
        case Phase.OFF:
            return _off(followed, straight, has_link)
        case Phase.UNSURE:
            return _timed(
                Told(
                    phase="unsure",
                    mood="wait",
                    arrow="",
                    head="Are you on the way?",
                    street="You are beside it: no turn is shown until that is clear",
                    straight=straight,
                ),
                followed,
                now_ms,
                now_ms,
            )
        case Phase.ON:
            return _timed(_turn(followed, straight, assignment.place), followed, now_ms, now_ms)


def turns(followed: Followed, place: str) -> tuple[Listed, ...]:
    """Every turn to come, and `place` at the end."""
    if followed.line is None:
        return ()
    at_m = 0.0 if followed.progress is None else followed.progress.at_m
    return tuple(
        Listed(
            arrow=turn.kind,
            words=place if turn.kind == "arrive" else turn.words.removesuffix("."),
            distance=spoken(from_here_m),
        )
        for turn, from_here_m in way.turns_left(followed.route, followed.line, at_m)
    )


def spoken(meters: float) -> str:
    """A distance as a driver says it."""
    feet = meters / FOOT_M
    if feet < 950:
        return f"{max(50, round(feet / 50) * 50)} ft"
    miles = meters / MILE_M
    return f"{miles:.1f} mi" if miles < 9.95 else f"{miles:.0f} mi"


def _turn(followed: Followed, straight: str, place: str) -> Told:
    assert followed.line is not None and followed.progress is not None  # asked for on the way only
    ahead = way.ahead(followed.route, followed.line, followed.progress.at_m)
    if ahead is None:
        return Told(phase="turn", mood="good", arrow="straight", head="Go on", street="", straight=straight)
    then = ""
    if ahead.then is not None and ahead.then.kind != "arrive" and ahead.then_m <= THEN_M:
        then = f"then {_short(ahead.then)}"
    if ahead.turn.kind == "arrive" and ("left" in ahead.turn.words or "right" in ahead.turn.words):
        then = ahead.turn.words.removesuffix(".")  # on which side it is
    return Told(
        phase="turn",
        mood="good",
        arrow=ahead.turn.kind,
        head="Now" if ahead.distance_m <= NOW_M else spoken(ahead.distance_m),
        street=place if ahead.turn.kind == "arrive" else _street(ahead.turn),
        then=then,
        straight=straight,
    )


def _off(followed: Followed, straight: str, has_link: bool) -> Told:
    assert followed.progress is not None
    since_s = followed.progress.at_s - followed.progress.on_s
    if not has_link:
        coming = "No link: no new way until it is back"
    elif since_s > LATE_S:
        coming = f"No new way for {words.age(int(since_s * 1000))}: ask dispatch"
    else:
        coming = "A new way is coming"
    return Told(phase="off", mood="bad", arrow="", head="Off route", street=coming, straight=straight)


def _without(followed: Followed | None, straight: str, has_link: bool, is_late: bool) -> Told:
    why_not = "" if followed is None else followed.route.why_not
    head, why = "No route", ""
    if why_not == WhyNot.ENGINE:
        why = "The hub cannot ask the roads now"
    elif why_not == WhyNot.NO_WAY:
        why = "No open road leads there"
    elif why_not == WhyNot.POSITION:
        why = "Dispatch does not know where you are"
    elif followed is not None:
        why = "This one cannot be read"
    elif has_link and is_late:
        head, why = "No route", "None has come: ask dispatch"
    elif has_link:
        head, why = "No route yet", "It comes behind the assignment"
    else:
        head, why = "No route yet", "No link: it comes when that is back"
    return Told(phase="none", mood="wait", arrow="", head=head, street=why, straight=straight)


def _timed(one: Told, followed: Followed, at_ms: int, now_ms: int) -> Told:
    assert followed.line is not None and followed.progress is not None
    left = way.left(followed.route, followed.line, followed.progress.at_m)
    there_ms = at_ms + int(left.seconds * 1000)
    return Told(
        phase=one.phase,
        mood=one.mood,
        arrow=one.arrow,
        head=one.head,
        street=one.street,
        then=one.then,
        straight=one.straight,
        eta=words.clock(there_ms),
        minutes=_minutes((there_ms - now_ms) / 1000),
        left=spoken(left.distance_m),
        as_of=one.as_of,
    )


def _minutes(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    if minutes < 1:
        return "<1 min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _street(turn: Turn) -> str:
    """Onto which street, or what to do where none is named."""
    return turn.street or turn.words.removesuffix(".")


_SHORT = {
    "right": "right",
    "left": "left",
    "sharp_right": "sharp right",
    "sharp_left": "sharp left",
    "slight_right": "bear right",
    "slight_left": "bear left",
    "uturn_right": "turn round",
    "uturn_left": "turn round",
    "straight": "straight on",
    "merge": "merge",
    "roundabout": "into the roundabout",
    "roundabout_exit": "out of the roundabout",
    "ferry": "onto the ferry",
}


def _short(turn: Turn) -> str:
    what = _SHORT.get(turn.kind, turn.words.removesuffix("."))
    return f"{what}: {turn.street}" if turn.street and turn.kind in _SHORT else what


def _straight(seen: Seen, assignment: Assignment) -> str:
    if seen.fix is None:
        return ""
    fix = seen.fix
    meters = distance_m(fix.lat, fix.lon, assignment.lat, assignment.lon)
    towards = SPOKEN[round(bearing_deg(fix.lat, fix.lon, assignment.lat, assignment.lon) / 45) % 8]
    return f"{spoken(meters)} {towards}"


# ---- the drawing -------------------------------------------------------------------------------------------------


class _View(Struct, frozen=True, kw_only=True):
    """Which part of the ground is drawn: its middle, which course is up, and how large."""

    lat: float
    lon: float
    up_deg: float
    px_per_m: float
    x: float
    y: float
    box: tuple[int, int]

    def at(self, lat: float, lon: float) -> tuple[float, float]:
        north = radians(lat - self.lat) * EARTH_RADIUS_M
        east = radians((lon - self.lon + 180) % 360 - 180) * EARTH_RADIUS_M * cos(radians(self.lat))
        turn = radians(self.up_deg)
        right, up = east * cos(turn) - north * sin(turn), north * cos(turn) + east * sin(turn)
        return self.x + right * self.px_per_m, self.y - up * self.px_per_m


def near(seen: Seen, assignment: Assignment) -> Drawing | None:
    """What lies ahead, the way up; or, where no way is followed, vehicle and place with north up. None without a place."""
    followed = seen.followed
    if seen.fix is None:
        return whole(seen, assignment)
    is_on = (
        followed is not None
        and followed.line is not None
        and followed.progress is not None
        and followed.progress.phase is not Phase.OFF
    )
    if not is_on:
        return _fitted(seen, assignment, NEAR_BOX, is_whole=False)
    assert followed is not None and followed.line is not None and followed.progress is not None
    line, at_m = followed.line, followed.progress.at_m
    ahead = way.ahead(followed.route, line, at_m)
    wanted_m = 1.15 * (ahead.distance_m if ahead is not None else 0.0) + 60.0
    view_m = next((each for each in VIEWS_M if each >= wanted_m), VIEWS_M[-1])
    lat, lon = way.place_at(line, at_m)
    view = _View(
        lat=lat,
        lon=lon,
        up_deg=way.course_at(line, at_m, 60.0) if at_m < line.length_m - 1 else 0.0,
        px_per_m=(NEAR_BOX[1] * 0.74 - MARGIN_PX) / view_m,
        x=NEAR_BOX[0] / 2,
        y=NEAR_BOX[1] * 0.76,
        box=NEAR_BOX,
    )
    return _drawn(view, seen, assignment, at_m - BEHIND_M, at_m + view_m * 2.5)


def whole(seen: Seen, assignment: Assignment) -> Drawing | None:
    """The whole way, north up."""
    return _fitted(seen, assignment, WHOLE_BOX, is_whole=True)


def _fitted(seen: Seen, assignment: Assignment, box: tuple[int, int], *, is_whole: bool) -> Drawing | None:
    spots = [(assignment.lat, assignment.lon)]
    line = None if seen.followed is None else seen.followed.line
    if seen.fix is not None:
        spots.append((seen.fix.lat, seen.fix.lon))
    if is_whole and line is not None:
        spots += line.points
    if len(spots) < 2:
        return None
    lats, lons = [lat for lat, _ in spots], [lon for _, lon in spots]
    lat, lon = (min(lats) + max(lats)) / 2, (min(lons) + max(lons)) / 2
    high_m = radians(max(lats) - min(lats)) * EARTH_RADIUS_M
    wide_m = radians(max(lons) - min(lons)) * EARTH_RADIUS_M * cos(radians(lat))
    width, height = box
    px_per_m = min((height - 2 * MARGIN_PX - PIN_PX) / max(high_m, 100.0), (width - 2 * MARGIN_PX) / max(wide_m, 100.0))
    view = _View(lat=lat, lon=lon, up_deg=0.0, px_per_m=px_per_m, x=width / 2, y=(height + PIN_PX) / 2, box=box)
    return _drawn(view, seen, assignment, 0.0, 0.0 if line is None else line.length_m)


def _drawn(view: _View, seen: Seen, assignment: Assignment, from_m: float, to_m: float) -> Drawing:
    followed = seen.followed
    line = None if followed is None else followed.line
    progress = None if followed is None else followed.progress
    at_m = 0.0 if progress is None else progress.at_m
    car = None
    if seen.fix is not None:
        points = (seen.fix.heading_deg or 0.0) - view.up_deg
        if line is not None and progress is not None and progress.phase is Phase.ON:
            points = way.course_at(line, at_m, 20.0) - view.up_deg if at_m < line.length_m - 1 else points
        car = (*view.at(seen.fix.lat, seen.fix.lon), points % 360)
    to = view.at(assignment.lat, assignment.lon)
    corners: tuple[tuple[float, float], ...] = ()
    if followed is not None and line is not None and progress is not None and progress.phase is Phase.ON:
        coming = way.turns_left(followed.route, line, at_m)
        places = (view.at(*line.points[turn.at]) for turn, _ in coming if turn.kind not in ("start", "arrive"))
        corners = tuple((_r(x), _r(y)) for x, y in places if 0 < x < view.box[0] and 0 < y < view.box[1])[:12]
    length_m, label = _scale(view.px_per_m)
    return Drawing(
        box=view.box,
        is_stale=_is_off(followed),
        is_old=seen.age_s is not None and seen.age_s > OLD_S,
        driven="" if line is None else _path(view, line, max(0.0, from_m), at_m),
        ahead="" if line is None else _path(view, line, max(at_m, from_m), min(line.length_m, to_m)),
        straight=""
        if car is None or (line is not None and not _is_off(followed))
        else f"M{_r(car[0])} {_r(car[1])}L{_r(to[0])} {_r(to[1])}",
        car=None if car is None else (_r(car[0]), _r(car[1]), _r(car[2])),
        place=_within(to, view.box),
        turns=corners,
        north_deg=_r(-view.up_deg % 360),
        scale_px=_r(length_m * view.px_per_m),
        scale=label,
    )


def _is_off(followed: Followed | None) -> bool:
    return followed is not None and followed.progress is not None and followed.progress.phase is Phase.OFF


def _within(to: tuple[float, float], box: tuple[int, int]) -> tuple[float, float, bool]:
    """A place in the box; one beyond it on its edge, in its direction."""
    middle_x, middle_y = box[0] / 2, box[1] / 2
    east, south = to[0] - middle_x, to[1] - middle_y
    share = max(abs(east) / (middle_x - MARGIN_PX / 2), abs(south) / (middle_y - MARGIN_PX / 2), 1e-9)
    if share <= 1:
        return _r(to[0]), _r(to[1]), False
    return _r(middle_x + east / share), _r(middle_y + south / share), True


def _path(view: _View, line: Line, from_m: float, to_m: float) -> str:
    if to_m <= from_m:
        return ""
    inner = [point for point, at_m in zip(line.points, line.along_m, strict=True) if from_m < at_m < to_m]
    drawn: list[tuple[float, float]] = []
    for place in (way.place_at(line, from_m), *inner, way.place_at(line, to_m)):
        x, y = view.at(*place)
        if not drawn or hypot(x - drawn[-1][0], y - drawn[-1][1]) >= STEP_PX:
            drawn.append((x, y))
    return "M" + "L".join(f"{_r(x)} {_r(y)}" for x, y in drawn)


def _scale(px_per_m: float) -> tuple[float, str]:
    """A round length of about a fifth of the width."""
    for meters, label in (
        (100 * FOOT_M, "100 ft"),
        (200 * FOOT_M, "200 ft"),
        (500 * FOOT_M, "500 ft"),
        (0.25 * MILE_M, "¼ mi"),
        (0.5 * MILE_M, "½ mi"),
        (MILE_M, "1 mi"),
        (2 * MILE_M, "2 mi"),
        (5 * MILE_M, "5 mi"),
        (10 * MILE_M, "10 mi"),
    ):
        if meters * px_per_m >= 55:
            return meters, label
    return 50 * MILE_M, "50 mi"


def _r(value: float) -> float:
    return round(value, 1)
