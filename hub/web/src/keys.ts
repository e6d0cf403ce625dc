// Every key of the page in one table: what the sheet of keys lists is what the keys do, and no key means two things.
//
// Keys are dead while somebody types, and while something lies over the board only those act that belong to it. Escape
// has one meaning, "closes what is on top", and many things to close: the topmost goes first.

import { computed, signal } from "@preact/signals";
import { sheet, wall } from "./state";

export interface Meaning {
    /** What it does, in words for the sheet; "" for one of a row of keys of which the first says it for all. */
    says: string;
    /** How the sheet writes the key, where that is not the key itself. */
    shows?: string;
    /** Under which heading of the sheet. */
    group?: Group;
    when?: () => boolean;
    run: (event: KeyboardEvent) => void;
    /** Goes on while it is held. Never for a key that sends somebody. */
    repeats?: boolean;
    /** Acts although a sheet or the wall lies over the board. */
    over?: boolean;
    /** Of Escape: the higher one closes first. */
    level?: number;
}

export const GROUPS = ["Incidents", "Sending", "Units", "Map", "Page"] as const;
export type Group = (typeof GROUPS)[number];

const KEPT = "tandem-keys";
const TYPES_INTO = "input, textarea, select, [contenteditable]";
const PRESSES = "button, a[href], summary, [role='option'], [role='button'], .map"; // where Enter has its own meaning
const MOVES_BY_ARROWS = ".map, [role='listbox'], [data-arrows]";

const table = new Map<string, Meaning>();
const closers: Meaning[] = [];

/** Whether single keys act at all: who works with speech or a tremor turns them off. */
export const areKeysOn = signal(localStorage.getItem(KEPT) !== "off");

export function turnKeys(on: boolean): void {
    areKeysOn.value = on;
    localStorage.setItem(KEPT, on ? "on" : "off");
}

export function onKey(key: string, meaning: Meaning): void {
    if (key === "Escape") {
        closers.push(meaning);
        closers.sort((a, b) => (b.level ?? 0) - (a.level ?? 0));
        return;
    }
    const taken = table.get(key);
    if (taken !== undefined) {
        throw new Error(`the key ${key} already means: ${taken.says}`);
    }
    table.set(key, meaning);
}

/** For the sheet: each heading with its keys, in the order in which they were given a meaning. */
export function listed(): { group: Group; keys: { shows: string; says: string }[] }[] {
    return GROUPS.map((group) => ({
        group,
        keys: [...table]
            .filter(([, meaning]) => (meaning.group ?? "Page") === group && meaning.says !== "")
            .map(([key, meaning]) => ({ shows: meaning.shows ?? key, says: meaning.says })),
    })).filter((one) => one.keys.length > 0);
}

const isCovered = computed(() => wall.value || sheet.value !== "none");

export function watchKeys(): void {
    addEventListener("keydown", (event) => {
        if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) {
            return;
        }
        if (event.key === "Escape") {
            const open = closers.find((one) => one.when?.() ?? true);
            if (open !== undefined) {
                event.preventDefault();
                open.run(event);
            }
            return;
        }
        const key = named(event);
        const meaning = table.get(key);
        if (meaning === undefined || !areKeysOn.value || belongsElsewhere(event, key)) {
            return;
        }
        if ((event.repeat && meaning.repeats !== true) || (isCovered.value && meaning.over !== true)) {
            return;
        }
        if (meaning.when?.() ?? true) {
            event.preventDefault();
            meaning.run(event);
        }
    });
}

/** Caps Lock is no Shift: only the key that is held makes a capital. */
function named(event: KeyboardEvent): string {
    const isLetter = event.key.length === 1 && event.key.toLowerCase() !== event.key.toUpperCase();
    return isLetter ? (event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase()) : event.key;
}

function belongsElsewhere(event: KeyboardEvent, key: string): boolean {
    const at = event.target;
    if (!(at instanceof HTMLElement)) {
        return false;
    }
    return (
        at.closest(TYPES_INTO) !== null ||
        (key === "Enter" && at.closest(PRESSES) !== null) ||
        (key.startsWith("Arrow") && at.closest(MOVES_BY_ARROWS) !== null)
    );
}
