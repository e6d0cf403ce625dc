// The hub's clock, told by every event, so that no age depends on this computer's own; and one tick a second.

import { signal } from "@preact/signals";

let aheadMs: number | null = null; // of performance.now()
let heardAt = performance.now();

/** The hub's wall clock in milliseconds. */
export function hubNowMs(): number {
    return aheadMs === null ? Date.now() : performance.now() + aheadMs;
}

/** Milliseconds since the hub said anything. */
export function silentMs(): number {
    return performance.now() - heardAt;
}

/** An event came that left the hub at `nowMs`. The least delayed one tells the clock best. */
export function heard(nowMs: number, isFirst = false): void {
    heardAt = performance.now();
    const ahead = nowMs - heardAt;
    aheadMs = aheadMs === null || isFirst ? ahead : Math.max(aheadMs, ahead);
}

/** The hub's clock, anew each second: whoever reads it ticks. */
export const second = signal(Date.now());

export function startTicking(): void {
    const tick = (): void => {
        second.value = hubNowMs();
    };
    tick();
    setInterval(tick, 1000);
}
