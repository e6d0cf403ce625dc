"""The board without a mouse: single keys, the command line, and what neither of them may do."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from hub import schema
from tests.browser.accessibility import wrong_at_the_console
from tests.browser.conftest import Served, sign_in
from tests.browser.test_console import incident

pytestmark = pytest.mark.browser

SETTLED_MS = 500  # a list that came just now is not acted on by a key


@pytest.fixture
def page(context: BrowserContext, served: Served) -> Iterator[Page]:
    yield sign_in(context, served)


def said(page: Page) -> Locator:
    return page.locator(".foot .told")


def say(page: Page, line: str) -> None:
    """Type a command as a person does, and mean it."""
    page.keyboard.press("/")
    page.keyboard.type(line)
    page.keyboard.press("Enter")


def rest_on(page: Page, id_: str) -> None:
    """Walk to the incident, and stay until its list is there and settled."""
    for _ in range(4):
        if incident(page, id_).get_attribute("data-chosen") == "true":
            break
        page.keyboard.press("j")
    page.wait_for_selector(".candidates")
    page.wait_for_timeout(SETTLED_MS)


def sent_to(served: Served, id_: str) -> list[tuple[str, str | None]]:
    with served.hub.engine.begin() as connection:
        rows = connection.execute(schema.assignment.select().where(schema.assignment.c.incident == id_)).all()
    return [(row.unit, row.override_reason) for row in rows]


def test_j_and_k_go_through_the_incidents_and_the_card_opens_where_one_rests(page: Page, served: Served) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(incident(page, "i3").locator(".incident-row")).to_be_focused()
    expect(page.get_by_role("complementary", name="Incident")).to_contain_text("#3")
    page.keyboard.press("k")
    expect(page.get_by_role("complementary", name="Incident")).to_contain_text("#1")
    with served.hub.engine.begin() as connection:
        ranked = {row.incident for row in connection.execute(schema.ranking.select())}
    assert ranked <= {"i3"}  # nobody asked for a list of what was only passed


def test_1_sends_the_first_of_the_list_that_is_open(page: Page, served: Served) -> None:
    rest_on(page, "i3")
    page.keyboard.press("1")
    expect(said(page)).to_have_text("CARE-2 is sent to #3.")
    assert sent_to(served, "i3") == [("u2", None)]


def test_a_key_that_is_held_sends_nobody(page: Page, served: Served) -> None:
    page.keyboard.down("1")
    for _ in range(3):
        page.keyboard.press("j")
    page.wait_for_selector(".candidates")
    page.wait_for_timeout(SETTLED_MS)
    page.keyboard.down("1")  # a repeat, as a held key makes them
    page.keyboard.up("1")
    page.wait_for_timeout(300)
    assert sent_to(served, "i2") == []
    assert sent_to(served, "i3") == []


def test_1_without_an_open_incident_says_so_and_sends_nobody(page: Page, served: Served) -> None:
    page.keyboard.press("1")
    expect(said(page)).to_contain_text("Open an incident first")
    assert sent_to(served, "i3") == []


def test_another_number_asks_why_and_one_key_answers(page: Page, served: Served) -> None:
    rest_on(page, "i3")
    page.keyboard.press("2")
    expect(page.get_by_role("group", name="Why CARE-4?")).to_contain_text("not CARE-2?")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(said(page)).to_contain_text("CARE-4 is sent to #3")
    assert sent_to(served, "i3") == [("u4", "Better skill for this")]


def test_escape_takes_back_the_question_and_sends_nobody(page: Page, served: Served) -> None:
    rest_on(page, "i3")
    page.keyboard.press("2")
    page.wait_for_selector(".why-another")
    page.keyboard.press("Escape")
    expect(page.locator(".why-another")).to_have_count(0)
    expect(page.locator(".card-over")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".card-over")).to_have_count(0)
    assert sent_to(served, "i3") == []


def test_keys_are_dead_while_somebody_types(page: Page) -> None:
    page.keyboard.press("f")
    page.keyboard.type("w1jnr?")
    expect(page.locator("#sieve")).to_have_value("w1jnr?")
    expect(page.locator(".wall")).to_have_count(0)
    expect(page.locator(".sheet-over")).to_have_count(0)
    expect(page.locator(".card-over")).to_have_count(0)


def test_u_goes_through_the_units_and_leaves_the_map_where_it_is(page: Page) -> None:
    pin = page.locator(".incident-pin").first
    before = pin.bounding_box()
    page.keyboard.press("u")
    page.keyboard.press("u")
    expect(page.locator(".unit-row[data-unit='u2']")).to_be_focused()
    expect(page.locator(".unit-more")).to_contain_text("Myrtle")
    page.keyboard.press("Shift+U")
    expect(page.locator(".unit-row[data-unit='u1']")).to_be_focused()
    expect(page.locator(".unit-more")).to_contain_text("heading east, 27 mph")
    assert pin.bounding_box() == before


def test_m_brings_the_chosen_one_to_the_middle_and_gives_the_arrows_to_the_map(page: Page) -> None:
    page.keyboard.press("u")
    page.keyboard.press("m")
    expect(page.locator(".map canvas")).to_be_focused()
    page.wait_for_timeout(800)
    marker, pane = page.locator(".unit-marker[data-unit='u1']").bounding_box(), page.locator(".map").bounding_box()
    assert marker is not None
    assert pane is not None
    assert abs(marker["x"] + marker["width"] / 2 - pane["x"] - pane["width"] / 2) < 60
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-chosen='true']")).to_have_count(0)


def test_every_skill_and_language_is_in_the_row_and_words_sift_the_list(page: Page) -> None:
    row = page.locator(".unit-row[data-unit='u4']")
    for word in ("Sign language", "Spanish", "Sworn"):
        expect(row).to_contain_text(word)
    page.keyboard.press("f")
    page.keyboard.type("spanish available")
    expect(page.locator(".unit-row")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".unit-row")).to_have_count(7)


def test_the_line_sends_another_unit_with_the_reason_that_was_typed(page: Page, served: Served) -> None:
    say(page, "send care-4 3 Knows his mother")
    expect(said(page)).to_have_text("CARE-4 is sent to #3.")
    assert sent_to(served, "i3") == [("u4", "Knows his mother")]


def test_send_by_number_shows_the_list_first_and_sends_the_second_time(page: Page, served: Served) -> None:
    say(page, "send 3")
    expect(said(page)).to_contain_text("first is CARE-2")
    assert sent_to(served, "i3") == []
    page.wait_for_timeout(SETTLED_MS)
    say(page, "send 3")
    expect(said(page)).to_have_text("CARE-2 is sent to #3.")
    assert sent_to(served, "i3") == [("u2", None)]


CANNOT = (
    ("sned 3", 'There is no command "sned". Type ? for the list.'),
    ("send 99", "No incident #99 is open."),
    ("send CARE-99 3", "There is no unit CARE-99."),
    ("close 3 somehow", '"somehow" is no way to end: take one of the list.'),
    ("release CARE-1 done", "CARE-1 is on no incident."),
    ("rest CARE-1 end long night", "Your role does not include this."),
    ("send CARE-4 3", "Another unit is first. Say why you send this one."),
)


def test_what_the_line_cannot_do_it_says_in_one_sentence_and_keeps_the_words(page: Page) -> None:
    field = page.get_by_label("Command", exact=True)
    for line, sentence in CANNOT:
        say(page, line)
        expect(said(page)).to_have_text(sentence)
        expect(field).to_have_value(line)
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.press("Delete")
        page.keyboard.press("Escape")
        expect(field).not_to_be_focused()


def test_the_line_offers_what_may_come_next_and_tab_takes_it(page: Page, served: Served) -> None:
    page.keyboard.press("/")
    page.keyboard.type("cl")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Command", exact=True)).to_have_value("close ")
    expect(page.get_by_role("option", name=re.compile("#1 "))).to_have_count(0)  # a unit is on it
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("declined")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text("#3 is closed.")
    expect(incident(page, "i3")).to_have_count(0)


def test_what_was_said_comes_back_by_the_arrow_and_is_gone_after_a_reload(page: Page) -> None:
    say(page, "note 2 Neighbor calls again at five")
    expect(said(page)).to_have_text("Noted at #2.")
    page.keyboard.press("/")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Command", exact=True)).to_have_value("note 2 Neighbor calls again at five")
    page.reload()
    page.wait_for_selector("[data-ready]")
    page.keyboard.press("/")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Command", exact=True)).to_have_value("")


def test_a_name_on_a_terminal_s_word_is_released_by_the_line(page: Page, served: Served) -> None:
    say(page, "release CARE-3 Crew is done")
    expect(said(page)).to_have_text("CARE-3 is off #1.")
    expect(incident(page, "i1")).to_contain_text("Nobody sent")


def test_the_sheet_lists_every_key_once_and_no_key_acts_behind_it(page: Page, served: Served) -> None:
    rest_on(page, "i3")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys and commands")
    shown = [
        key for cell in sheet.locator(".single dt").all() for key in [" ".join(cell.locator("kbd").all_text_contents())]
    ]
    assert len(shown) == len(set(shown))
    for key in ("j ↓", "k ↑", "u", "n", "1 Enter", "2 … 9", "t", "m", "r", "w", "c", "/", "?", "Alt E"):
        assert key in shown
    page.keyboard.press("1")
    page.wait_for_timeout(300)
    assert sent_to(served, "i3") == []
    page.keyboard.press("?")
    expect(sheet).to_have_count(0)


def test_single_keys_can_be_turned_off_and_the_line_still_does_everything(page: Page) -> None:
    page.keyboard.press("?")
    page.get_by_label("Single keys act").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    page.keyboard.press("j")
    expect(page.locator(".wall")).to_have_count(0)
    expect(page.locator("[data-chosen='true']")).to_have_count(0)
    page.get_by_label("Command", exact=True).focus()
    page.keyboard.type("quiet")
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text("Single keys act again.")


def test_the_order_of_incidents_is_by_urgency_then_who_has_nobody_then_age(page: Page, served: Served) -> None:
    def order() -> list[str | None]:
        return [row.get_attribute("data-incident") for row in page.locator("[data-incident]").all()]

    assert order() == ["i1", "i3", "i2"]
    with served.hub.engine.begin() as connection:
        connection.execute(schema.incident.update().values(priority=2))
    served.hub.board.changed()
    expect(page.locator("[data-incident]").first).to_have_attribute("data-incident", "i2")
    assert order() == ["i2", "i3", "i1"]  # somebody is on i1, the oldest
    page.wait_for_timeout(2200)
    assert order() == ["i2", "i3", "i1"]


def test_a_new_incident_out_of_sight_moves_the_map_only_while_nobody_works_with_it(page: Page, served: Served) -> None:
    pin = page.locator(".incident-pin").first
    page.keyboard.press("u")  # somebody is here
    before = pin.bounding_box()
    with served.hub.engine.begin() as connection:
        row = dict(
            connection.execute(schema.incident.select().where(schema.incident.c.incident == "i2")).mappings().one()
        )
        row |= {"incident": "far", "number": 77, "lat": row["lat"] + 1.0, "encounter": b"f" * 16}
        connection.execute(schema.incident.insert().values(**row))
    served.hub.board.changed()
    unseen = page.get_by_role("button", name="#77 out of sight: show")
    expect(unseen).to_be_visible()
    page.wait_for_timeout(600)
    assert pin.bounding_box() == before
    unseen.focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(800)
    assert pin.bounding_box() != before
    expect(unseen).to_have_count(0)


def test_alt_e_leads_to_the_emergency_from_the_command_line(page: Page, served: Served) -> None:
    now_ms = round(time.time() * 1000)
    with served.hub.engine.begin() as connection:
        connection.execute(
            schema.emergency.insert().values(
                emergency=b"e" * 16,
                device="d-u1",
                is_drill=False,
                source="button",
                staff=b"[]",
                pressed_ms=now_ms,
                received_ms=now_ms,
                presses=1,
                newest_ms=now_ms,
            )
        )
    served.hub.board.changed()
    page.wait_for_selector(".emergency")
    page.keyboard.press("/")
    page.keyboard.type("note 3 ")
    page.keyboard.press("Alt+e")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_focused()


def test_axe_finds_nothing_wrong_with_the_keys_the_line_and_the_question(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    page.keyboard.press("u")
    rest_on(page, "i3")
    page.keyboard.press("2")
    page.wait_for_selector(".why-another")
    assert wrong_at_the_console(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("send ")
    page.wait_for_selector(".offered li")
    page.keyboard.press("ArrowDown")
    assert wrong_at_the_console(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector(".keyhelp")
    assert wrong_at_the_console(page) == []
