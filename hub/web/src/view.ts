// When the map may move without a hand on it: only when the set of incidents changes, and even then it only widens, and
// only while nobody works with it. A new incident that is out of sight is otherwise said in words, with a button; so no
// street ever slips away under somebody who aims at it.

import { computed, effect, signal } from "@preact/signals";
import { shown as onMap } from "./mappane";
import type { Incident } from "./shapes";
import { card, drawing, hasSnapshot, incidents, sheet } from "./state";

const AT_REST_MS = 20_000; // since the last hand on the page: a glance at the phone is longer than that, an aim is not

let touchedMs = -Infinity;
let before: ReadonlySet<string> | null = null;

/** New incidents that the map does not show and did not move for. */
export const outOfSight = signal<readonly string[]>([]);

export const unseen = computed<readonly Incident[]>(() => incidents.value.filter((one) => outOfSight.value.includes(one.id)));

export function watchIncidents(): void {
    for (const kind of ["pointermove", "pointerdown", "wheel", "keydown"] as const) {
        addEventListener(kind, () => (touchedMs = performance.now()), { passive: true, capture: true });
    }
    effect(() => {
        const now = new Set(incidents.value.map((one) => one.id));
        if (!hasSnapshot.value) {
            return;
        }
        const added = before === null ? [] : incidents.value.filter((one) => !before?.has(one.id));
        before = now;
        if (added.length > 0) {
            look(added);
        }
    });
}

function look(added: readonly Incident[]): void {
    const map = onMap.map;
    const hidden = map === null ? [] : added.filter((one) => !map.shows(one));
    if (hidden.length === 0) {
        return;
    }
    const isAtWork = card.peek().kind !== "none" || sheet.peek() !== "none" || drawing.peek() || performance.now() - touchedMs < AT_REST_MS;
    if (isAtWork) {
        outOfSight.value = [...outOfSight.peek(), ...hidden.map((one) => one.id)];
    } else {
        map?.widenTo(hidden);
    }
}

/** A person asks for them. */
export function showUnseen(): void {
    onMap.map?.widenTo(unseen.value);
    outOfSight.value = [];
}
