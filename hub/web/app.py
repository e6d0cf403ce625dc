"""The console's Flask app: put together here, served by hub.main."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Mapping
from pathlib import Path

from flask import Flask, Response, render_template, request
from msgspec import Struct, field
from sqlalchemy import Engine
from werkzeug.exceptions import HTTPException

from hub.board import VIEWERS_MAX, Board
from hub.coverage import Covering, Reach, nobody
from hub.errors import Refused, http_status
from hub.positions import Positions
from hub.rank import DEFAULTS, Rules
from hub.rankings import ByRoad
from hub.snapshot import LinkOf
from hub.web import answers
from hub.web.access import Door
from hub.web.acting import Acting
from hub.web.answers import Wrong
from hub.web.changing import changing_views
from hub.web.closing import closing_views
from hub.web.devices import device_views
from hub.web.dispatch import dispatch_views
from hub.web.emergencies import emergency_views
from hub.web.ending import ending_views
from hub.web.geojson import geojson_views
from hub.web.layers import layer_views
from hub.web.linking import linking_views
from hub.web.listening import Listening
from hub.web.listing import listing_views
from hub.web.live import live_views
from hub.web.opening import opening_views
from hub.web.pages import page_views
from hub.web.places import place_views
from hub.web.published import published_views
from hub.web.reading import reading_views
from hub.web.remembering import remembering_views
from hub.web.showing import showing_views
from hub.web.signin import sign_in_views
from hub.web.streets import street_views
from hub.web.wall import wall_views
from hub.web.words import word_views

THREADS = VIEWERS_MAX + 32  # of the server: each open page holds one for its stream
BODY_BYTES_MAX = 64 * 1024
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
BUILT = Path(__file__).parent / "static" / "dist"

_SAID = {  # what Flask finds wrong before a view does
    404: ("not_found", "There is nothing at this address."),
    405: ("not_allowed", "This address is not asked with this method; /api/v1/openapi.json says with which."),
    413: ("too_large", "That is more than this console takes at once. Send less."),
}

_CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


class ConsoleParts(Struct, frozen=True, kw_only=True):
    """What the console is made of. `maps_dir` is what `hub.maps.current_map` takes; `changed` is called after a
    dispatcher changed something, and tells the board and the terminals; `link_of` says whether a device is connected;
    `dropped` counts what was harmless; `rules` and `by_road`: how units are ranked, by straight line while there is no
    road engine; `reach` asks it what units reach; `hosts` are the names under which browsers and programs may come, without
    ports; `listening`: the streams of tokens, for whoever revokes one."""

    engine: Engine
    board: Board
    positions: Positions
    agency: str
    maps_dir: Path
    changed: Callable[[], None]
    now_ms: Callable[[], int]
    secure_cookies: bool
    link_of: LinkOf
    dropped: Callable[[], Mapping[str, int]] = dict
    rules: Rules = DEFAULTS
    by_road: Callable[[], ByRoad | None] = lambda: None
    reach: Reach = nobody
    hosts: frozenset[str] = LOOPBACK
    listening: Listening = field(default_factory=Listening)


def create_console(parts: ConsoleParts) -> Flask:
    """The console over `parts`."""
    mimetypes.add_type("text/javascript", ".mjs")  # Debian's table says otherwise, and browsers then refuse the worker
    app = Flask(__name__, static_folder=str(BUILT), static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    door = Door(
        parts.engine,
        parts.now_ms,
        hosts=parts.hosts,
        # the prefix makes a browser refuse the cookie unless it is Secure and of this very host
        cookie="__Host-tandem" if parts.secure_cookies else "tandem-console",
        secure=parts.secure_cookies,
    )

    door.guard(app)
    app.register_blueprint(sign_in_views(parts.engine, parts.now_ms, door, parts.agency))
    app.register_blueprint(page_views(parts.engine, parts.agency, parts.link_of, BUILT, parts.now_ms))
    app.register_blueprint(device_views(parts.engine, parts.agency, parts.link_of, parts.changed, parts.now_ms))
    app.register_blueprint(
        live_views(
            parts.engine,
            parts.board,
            parts.positions,
            parts.now_ms,
            door,
            agency=parts.agency,
            link_of=parts.link_of,
            dropped=parts.dropped,
            listening=parts.listening,
        )
    )
    app.register_blueprint(word_views())
    app.register_blueprint(published_views())
    app.register_blueprint(geojson_views(parts.board, parts.positions, parts.now_ms))
    acting = Acting(engine=parts.engine, changed=parts.changed, now_ms=parts.now_ms)
    app.register_blueprint(listing_views(acting))
    app.register_blueprint(reading_views(acting))
    app.register_blueprint(opening_views(acting))
    app.register_blueprint(changing_views(acting))
    app.register_blueprint(remembering_views(acting))
    app.register_blueprint(linking_views(acting))
    app.register_blueprint(ending_views(acting))
    app.register_blueprint(closing_views(acting))
    app.register_blueprint(dispatch_views(acting, parts.positions, parts.link_of, parts.rules, parts.by_road))
    app.register_blueprint(showing_views(acting))
    app.register_blueprint(layer_views(acting, parts.positions, parts.link_of, Covering(parts.reach)))
    app.register_blueprint(emergency_views(parts.engine, parts.changed, parts.now_ms))
    app.register_blueprint(street_views(parts.maps_dir))
    app.register_blueprint(place_views(parts.maps_dir))
    app.register_blueprint(wall_views(parts.engine, parts.agency, parts.link_of, parts.now_ms))
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(HTTPException, _http_error)
    app.after_request(lambda answer: _protected(answer, parts.secure_cookies))
    return app


def _refused(refused: Refused) -> Response:
    answer = _refusal(refused.code, refused.sentence, http_status(refused))
    if answer.status_code == 429:
        answer.headers["Retry-After"] = str(refused.wait_s)
    if answer.status_code == 401 and request.path.startswith("/api/"):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="tandem"'
    return answer


def _refusal(code: str, sentence: str, status: int) -> Response:
    if request.path.startswith(("/api/", "/map/", "/wall/")):
        return answers.json(Wrong(code=code, message=sentence), status)
    return Response(render_template("refused.html", sentence=sentence), status)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect
        answer = error.get_response()
        return Response(answer.get_data(), status, answer.headers)
    if status >= 500:
        return _refusal("failed", "The hub could not do it, and its log says why. Try again.", status)
    code, sentence = _SAID.get(
        status, ("malformed", "The request is not understood. Compare it with the documentation.")
    )
    answer = _refusal(code, sentence, status)
    if status == 405:
        answer.headers["Allow"] = error.get_response().headers.get("Allow", "")
    return answer


def _protected(answer: Response, is_secure: bool) -> Response:
    headers = answer.headers
    headers["Content-Security-Policy"] = _CONTENT_POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    if not request.path.startswith(("/static/", "/map/")):
        headers["Cache-Control"] = "no-store"
    return answer
