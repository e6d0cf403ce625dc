// How far the free units come, asked anew while somebody looks at it. What is old is taken off the map: nobody must plan by
// where units were.

import { effect, signal } from "@preact/signals";
import { get, sentence } from "./api";
import type { Coverage } from "./shapes";
import { closures, coverage as isOn } from "./state";
import { second } from "./time";

const AGAIN_MS = 20_000;
const OLD_MS = 60_000;

export const covered = signal<Coverage | null>(null);
/** Why there is none, in one sentence. */
export const whyNone = signal<string | null>(null);

let timer = 0;
let asks = 0;

export function watchCoverage(): void {
    effect(() => {
        const isWanted = isOn.value;
        closures.value.length; // another closure, another reach
        clearTimeout(timer);
        if (!isWanted) {
            asks++;
            covered.value = null;
            whyNone.value = null;
            return;
        }
        void ask();
    });
    effect(() => {
        const shown = covered.value;
        if (shown !== null && second.value - shown.at_ms > OLD_MS) {
            covered.value = null;
            whyNone.value ??= "The coverage is too old to be shown. It is asked for again.";
        }
    });
}

async function ask(): Promise<void> {
    const mine = ++asks;
    try {
        const found = await get<Coverage>("/api/v1/coverage");
        if (mine === asks) {
            covered.value = found;
            whyNone.value = null;
        }
    } catch (no) {
        if (mine === asks) {
            whyNone.value = sentence(no);
        }
    }
    if (mine === asks) {
        timer = window.setTimeout(() => void ask(), AGAIN_MS);
    }
}
