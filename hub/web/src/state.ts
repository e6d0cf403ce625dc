// What the page knows: signals that the stream fills and the parts read.

import { computed, signal } from "@preact/signals";
import type { Closure, Emergency, Health, Incident, Me, Note, Position, Streets, Unit, Words } from "./shapes";

export const me = signal<Me | null>(null);
export const words = signal<Words | null>(null);
export const streets = signal<Streets | null>(null);

export const agency = signal("");
export const emergencies = signal<Emergency[]>([]);
export const units = signal<Unit[]>([]);
export const incidents = signal<Incident[]>([]);
export const notes = signal<Note[]>([]);
export const health = signal<Health>({ quarantined: {}, alarms: [] });
/** By unit. Replaced as a whole when a tick brings some. */
export const positions = signal<ReadonlyMap<string, Position>>(new Map());
/** Closed roads that nobody has opened. */
export const closures = signal<Closure[]>([]);
export const hasSnapshot = signal(false);

export type Link = "starting" | "live" | "lost" | "signed out";
export const link = signal<Link>("starting");

/** How the emergency of a unit stands: the worst of them, if it has several. */
export type Danger = "raised" | "acknowledged" | "test";
export const dangers = computed<ReadonlyMap<string, Danger>>(() => {
    const found = new Map<string, Danger>();
    for (const one of [...emergencies.value].reverse()) {
        found.set(one.unit, one.is_drill ? "test" : one.acknowledged_ms === null ? "raised" : "acknowledged");
    }
    return found;
});

export const mayDispatch = computed(() => me.value?.role === "dispatcher");

/** The card over the map: nothing, a new incident at a place, or an incident. */
export type Card =
    | { kind: "none" }
    | { kind: "new"; lat: number; lon: number; near: string; side: Side; isGuess?: boolean; isNamed?: boolean }
    | { kind: "incident"; id: string; side: Side };
export type Side = "left" | "right";
export const card = signal<Card>({ kind: "none" });

export const chosenUnit = signal<string | null>(null);
/** The incident that keys and the command line mean when they name none. */
export const chosenIncident = signal<string | null>(null);
/** The last thing that did not work, in a sentence. */
export const trouble = signal<string | null>(null);

export function closeCard(): void {
    card.value = { kind: "none" };
}

/** The screen nobody touches. */
export const wall = signal(false);
/** The unit whose way so far is drawn on the map. */
export const trailOf = signal<string | null>(null);
/** Whether the map shows how far the free units come. */
export const coverage = signal(false);
/** Whether somebody draws a closure: the map's clicks and Escape are that drawing's then. */
export const drawing = signal(false);

/** What lies over the map besides a card. */
export type Sheet = "none" | "keys" | "rounds";
export const sheet = signal<Sheet>("none");

/** The last thing that a key or a command did, or why it did not, for the line at the foot of the page. */
export interface Said {
    text: string;
    isWrong: boolean;
    atMs: number;
}
export const said = signal<Said | null>(null);

export function tell(text: string): void {
    said.value = { text, isWrong: false, atMs: performance.now() };
}

export function refuse(text: string): void {
    said.value = { text, isWrong: true, atMs: performance.now() };
}
