// When a unit on its way will be there: by the way that it drives, as of the last place it was heard at. Never a guess: a
// unit that left its way, or was not heard of for a while, has no time, and the page says which of the two it is.

import { age, clock, miles, minutes } from "./say";
import type { Eta as Told } from "./shapes";
import { positions } from "./state";
import { second } from "./time";

const OLD_S = 20; // a terminal reports every 10 s or better
const WITHOUT: Record<string, string> = {
    off: "off its route, being redrawn",
    engine: "no ETA: the road engine is away",
    no_way: "no ETA: no open road leads there",
    position: "no ETA: position unknown",
};

export function Eta({ unit, assignment }: { unit: string; assignment: string }) {
    const told = positions.value.get(unit)?.eta;
    const words = told?.assignment === assignment ? spoken(told, second.value) : null;
    return words === null ? null : (
        <span class="eta" data-old={words.isOld}>
            {words.text}
        </span>
    );
}

function spoken(told: Told, now: number): { text: string; isOld: boolean } | null {
    if (told.word !== "way" || told.eta_s === null || told.left_m === null) {
        const text = WITHOUT[told.word];
        return text === undefined ? null : { text, isOld: true };
    }
    const oldS = Math.max(0, (now - told.at_ms) / 1000);
    const thereMs = told.at_ms + told.eta_s * 1000;
    const left = `${minutes(Math.max(0, thereMs - now) / 1000)}, ${miles(told.left_m)}`;
    if (oldS > OLD_S) {
        return { text: `ETA ${clock(thereMs)}, as of ${age(oldS)} ago`, isOld: true };
    }
    return { text: `ETA ${clock(thereMs)} · ${left}`, isOld: false };
}
