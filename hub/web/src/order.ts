// In which order incidents stand. Only what people do moves a row: opening, sending, releasing, another priority. No timer
// does, so that a hand on its way to a row finds it there.

import type { Incident } from "./shapes";

export function isUnsent(incident: Incident): boolean {
    return incident.assignments.every((sent) => sent.released_ms !== null);
}

/** The most pressing first: by priority, of those the ones to which nobody is sent, of those the oldest. */
export function byPressure(all: readonly Incident[]): Incident[] {
    return [...all].sort(
        (a, b) =>
            a.priority - b.priority ||
            Number(isUnsent(b)) - Number(isUnsent(a)) ||
            a.opened_ms - b.opened_ms ||
            a.number - b.number,
    );
}

/** The one after (`by` 1) or before (`by` -1) `current`, around the end; the first when there is no current one. */
export function step<T>(all: readonly T[], current: T | undefined, by: 1 | -1): T | undefined {
    const at = current === undefined ? -1 : all.indexOf(current);
    if (at === -1) {
        return by === 1 ? all[0] : all[all.length - 1];
    }
    return all[(at + by + all.length) % all.length];
}
