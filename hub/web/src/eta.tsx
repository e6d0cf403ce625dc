// When a unit on its way will be there: by the way that it drives, as of the last place it was heard at. Never a guess: a
// unit that left its way, or was not heard of for a while, has no time, and the page says which of the two it is.

import { age, clock, miles, minutes } from "./say";
import type { Eta as Told } from "./shapes";
import { positions } from "./state";
import { second } from "./time";

const OLD_S = 20; // a terminal reports every 10 s or better
const WITHOUT: Record<string, string> = {
    off: "off route, redrawing",
    engine: "no ETA: road engine away",
    no_way: "no ETA: no open road",
    position: "no ETA: no position",
};

export function Eta({ unit, assignment }: { unit: string; assignment: string }) {
    const told = positions.value.get(unit)?.eta;
    const words = told?.assignment === assignment ? spoken(told, second.value) : null;
    return words === null ? null : (
        <span class="eta" data-old={words.isOld} title={words.more}>
            {words.text}
        </span>
    );
}

interface Spoken {
    text: string;
    more: string;
    isOld: boolean;
}

function spoken(told: Told, now: number): Spoken | null {
    if (told.word !== "way" || told.eta_s === null || told.left_m === null) {
        const text = WITHOUT[told.word];
        return text === undefined ? null : { text, more: "Straight line is no time: ask by radio", isOld: true };
    }
    const oldS = Math.max(0, (now - told.at_ms) / 1000);
    const thereMs = told.at_ms + told.eta_s * 1000;
    const more = `${miles(told.left_m)} to drive, by its position of ${age(oldS)} ago`;
    if (oldS > OLD_S) {
        return { text: `ETA ${clock(thereMs)}, ${age(oldS)} old`, more, isOld: true };
    }
    return { text: `ETA ${clock(thereMs)} · ${minutes(Math.max(0, thereMs - now) / 1000)}`, more, isOld: false };
}
