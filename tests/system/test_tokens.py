"""Programs at a hub that runs: tokens by command, the how-to's own lines, the API as it describes itself, over the wire."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from hub import tokens
from tests import described_api
from tests.described_api import Call, Described, Json
from tests.hub_agency import Terminal
from tests.patience import PATIENCE_S
from tests.system.test_hub_ingest import LOGIN, Hub, until
from wire.fix import Fix

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("hub-tokens")]

ROOT = Path(__file__).parent.parent.parent
HOW_TO = (ROOT / "docs" / "how-to" / "connect-a-dispatch-system.md").read_text()
LUCKY = ("i1", "x1", "u1", "WELFARE", "canceled", "MNTL", "clinician", "eng", "related", "yes", "open")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    made, one = Hub(tmp_path_factory.mktemp("hub")), Terminal("d-one", "u1")
    made.enroll(one, Terminal("d-desk", "u3"))
    assert made.command("tokens", "add", "early", "--role", "board_reader").returncode == 0
    words = ("account", "add", LOGIN.account, "--role", LOGIN.role, "--password-stdin")
    assert made.command(*words, stdin=LOGIN.password).returncode == 0
    made.start()
    wire = made.connect(one)
    wire.born()
    position = one.position(Fix(lat=41.5, lon=-82.7, heading_deg=90.0, speed_mps=3.0))
    wire.send(position)
    yield made
    wire.close()
    if made.process is not None:
        made.stop()


def token(hub: Hub, name: str, role: str) -> str:
    added = hub.command("tokens", "add", name, "--role", role)
    assert added.returncode == 0, added.stderr
    return added.stdout.strip()


def ask(hub: Hub, shown: str, call: Call) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", hub.ports["console"], timeout=PATIENCE_S)
    path = call.path + (f"?{urlencode(call.query)}" if call.query else "")
    try:
        connection.request(call.method, path, body=call.body, headers={"Authorization": f"Bearer {shown}"})
        answer = connection.getresponse()
        media = (answer.getheader("Content-Type") or "").partition(";")[0]
        body = answer.read1() if media == "text/event-stream" else answer.read()
        return answer.status, media, body
    finally:
        connection.close()


def get(hub: Hub, shown: str, path: str) -> tuple[int, Json]:
    status, _, body = ask(hub, shown, Call("GET", path, {}, None))
    return status, json.loads(body)


def test_tokens_are_made_listed_and_revoked_while_the_hub_runs_and_while_it_does_not(hub: Hub) -> None:
    shown = token(hub, "wall", "positions_reader")
    assert get(hub, shown, "/api/v1/me") == (
        200,
        {"account": "token:wall", "name": "wall", "role": "positions_reader", "csrf": ""},
    )
    listed = hub.command("tokens", "list")
    assert [line.split()[0] for line in listed.stdout.splitlines()][:2] == ["name", "early"]
    assert shown not in listed.stdout
    by_name = {one["name"]: one for one in json.loads(hub.command("tokens", "list", "--json").stdout)}
    assert by_name["wall"]["used_ms"] is not None and by_name["early"]["used_ms"] is None
    assert hub.command("tokens", "revoke", "wall").stdout == "revoked wall\n"
    status, said = get(hub, shown, "/api/v1/me")
    assert (status, said["code"]) == (401, "wrong_token")
    assert hub.command("tokens", "revoke", "wall").stdout == "wall was revoked before\n"
    actors = hub.rows("select distinct actor from audit where what in ('token_added', 'token_revoked')")
    assert len(actors) == 1 and actors[0][0], "and the audit says who of this machine did it"


@pytest.mark.parametrize(
    "words",
    [
        ("add", "early", "--role", "board_reader"),
        ("add", "x", "--role", "dispatcher"),
        ("add", "x", "--role", "board_reader", "--days", "9999"),
        ("add", "x", "--role", "board_reader", "--cji"),
        ("revoke", "nobody"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_a_two(hub: Hub, words: tuple[str, ...]) -> None:
    refused = hub.command("tokens", *words)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert re.fullmatch(r"tandem-hub: [A-Z][^\n]+\n", refused.stderr)


def test_the_stream_of_a_revoked_token_ends_while_nothing_happens_on_the_board(hub: Hub) -> None:
    shown = token(hub, "listener", "board_reader")
    connection = http.client.HTTPConnection("127.0.0.1", hub.ports["console"], timeout=PATIENCE_S)
    connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {shown}"})
    stream = connection.getresponse()
    assert stream.read1().startswith(b"retry:")
    assert hub.command("tokens", "revoke", "listener").returncode == 0
    rest = stream.read()
    assert rest.count(b"event: here") <= 1, "it did not wait for the next look at who may go on"
    connection.close()


def test_no_token_stands_in_a_log_the_database_or_the_list(hub: Hub) -> None:
    shown = token(hub, "quiet", "board_reader")
    get(hub, shown, "/api/v1/snapshot")
    assert get(hub, shown, f"/api/v1/me?access_token={shown}")[0] == 400
    assert get(hub, shown + "x", "/api/v1/me")[0] == 401
    kept = b"".join(file.read_bytes() for file in (*hub.home.glob("hub.db*"), hub.home.parent / "hub.log"))
    assert shown.encode() not in kept
    assert shown.removeprefix(tokens.MARK).encode() not in kept


@pytest.mark.parametrize(
    "described", list(described_api.every(json.loads((ROOT / "docs" / "openapi.json").read_text()))), ids=str
)
def test_a_hub_that_runs_answers_as_it_describes_itself(hub: Hub, described: Described, shown: str) -> None:
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
    @given(described.calls(LUCKY))
    def answers_as_described(call: Call) -> None:
        described.judge(*ask(hub, shown, call))

    answers_as_described()


@pytest.fixture(scope="module")
def shown(hub: Hub) -> str:
    """A token that is not the one whose requests are counted elsewhere."""
    return token(hub, "described", "dispatch_system")


@pytest.mark.parametrize("size", [70_000, 2_000_000])
def test_a_body_that_is_too_large_is_refused_in_the_shape_of_every_error(hub: Hub, shown: str, size: int) -> None:
    head = (
        f"POST /api/v1/incidents HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {shown}\r\n"
        f"Content-Length: {size}\r\n\r\n"
    )
    status, body = raw(hub, head.encode() + b" " * min(size, 70_000))
    assert status == 413
    described_api.require_sentence(body)


@pytest.mark.parametrize(
    "sent", [b"GARBAGE\r\n\r\n", b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_request_is_refused_in_the_shape_of_every_error(hub: Hub, sent: bytes) -> None:
    status, body = raw(hub, sent)
    assert 400 <= status < 600
    described_api.require_sentence(body)


def raw(hub: Hub, sent: bytes) -> tuple[int, Json]:
    with socket.create_connection(("127.0.0.1", hub.ports["console"]), timeout=PATIENCE_S) as wire:
        wire.sendall(sent)
        answer = http.client.HTTPResponse(wire)
        answer.begin()
        assert answer.getheader("Content-Type") == "application/json"
        return answer.status, json.loads(answer.read())


def test_every_line_of_the_how_to_does_what_it_says(hub: Hub, tmp_path: Path) -> None:
    missing = [program for program in ("bash", "curl", "jq") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}; scripts/system-packages brings them")
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", HOW_TO, re.M | re.S))
    assert script.count("curl ") >= 10
    (tmp_path / "HUB").symlink_to(hub.home)
    program = tmp_path / "bin" / "tandem-hub"
    program.parent.mkdir()
    start = shlex.join([sys.executable, "-c", "from hub.main import cli; cli(prog_name='tandem-hub')"])
    program.write_text(f'#!/bin/sh\nexec {start} "$@"\n')
    program.chmod(0o755)
    until(
        "a place",
        lambda: get(hub, token(hub, f"w{time.monotonic_ns()}", "board_reader"), "/api/v1/units.geojson")[1]["features"][
            0
        ]["geometry"],
    )
    done = subprocess.run(
        ["bash", "-e", "-u", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HUB_URL": f"http://127.0.0.1:{hub.ports['console']}",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 4,
    )
    assert done.returncode == 0, done.stdout[-800:] + done.stderr[-800:]
    assert '"role":"dispatch_system"' in done.stdout
    assert '"coordinates":[-82.7,41.5]' in done.stdout
    assert "event: snapshot" in done.stdout
    assert '{"code":"not_found","message":"There is no such incident."}' in done.stdout
    assert done.stdout.endswith("revoked cad-north\n")
    assert (tmp_path / "cad.header").stat().st_mode & 0o777 == 0o600
