// What a dispatcher does, in one place: a click, a key and the command line all call these. Each says No with the hub's
// sentence when it cannot be done, and whoever called shows it.
//
// Every act has an id that is minted here and kept until the hub has answered it: a double click, or a second try after a
// line that broke, is the same act, and the hub does it once.

import { signal } from "@preact/signals";
import { No, get, post } from "./api";
import type { Answer, Assignment, Changed, Hint, Incident, NewCaution, Opening, Place, Ranked } from "./shapes";
import { type Side, card, chosenIncident, incidents } from "./state";
import { hubNowMs } from "./time";

export interface Point {
    lat: number;
    lon: number;
}

/** A place that the search found. `note`: what must be known before a unit is sent there. */
export interface Hit extends Point {
    label: string;
    kind: string;
    around: string;
    note: string | null;
}

/** A list as it stands on the screen. */
export interface Shown {
    ranked: Ranked;
    atMs: number;
}

export const LIST_MS_MAX = 60_000; // by then every unit on it is a mile from where it was
export const CONSULT = "consult_only";

/** The lists that are on the screen, by incident. */
export const lists = signal<ReadonlyMap<string, Shown>>(new Map());
/** What the map does when a person asks to see a place, and the side on which a card does not hide it; set by the map. */
export const map: { goTo: (place: Point) => void; sideFor: (place: Point) => Side } = { goTo: () => undefined, sideFor: () => "right" };

// --- looking ---------------------------------------------------------------------------------------------------------

/** The incident's card, on the side of the map where its pin is not. */
export function openIncident(id: string): void {
    const incident = incidents.value.find((one) => one.id === id);
    chosenIncident.value = id;
    card.value = { kind: "incident", id, side: incident === undefined ? "right" : map.sideFor(incident) };
}

/** The card of a new incident at a place; `isGuess`: nobody pointed at it, so the address is asked first. */
export function beginAt(place: Point | Hit, near: string, isGuess = false): void {
    const isNamed = "label" in place; // an address that was chosen keeps its words
    card.value = { kind: "new", lat: place.lat, lon: place.lon, near, side: "right", isGuess, isNamed };
}

/** Places by their words, the likeliest first, those near a point before others. */
export async function findAddress(text: string, near?: Point): Promise<Hit[]> {
    const about = near === undefined ? "" : `&lat=${near.lat}&lon=${near.lon}`;
    const found = await asked(get<{ places: Place[]; message: string | null }>(`/api/v1/places?limit=6&q=${encodeURIComponent(text)}${about}`));
    if (found.message !== null) {
        throw new No("no_addresses", found.message);
    }
    return found.places.map((place) => ({
        label: place.name,
        lat: place.lat,
        lon: place.lon,
        kind: place.kind,
        around: place.around,
        note: place.note,
    }));
}

/** The words for a point; null where the map has none. */
export async function wordsFor(point: Point): Promise<string | null> {
    const found = await asked(get<{ place: Place | null }>(`/api/v1/places/near?lat=${point.lat}&lon=${point.lon}`));
    return found.place?.name ?? null;
}

/** Incidents that may be the one that is being entered. */
export async function hintsFor(sketch: { type: string; lat: number; lon: number; place: string }): Promise<Hint[]> {
    return asked(post<Hint[]>("/api/v1/hints", sketch));
}

// --- opening and changing --------------------------------------------------------------------------------------------

/** `opening` carries the id that its form minted, so it is the same incident however often it is sent. */
export async function open(opening: Opening): Promise<Incident> {
    const opened = await asked(post<Incident>("/api/v1/incidents", opening));
    show(opened);
    return opened;
}

/** What is to be otherwise. `revision`: of the incident as the person saw it. */
export function change(id: string, revision: number, what: Changed): Promise<Incident> {
    return act(id, "change", { revision, ...what });
}

export function tell(id: string, revision: number, packet: Answer[]): Promise<Incident> {
    return change(id, revision, { packet });
}

export function secure(id: string, revision: number, authority: string, name: string): Promise<Incident> {
    return act(id, "secure", { revision, authority, name });
}

export function stage(id: string, reason: string): Promise<Incident> {
    return act(id, "stage", { reason });
}

export function addCaution(id: string, caution: NewCaution): Promise<Incident> {
    return act(id, "cautions", caution);
}

export function endCaution(id: string, caution: string): Promise<Incident> {
    return act(id, "cautions/end", { caution });
}

export function addRemark(id: string, text: string, label = "open"): Promise<Incident> {
    return act(id, "remarks", { text, label });
}

// --- what belongs together, and how it ends --------------------------------------------------------------------------

export function linkTo(id: string, other: string, kind = "related"): Promise<Incident> {
    return act(id, "link", { other, kind });
}

export function unlink(id: string, other: string): Promise<Incident> {
    return act(id, "unlink", { other });
}

/** `id` was the same call as `into`, which goes on for both. */
export function mergeInto(id: string, into: string): Promise<Incident> {
    return act(id, "merge", { into });
}

export function closeIncident(id: string, disposition: string, recommended: string | null = null): Promise<Incident> {
    return act(id, "close", { disposition, ...(recommended === null ? {} : { recommended }) });
}

/** Advice was enough. The hub refuses when a unit ever was sent. */
export function settleByPhone(id: string): Promise<Incident> {
    return closeIncident(id, CONSULT);
}

export function recommend(id: string, disposition: string): Promise<Incident> {
    return act(id, "recommend", { disposition });
}

export function reopen(id: string, reason: string): Promise<Incident> {
    return act(id, "reopen", { reason });
}

// --- who goes --------------------------------------------------------------------------------------------------------

const asks = new Map<string, number>(); // how often a list was asked for, by incident

/** Rank all units for the incident; the answer is then the list that is on the screen. */
export async function rank(id: string): Promise<Shown> {
    const mine = (asks.get(id) ?? 0) + 1;
    asks.set(id, mine);
    const ranked = await asked(post<Ranked>(`/api/v1/incidents/${id}/ranking`, {}));
    const shown = { ranked, atMs: hubNowMs() };
    if (asks.get(id) === mine) {
        lists.value = new Map(lists.value).set(id, shown); // an answer that was overtaken may rest on what was since changed
    }
    return shown;
}

/** The list of this incident is not on the screen any more. */
export function forgetList(id: string): void {
    const rest = new Map(lists.value);
    rest.delete(id);
    lists.value = rest;
}

export function isOld(shown: Shown, nowMs: number): boolean {
    return nowMs - shown.atMs > LIST_MS_MAX;
}

/** Send the first of the list that is on the screen. */
export async function sendFirst(id: string): Promise<void> {
    const first = current(id).ranked.candidates[0];
    if (first === undefined || !first.fit) {
        throw new No("nobody", "No unit is fit now. Send one anyway with a reason, or change what is needed.");
    }
    await sendUnit(id, first.unit);
}

/** Send a unit of the list that is on the screen; `reason`: why not the first. The hub takes a unit
 * from something lesser that it is on its way to. */
export async function sendUnit(id: string, unit: string, reason?: string): Promise<void> {
    const { ranked } = current(id);
    const candidate = ranked.candidates.find((one) => one.unit === unit || sameWord(one.call_sign, unit));
    if (candidate === undefined) {
        throw new No("not_found", `${unit} is not on the list. Rank the units again.`);
    }
    await once<Assignment>(`/api/v1/incidents/${id}/assignments`, {
        unit: candidate.unit,
        ranking: ranked.ranking,
        ...(reason === undefined ? {} : { reason }),
    });
}

/** Take a unit off; `unit` is its id or its call sign. */
export async function release(id: string, unit: string, reason = ""): Promise<void> {
    const on = incidents.value
        .find((one) => one.id === id)
        ?.assignments.find((one) => one.released_ms === null && (one.unit === unit || sameWord(one.call_sign, unit)));
    if (on === undefined) {
        throw new No("not_found", `${unit} is not on this incident.`);
    }
    await asked(post<Assignment>(`/api/v1/assignments/${on.id}/release`, { reason }));
}

// --- how it is said to the hub ---------------------------------------------------------------------------------------

const underWay = new Map<string, Promise<unknown>>();
const ids = new Map<string, string>();

function act(id: string, what: string, body: object): Promise<Incident> {
    return once<Incident>(`/api/v1/incidents/${id}/${what}`, body).then((now) => {
        show(now);
        return now;
    });
}

/** The same words to the same address are one act: while it is under way, and after a line that broke. */
function once<T>(path: string, body: object): Promise<T> {
    const key = `${path} ${JSON.stringify(body)}`;
    const going = underWay.get(key);
    if (going !== undefined) {
        return going as Promise<T>;
    }
    const id = ids.get(key) ?? crypto.randomUUID();
    ids.set(key, id);
    const said = asked(post<T>(path, { id, ...body }))
        .then(
            (answer) => {
                ids.delete(key);
                return answer;
            },
            (no: No) => {
                if (no.code !== SILENCE) {
                    ids.delete(key);
                }
                throw no;
            },
        )
        .finally(() => underWay.delete(key));
    underWay.set(key, said);
    return said;
}

export const SILENCE = "no_answer";

/** A line that broke is a No like any other. */
async function asked<T>(answer: Promise<T>): Promise<T> {
    try {
        return await answer;
    } catch (wrong) {
        throw wrong instanceof No ? wrong : new No(SILENCE, "The hub did not answer. Try again: nothing is done twice.");
    }
}

/** The board's next picture says it too; until then the card must not show what was. */
function show(now: Incident): void {
    const others = incidents.value.filter((one) => one.id !== now.id);
    if (now.state !== "open") {
        incidents.value = others;
    } else if (others.length === incidents.value.length) {
        incidents.value = [...incidents.value, now];
    } else {
        incidents.value = incidents.value.map((one) => (one.id === now.id ? now : one));
    }
}

function current(id: string): Shown {
    const shown = lists.value.get(id);
    if (shown === undefined) {
        throw new No("no_list", "No list is on the screen for this incident. Open it first.");
    }
    if (isOld(shown, hubNowMs())) {
        throw new No("old_list", "The list is more than a minute old. Rank again, then send.");
    }
    return shown;
}

function sameWord(one: string, other: string): boolean {
    return one.toLowerCase() === other.toLowerCase();
}
