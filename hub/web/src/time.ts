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

/** The same clock now and then, for what nobody sees at the moment. */
export const nowAndThen = signal(second.value);
const NOW_AND_THEN = 15; // seconds

export function startTicking(): void {
    let ticks = 0;
    const tick = (): void => {
        second.value = hubNowMs();
        if (ticks++ % NOW_AND_THEN === 0) {
            nowAndThen.value = second.value;
        }
    };
    tick();
    setInterval(tick, 1000);
}
