// What keys, commands and clicks on the board do, beyond what is done to an incident: look, move the cursor, choose.

import { LIST_MS_MAX, type Shown, beginAt, lists, openIncident, rank, sendFirst, sendUnit } from "./acts";
import { sentence } from "./api";
import { ordered } from "./incidents";
import { mapDoes } from "./mapdoes";
import { shown as onMap } from "./mappane";
import { step } from "./order";
import { minutes } from "./say";
import type { Candidate, Incident } from "./shapes";
import { card, chosenIncident, chosenUnit, coverage, incidents, mayDispatch, refuse, sheet, tell, trailOf, units, wall } from "./state";
import { hubNowMs } from "./time";
import { shownUnits } from "./units";
import { asked } from "./why";

const REST_MS = 250; // on a row, before its card opens: whoever walks past six rows asks for one list, not for six
const LIST_WAIT_MS = 3000;

// --- looking ---------------------------------------------------------------------------------------------------------

let opening = 0;

export function openNow(id: string): void {
    clearTimeout(opening);
    asked.value = null;
    openIncident(id);
}

/** Through the incidents, around the end; the card opens where somebody rests. */
export function walkIncidents(by: 1 | -1): void {
    const next = step(ordered.value, ordered.value.find((one) => one.id === chosenIncident.value), by);
    if (next === undefined) {
        refuse("No incident is open.");
        return;
    }
    chosenIncident.value = next.id;
    asked.value = null;
    rowOf(`[data-incident="${CSS.escape(next.id)}"] .incident-row`);
    clearTimeout(opening);
    opening = window.setTimeout(() => openNow(next.id), REST_MS);
}

export function walkUnits(by: 1 | -1): void {
    const next = step(shownUnits.value, shownUnits.value.find((one) => one.unit === chosenUnit.value), by);
    if (next === undefined) {
        refuse("No unit is listed.");
        return;
    }
    chosenUnit.value = next.unit;
    rowOf(`.unit-row[data-unit="${CSS.escape(next.unit)}"]`);
}

/** Focus goes to the row, and the list to where it is seen; the page does not move. */
function rowOf(selector: string): void {
    const row = document.querySelector<HTMLElement>(selector);
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
}

/** A person asked for the unit: the map goes there. */
export function lookAtUnit(unit: string): void {
    chosenUnit.value = unit;
    onMap.map?.goToUnit(unit);
}

/** The map goes to what is under the cursor, and takes the arrow keys. */
export function toMap(): void {
    const { chosen, incident } = { chosen: chosenUnit.value, incident: incidents.value.find((one) => one.id === chosenIncident.value) };
    const focused = document.activeElement;
    const isUnit = chosen !== null && (focused?.closest(".unit") !== null || incident === undefined);
    if (isUnit) {
        if (onMap.map?.goToUnit(chosen) !== true) {
            refuse(`${callSign(chosen)} has no position to show.`);
        }
    } else if (incident !== undefined) {
        onMap.map?.goTo(incident);
    }
    mapDoes.focus();
}

export function beginAtCenter(): void {
    const at = onMap.map?.center();
    if (!mayDispatch.value) {
        refuse("Your role watches. A dispatcher opens incidents.");
    } else if (at === undefined) {
        refuse("The map is not ready yet.");
    } else {
        beginAt(at.place, at.near, true);
    }
}

export function turnTrail(unit: string | null): void {
    if (unit === null) {
        refuse("Choose a unit first: u goes through them.");
        return;
    }
    trailOf.value = trailOf.value === unit ? null : unit;
    tell(trailOf.value === null ? "No trail." : `Trail of ${callSign(unit)}.`);
}

export function turnCoverage(): void {
    coverage.value = !coverage.value;
    tell(coverage.value ? "How far the free units come." : "Coverage is hidden.");
}

export function turnWall(): void {
    wall.value = !wall.value;
    sheet.value = "none";
}

export function callSign(unit: string): string {
    return units.value.find((one) => one.unit === unit)?.call_sign ?? unit;
}

// --- sending ---------------------------------------------------------------------------------------------------------

/** The open incident's, if its card is open: nobody is sent to what nobody sees. */
export function openOne(): Incident | undefined {
    const open = card.value;
    return open.kind === "incident" ? incidents.value.find((one) => one.id === open.id) : undefined;
}

/** Nothing is sent by a key held a moment too long, or meant for what was there before. */
const SETTLE_MS = 400;

export async function sendTheFirst(): Promise<void> {
    await sendNth(1);
}

/** The `nth` fit unit of the list that is shown; another than the first asks why. */
export async function sendNth(nth: number): Promise<void> {
    const incident = openOne();
    if (!mayDispatch.value) {
        refuse("Your role watches. A dispatcher sends units.");
        return;
    }
    const list = incident === undefined ? undefined : lists.value.get(incident.id);
    if (incident === undefined || list === undefined) {
        refuse(incident === undefined ? "Open an incident first: j and k go through them." : `No list is shown for #${incident.number}. Press its "Send another unit".`);
        return;
    }
    if (hubNowMs() - list.atMs < SETTLE_MS) {
        return;
    }
    const fit = list.ranked.candidates.filter((one) => one.fit);
    const candidate = fit[nth - 1];
    if (candidate === undefined) {
        refuse(fit.length === 0 ? "No unit is fit now. Send one anyway with a reason: Send anyway, or say send UNIT and why." : `The list has only ${fit.length}.`);
    } else if (nth === 1) {
        await attempt(sendFirst(incident.id), `${candidate.call_sign} is sent to #${incident.number}.`);
    } else {
        asked.value = { incident: incident.id, number: incident.number, unit: candidate.unit, callSign: candidate.call_sign, first: fit[0]?.call_sign ?? "" };
    }
}

export async function sendBecause(reason: string): Promise<void> {
    const about = asked.value;
    if (about !== null) {
        asked.value = null;
        await attempt(sendUnit(about.incident, about.unit, reason), `${about.callSign} is sent to #${about.number}: ${reason.toLowerCase()}.`);
    }
}

/** Does it and says so; what the hub says against it is said as it is. */
export async function attempt(act: Promise<unknown>, done: string): Promise<boolean> {
    try {
        await act;
        tell(done);
        return true;
    } catch (no) {
        refuse(sentence(no));
        return false;
    }
}

/** The list for an incident whose card was opened just now, or null when none came. */
export async function listOf(id: string): Promise<Shown | null> {
    const untilMs = performance.now() + LIST_WAIT_MS;
    while (performance.now() < untilMs) {
        const list = lists.value.get(id);
        if (list !== undefined && hubNowMs() - list.atMs < LIST_MS_MAX) {
            return list;
        }
        await new Promise((done) => setTimeout(done, 50));
    }
    return null;
}

/** A list that rests on what is now, for somebody who named the unit. */
export async function freshList(id: string): Promise<Shown> {
    const list = lists.value.get(id);
    return list !== undefined && hubNowMs() - list.atMs < LIST_MS_MAX ? list : rank(id);
}

export function spoken(first: Candidate): string {
    return `${first.call_sign}${first.travel_s === null ? "" : `, ${minutes(first.travel_s)}`}`;
}

