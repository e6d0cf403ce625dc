"""An incident on its card, from the call to the close, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect
from sqlalchemy import select

from hub import schema
from tests.browser.accessibility import wrong_at_the_console
from tests.browser.cable import Cable
from tests.browser.conftest import Served, serving, sign_in
from tests.browser.test_console import click_map, incident, set_status
from tests.screens.console_world import World

pytestmark = pytest.mark.browser


@pytest.fixture
def in_city(city_map: Path, tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, maps_dir=city_map) as made:
        yield made


def card(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Incident", exact=True)


def opened(page: Page, id_: str) -> Locator:
    """The card of an incident on the board."""
    incident(page, id_).locator(".incident-row").click()
    here = card(page)
    expect(here).to_be_visible()
    return here


def addresses(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Addresses", include_hidden=True).get_by_role("option")


def row(hub: World, **where: object) -> dict[str, object]:
    table = schema.incident
    with hub.engine.begin() as connection:
        found = connection.execute(select(table).where(*(table.c[name] == value for name, value in where.items())))
        return dict(found.mappings().one())


def said(hub: World, id_: str, what: str) -> int:
    """How often an act was done to an incident."""
    act = schema.incident_act
    with hub.engine.begin() as connection:
        return len(connection.execute(select(act).where(act.c.incident == id_, act.c.what == what)).all())


def by_nina(served: Served, path: str, body: object) -> None:
    """Another dispatcher does something at another desk."""
    answer = served.hub.signed_in("nina").post(f"/api/v1/incidents/{path}", body)
    assert answer.status_code < 300, answer.text


# --- a new one ----------------------------------------------------------------------------------------------------------


@pytest.mark.xdist_group("city")
def test_an_address_is_typed_chosen_with_the_arrows_and_is_where_the_unit_is_sent(
    context: BrowserContext, in_city: Served
) -> None:
    page = sign_in(context, in_city)
    page.get_by_role("button", name="New incident").press("Enter")
    place = page.get_by_label("Place")
    expect(place).to_be_focused()
    expect(page.get_by_text("only at the middle of the map")).to_be_visible()
    page.keyboard.type("12th street")
    options = addresses(page)
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    chosen = options.nth(1).locator("b").text_content()
    assert chosen is not None
    page.keyboard.press("Enter")
    expect(place).to_have_value(chosen)
    expect(page.get_by_label("What is happening")).to_be_focused()
    expect(page.get_by_text("only at the middle of the map")).to_have_count(0)
    page.keyboard.type("Woman sits in the road")
    page.get_by_role("button", name="Open and rank units").press("Enter")
    expect(page.locator(".send")).to_be_focused()
    kept = row(in_city.hub, place=chosen)
    asked = {"q": chosen, "lat": str(kept["lat"]), "lon": str(kept["lon"])}
    found = in_city.hub.signed_in("nina").get(f"/api/v1/places?{urlencode(asked)}").get_json()["places"]
    assert (kept["lat"], kept["lon"]) in [(one["lat"], one["lon"]) for one in found if one["name"] == chosen]


@pytest.mark.xdist_group("city")
def test_escape_closes_the_addresses_and_keeps_the_words_and_the_card(context: BrowserContext, in_city: Served) -> None:
    page = sign_in(context, in_city)
    page.get_by_role("button", name="New incident").click()
    page.keyboard.type("12th")
    expect(addresses(page).first).to_be_visible()
    page.keyboard.press("Escape")
    expect(addresses(page)).to_have_count(0)
    expect(page.get_by_label("Place")).to_have_value("12th")


def test_a_line_that_breaks_after_the_hub_has_it_and_a_second_try_make_one_incident(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    click_map(page)
    page.get_by_label("Place").fill("Town hall")

    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/api/v1/incidents", lose_the_answer, times=1)
    page.get_by_role("button", name="Open and rank units").click()
    expect(page.get_by_role("alert")).to_contain_text("The hub did not answer. Try again: nothing is done twice.")
    page.get_by_role("button", name="Open and rank units").dblclick()
    expect(page.locator(".send")).to_be_focused()
    expect(page.locator(".incident", has_text="Town hall")).to_have_count(1)
    row(served.hub, place="Town hall")


def test_what_may_be_the_same_call_is_said_before_it_is_opened_and_the_words_go_along(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    beside(page, "#3")
    hint = page.get_by_role("status", name="Maybe the same call")
    expect(hint).to_contain_text(re.compile(r"May be #3 .*same type"))
    page.get_by_label("What is happening").fill("Caller says that he took his shoes off")
    hint.get_by_role("button", name="Open #3 instead").click()
    expect(card(page).locator("h2")).to_contain_text("#3")
    expect(card(page).get_by_label("Remark", exact=True)).to_have_value("Caller says that he took his shoes off")
    card(page).get_by_role("button", name="Add remark").click()
    expect(card(page).locator(".remarks li")).to_contain_text("took his shoes off")
    assert said(served.hub, "i3", "remark") == 1


def test_it_is_another_one_or_belongs_to_it_is_one_press_each(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    beside(page, "#3")
    hint = page.get_by_role("status", name="Maybe the same call")
    hint.get_by_role("button", name="Link").click()
    page.get_by_label("Place").fill("Bakery")
    page.get_by_role("button", name="Open and rank units").click()
    card(page).get_by_role("button", name="Belongs together").click()
    expect(card(page).locator(".linking li")).to_contain_text("belongs with it")
    page.keyboard.press("Escape")
    beside(page, "#3")
    for _ in range(2):
        hint.get_by_role("button", name="Another one").first.click()
    expect(hint).to_have_count(0)


def test_what_was_typed_is_there_again_after_escape_and_the_place_is_of_the_new_pin(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    click_map(page)
    page.get_by_label("Place").fill("Old school")
    page.get_by_label("What is happening").fill("Two people on the roof")
    page.keyboard.press("Escape")
    click_map(page, 200, 300)
    expect(page.get_by_label("What is happening")).to_have_value("Two people on the roof")
    expect(page.get_by_label("Place")).not_to_have_value("Old school")


def beside(page: Page, number: str) -> None:
    """A click on the map some steps from an incident's pin."""
    box = page.locator(".incident-pin", has_text=number).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] - 14, box["y"] + box["height"])
    expect(page.get_by_role("form", name="New incident")).to_be_visible()


# --- what is known --------------------------------------------------------------------------------------------------------


def test_what_nobody_has_asked_is_amber_until_it_is_and_unknown_is_not_no(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    here = opened(page, "i2")
    amber = here.locator(".amber")
    expect(amber).to_have_text("Not asked yet: weapons, violence before, dogs, police needed")
    amber.click()
    here.get_by_role("group", name="Dogs").get_by_role("button", name="No", exact=True).click()
    here.get_by_role("group", name="Police needed").get_by_role("button", name="Near").click()
    expect(amber).to_have_text("Not asked yet: weapons, violence before")
    here.get_by_role("group", name="Weapons").get_by_role("button", name="Unknown").click()
    expect(here.locator(".tag.unknown")).to_have_text("Weapons: unknown")
    expect(here.locator(".scene")).to_contain_text("Scene not secure.")
    expect(here.locator(".asked", has_text="Weapons")).to_contain_text("Caller, 0 s ago")
    here.get_by_label("Call back: what was said").fill("614-555-0188")
    here.get_by_label("Call back: what was said").press("Enter")
    expect(here.locator(".asked", has_text="Call back")).to_contain_text("Caller, ")


def test_a_dispatcher_is_shown_no_care_and_no_police_records_and_that_there_may_be_some(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    told = {"id": "t1", "revision": 1, "packet": [{"question": "plan", "answer": "yes", "source": "clinic"}]}
    answer = served.hub.signed_in("ruth").post("/api/v1/incidents/i2/change", told)
    assert answer.status_code == 200, answer.text
    here = opened(page, "i2")
    here.get_by_role("button", name="Before they arrive").click()
    expect(here.get_by_text("Not shown to your role: care, police records.")).to_be_visible()
    expect(here).not_to_contain_text("Plan agreed before")


def test_a_scene_is_called_secure_only_by_a_name(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    here = opened(page, "i1")
    here.get_by_role("button", name="Secure …").click()
    here.get_by_label("Their name").fill("Officer Hale")
    here.get_by_role("button", name="Secure", exact=True).click()
    expect(here.locator(".scene")).to_contain_text("Scene called secure by Officer Hale, police on scene.")
    here.get_by_role("button", name="Not secure …").click()
    here.get_by_role("button", name="Weapon mentioned").click()
    expect(here.locator(".scene")).to_contain_text("Scene not secure.")


def test_a_caution_has_a_source_an_age_and_an_end_and_can_be_ended(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    here = opened(page, "i2")
    here.get_by_role("button", name="Cautions").click()
    here.get_by_label("What was seen").select_option("dog")
    here.get_by_label("Who saw it").fill("Officer 212")
    here.get_by_role("button", name="Add caution").click()
    line = here.get_by_role("list", name="Cautions").locator("li")
    expect(line).to_contain_text(re.compile(r"Dog.*Officer 212, \d+ s ago · this address · until \w+ \d+"))
    here.get_by_role("button", name="End the caution Dog").click()
    expect(line).to_have_count(0)


# --- who goes ---------------------------------------------------------------------------------------------------------------


def test_the_key_that_sends_is_in_sight_whatever_is_pressing(context: BrowserContext, served: Served) -> None:
    for n, behavior in enumerate(("dog", "weapon_seen", "flight")):
        by_nina(served, "i3/cautions", {"id": f"c{n}", "behavior": behavior, "source": "Officer 212"})
    words = "He has been walking in circles since the early morning and answers nobody. " * 20
    told = [{"question": "weapons", "answer": "yes", "words": "a kitchen knife", "source": "Caller"}]
    by_nina(served, "i3/change", {"id": "w1", "revision": 4, "problem": words, "packet": told})
    page = sign_in(context, served)
    incident(page, "i3").locator(".incident-row").click()
    send = page.locator(".send")
    expect(send).to_be_focused()
    expect(send).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Settled by phone, no unit sent")).to_be_in_viewport(ratio=1)
    expect(page.locator(".candidates .first")).to_be_in_viewport(ratio=1)


def test_a_list_of_more_than_a_minute_is_ranked_again_before_it_sends(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    incident(page, "i3").locator(".incident-row").click()
    expect(page.locator(".send")).to_have_text(re.compile("Send CARE-2"))
    page.evaluate("() => { const now = performance.now.bind(performance); performance.now = () => now() + 61000 }")
    expect(page.locator(".send")).to_have_text(re.compile("Rank again"))
    page.wait_for_timeout(500)
    page.locator(".send").press("Enter")
    expect(page.locator(".send")).to_have_text(re.compile("Send CARE-2"))
    assert incident(page, "i3").get_by_text("Nobody sent").count() == 1


def test_a_first_unit_that_was_sent_elsewhere_meanwhile_is_said_so_and_not_sent(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    incident(page, "i3").locator(".incident-row").click()
    expect(page.locator(".send")).to_have_text(re.compile("Send CARE-2"))
    set_status(served, "u2", "assigned")
    expect(page.locator(".send-first")).to_contain_text("CARE-2 is assigned since this list.")
    expect(page.locator(".send")).to_have_text(re.compile("Rank again"))


def test_a_unit_is_taken_from_something_lesser_in_two_presses_and_the_lesser_is_without_it(
    context: BrowserContext, served: Served
) -> None:
    nina = served.hub.signed_in("nina")
    ranking = nina.post("/api/v1/incidents/i2/ranking", {}).get_json()["ranking"]
    sent = {"id": "s9", "unit": "u2", "ranking": ranking, "reason": "Knows this person"}
    assert nina.post("/api/v1/incidents/i2/assignments", sent).status_code == 201
    page = sign_in(context, served)
    here = opened(page, "i3")
    lesser = here.locator(".lesser")
    expect(lesser).to_contain_text(re.compile(r"CARE-2.*assigned to #2 \(priority 3\)"))
    lesser.get_by_role("button", name="Take from #2 CARE-2").click()
    expect(lesser).to_contain_text("#2 is then without CARE-2. Why take it?")
    lesser.get_by_role("button", name="This is more urgent").click()
    expect(here.locator(".on-it")).to_contain_text("CARE-2")
    expect(incident(page, "i2")).to_contain_text("Nobody sent")
    with served.hub.engine.begin() as connection:
        rows = connection.execute(select(schema.assignment).where(schema.assignment.c.unit == "u2")).all()
    assert {one.incident: one.released_ms is None for one in rows} == {"i2": False, "i3": True}


def test_a_card_that_was_opened_while_the_hub_was_away_is_whole_when_it_is_back(
    context: BrowserContext, served: Served
) -> None:
    cable = Cable(served.port)
    page = sign_in(context, replace(served, port=cable.port))
    cable.pull()
    here = opened(page, "i3")
    alerts = here.get_by_role("alert")
    expect(alerts.first).to_contain_text("This is only what the board shows. The hub did not answer.")
    expect(here.get_by_role("button", name="Rank again")).to_be_visible()
    for fold in ("Remarks", "Belongs together", "Here before"):
        expect(here.locator(".fold", has_text=fold)).to_contain_text("not read")  # and not that there are none
    cable.put_back()
    expect(page.locator(".send")).to_have_text(re.compile("Send CARE-2"))
    expect(alerts).to_have_count(0)
    expect(here.locator(".fold", has_text="Remarks")).to_contain_text("none")
    cable.pull()


def test_a_card_whose_questions_failed_while_the_stream_went_on_is_whole_soon(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    page.route("**/api/v1/incidents/**", lambda route: route.abort())
    here = opened(page, "i3")
    expect(here.get_by_role("button", name="Rank again")).to_be_visible()
    page.wait_for_timeout(5000)  # asked again in vain
    page.unroute("**/api/v1/incidents/**")
    expect(page.locator(".send")).to_have_text(re.compile("Send CARE-2"))
    expect(here.get_by_role("alert")).to_have_count(0)


def test_what_was_shown_when_somebody_was_sent_is_shown_again(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    here = opened(page, "i3")
    here.get_by_role("button", name="Send CARE-4", exact=True).click()
    here.get_by_role("button", name="Knows this person").click()
    here.get_by_role("button", name="What happened").click()
    expect(here.locator(".timeline")).to_contain_text("CARE-4 · Sent · Knows this person")
    here.get_by_role("button", name="Show what was shown then").click()
    then = here.locator(".shown-then")
    expect(then).to_contain_text("CARE-4 sent by nina: Knows this person")
    expect(then).to_contain_text("no Spanish speaker")
    expect(then).to_contain_text("Worked out again, it is the same list.")


# --- changing, and the end ------------------------------------------------------------------------------------------------


def test_of_two_dispatchers_who_move_one_incident_the_second_sees_what_stands_before_it_is_changed(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    here = opened(page, "i3")
    here.get_by_role("button", name="Change").click()
    here.get_by_label("Place").fill("Bus shelter, north side")
    by_nina(served, "i3/change", {"id": "p1", "revision": 1, "place": "Bus shelter, south side"})
    here.get_by_role("button", name="Save").click()
    expect(here.get_by_role("alert")).to_contain_text("Nina changed the place of #3 meanwhile.")
    expect(here.locator(".otherwise")).to_contain_text("Place is now: Bus shelter, south side")
    assert row(served.hub, incident="i3")["place"] == "Bus shelter, south side"
    here.get_by_role("button", name="I have seen it: keep mine").click()
    here.get_by_role("button", name="Save").click()
    expect(here.locator(".where")).to_have_text("Bus shelter, north side")


def test_type_and_priority_are_changed_and_the_units_ranked_anew(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    here = opened(page, "i2")
    here.get_by_role("button", name="Change").click()
    expect(here.get_by_label("Type")).to_be_focused()
    here.get_by_label("Type").select_option("MTLV")
    here.get_by_label("Priority").select_option("1")
    here.get_by_role("button", name="Save").click()
    expect(here.locator(".what")).to_have_text("Mental-health crisis, violence reported")
    expect(here.locator(".scene")).to_contain_text("Scene not secure.")
    expect(here.locator(".candidates .first")).to_contain_text("to staging")


def test_settled_by_phone_is_one_press_and_can_be_taken_back(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    here = opened(page, "i2")
    here.get_by_role("button", name="Settled by phone, no unit sent").click()
    expect(here.locator(".ended")).to_contain_text("Settled by phone, no unit sent")
    expect(incident(page, "i2")).to_have_count(0)
    assert row(served.hub, incident="i2")["disposition"] == "consult_only"
    here.get_by_role("button", name="Open again").click()
    here.get_by_role("button", name="Closed by mistake").click()
    expect(incident(page, "i2")).to_have_count(1)
    expect(here.locator(".send")).to_be_visible()


def test_once_a_unit_was_sent_it_is_not_settled_by_phone(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    here = opened(page, "i1")
    expect(here.get_by_role("button", name="Settled by phone, no unit sent")).to_have_count(0)


def test_an_incident_is_closed_with_what_was_advised_and_what_came_of_it(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served)
    here = opened(page, "i2")
    here.get_by_role("button", name="End it").click()
    here.get_by_label("Advised by a clinician").select_option("consult_only")
    expect(here.get_by_role("button", name="End it")).to_contain_text("advised: Settled by phone")
    here.get_by_label("How it ended").select_option("referred_warm")
    expect(here).to_contain_text("It ended otherwise than advised. Both are kept.")
    here.get_by_role("button", name="Close incident").click()
    expect(here.locator(".ended")).to_contain_text("Handed to a named service")
    kept = row(served.hub, incident="i2")
    assert (kept["recommended"], kept["disposition"]) == ("consult_only", "referred_warm")


def test_one_call_told_twice_is_merged_and_shows_which_goes_on(context: BrowserContext, served: Served) -> None:
    page = sign_in(context, served)
    here = opened(page, "i3")
    here.get_by_role("button", name="Belongs together").click()
    here.get_by_label("Other incident", exact=True).select_option("i2")
    here.get_by_role("button", name="It is the same call: merge this into it").click()
    expect(here.locator(".ended")).to_contain_text("Merged into another")
    here.get_by_role("button", name="See the one that goes on").click()
    expect(card(page).locator("h2")).to_contain_text("#2")


def test_a_supervisor_reads_everything_and_is_offered_only_what_a_supervisor_may(
    context: BrowserContext, served: Served
) -> None:
    page = sign_in(context, served, "omar")
    here = opened(page, "i3")
    for name in ("Change", "Settled by phone, no unit sent", "End it"):
        expect(here.get_by_role("button", name=name)).to_have_count(0)
    here.get_by_role("button", name="Before they arrive").click()
    expect(here.locator(".asked", has_text="Weapons")).to_contain_text("Not asked")
    here.get_by_role("button", name="Remarks").click()
    here.get_by_label("Remark", exact=True).fill("Watch this one")
    here.get_by_role("button", name="Add remark").click()
    expect(here.locator(".remarks li")).to_contain_text("Watch this one")


def test_axe_finds_nothing_on_a_card_by_day_or_night(context: BrowserContext, served: Served) -> None:
    by_nina(served, "i1/cautions", {"id": "c1", "behavior": "dog", "source": "Officer 212"})
    page = sign_in(context, served)
    beside(page, "#3")
    expect(page.get_by_role("status", name="Maybe the same call")).to_be_visible()
    assert wrong_at_the_console(page) == []
    here = opened(page, "i1")
    folds = ("Before they arrive", "Cautions", "Remarks", "Belongs together", "Here before", "What happened", "End it")
    for name in folds:
        here.locator(".fold").get_by_role("button", name=name).click()
        assert wrong_at_the_console(page) == [], name
    here.get_by_role("button", name="Secure …").click()
    here.get_by_role("button", name="Change").click()
    assert wrong_at_the_console(page) == []
