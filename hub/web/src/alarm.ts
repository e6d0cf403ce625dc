// The sound of an emergency that nobody has taken, made here so that no file has to be fetched when it counts.
// A browser may keep a page silent until somebody touches it; then the page says so, before there is an emergency.

import { computed, effect, signal } from "@preact/signals";
import { emergencies } from "./state";

const REAL = { everyMs: 1600, tones: [988, 740, 988, 740], toneS: 0.18, shape: "square", loud: 0.16 } as const;
const TEST = { everyMs: 9000, tones: [523, 659], toneS: 0.12, shape: "sine", loud: 0.07 } as const;
const RISE_S = 0.01; // without it each tone clicks

export const sound = signal<"on" | "blocked" | "none">("none");

/** What rings: a real one before a test, until each is acknowledged. */
export const ringing = computed<"emergency" | "test" | null>(() => {
    const untaken = emergencies.value.filter((one) => one.acknowledged_ms === null);
    return untaken.some((one) => !one.is_drill) ? "emergency" : untaken.length > 0 ? "test" : null;
});

let context: AudioContext | null = null;

export function prepareSound(): void {
    if (typeof AudioContext === "undefined") {
        return;
    }
    const made = new AudioContext();
    context = made;
    const look = (): void => {
        sound.value = made.state === "running" ? "on" : "blocked";
    };
    made.addEventListener("statechange", look);
    look();
    addEventListener("pointerdown", allowSound, { passive: true });
    addEventListener("keydown", allowSound, { passive: true });
    let timer = 0;
    effect(() => {
        const what = ringing.value;
        document.body.dataset.ringing = what ?? "";
        clearInterval(timer);
        if (what !== null) {
            const how = what === "emergency" ? REAL : TEST;
            play(how);
            timer = window.setInterval(() => play(how), how.everyMs);
        }
    });
}

/** Somebody touched the page: a browser lets it be heard from now on. */
export function allowSound(): void {
    if (context?.state === "suspended") {
        void context.resume();
    }
}

function play(how: typeof REAL | typeof TEST): void {
    if (context?.state !== "running") {
        return;
    }
    how.tones.forEach((hertz, at) => tone(context as AudioContext, hertz, at * how.toneS, how));
}

function tone(on: AudioContext, hertz: number, afterS: number, how: typeof REAL | typeof TEST): void {
    const beginS = on.currentTime + 0.02 + afterS;
    const endS = beginS + how.toneS;
    const voice = on.createOscillator();
    const volume = on.createGain();
    voice.type = how.shape;
    voice.frequency.value = hertz;
    volume.gain.setValueAtTime(0, beginS);
    volume.gain.linearRampToValueAtTime(how.loud, beginS + RISE_S);
    volume.gain.setValueAtTime(how.loud, endS - RISE_S);
    volume.gain.linearRampToValueAtTime(0, endS);
    voice.connect(volume).connect(on.destination);
    voice.start(beginS);
    voice.stop(endS);
}
