// Which key means what on the board.

import { beginAtCenter, openOne, sendNth, sendTheFirst, toMap, turnCoverage, turnTrail, turnWall, walkIncidents, walkUnits } from "./boardacts";
import { openLine } from "./commandline";
import { onKey } from "./keys";
import { shown as onMap } from "./mappane";
import { closeRounds, openRounds } from "./rounds";
import { card, chosenUnit, closeCard, drawing, sheet, wall } from "./state";
import { asked } from "./why";

const OTHERS = ["2", "3", "4", "5", "6", "7", "8", "9"] as const;

/** Whoever draws a closure sends nobody by the way. */
const isFree = (): boolean => !drawing.value;

export function registerKeys(): void {
    onKey("j", { group: "Incidents", shows: "j ↓", says: "next incident; its card opens where you rest", repeats: true, run: () => walkIncidents(1) });
    onKey("ArrowDown", { says: "", repeats: true, run: () => walkIncidents(1) });
    onKey("k", { group: "Incidents", shows: "k ↑", says: "the one before", repeats: true, run: () => walkIncidents(-1) });
    onKey("ArrowUp", { says: "", repeats: true, run: () => walkIncidents(-1) });
    onKey("n", { group: "Incidents", says: "new incident", run: beginAtCenter });

    onKey("1", { group: "Sending", shows: "1 Enter", says: "send the first of the list that is open", when: isFree, run: () => void sendTheFirst() });
    onKey("Enter", { says: "", when: () => isFree() && openOne() !== undefined, run: () => void sendTheFirst() });
    for (const nth of OTHERS) {
        const says = nth === "2" ? "send another of the list; asks why in one tap" : "";
        onKey(nth, { group: "Sending", shows: "2 … 9", says, when: isFree, run: () => void sendNth(Number(nth)) });
    }
    onKey("r", { group: "Sending", says: "rounds: all waiting incidents solved together", over: true, when: () => !wall.value, run: () => (sheet.value === "rounds" ? closeRounds() : openRounds()) });

    onKey("u", { group: "Units", says: "next unit", repeats: true, run: () => walkUnits(1) });
    onKey("U", { group: "Units", shows: "Shift u", says: "the one before", repeats: true, run: () => walkUnits(-1) });
    onKey("f", { group: "Units", says: "show only units with these words", run: () => document.getElementById("sieve")?.focus() });
    onKey("t", { group: "Units", says: "trail of the chosen unit, on and off", run: () => turnTrail(chosenUnit.value) });

    onKey("m", { group: "Map", says: "to the map, at what is chosen; then arrows, + and −", run: toMap });
    onKey("a", { group: "Map", says: "the whole fleet", run: () => onMap.map?.showAll(true) });
    onKey("c", { group: "Map", says: "coverage, on and off", run: turnCoverage });

    onKey("/", { says: "command line", run: openLine });
    onKey("w", { says: "wall: the screen nobody touches, and back", over: true, run: turnWall });
    onKey("?", { says: "this sheet", over: true, when: () => !wall.value, run: () => (sheet.value = sheet.value === "keys" ? "none" : "keys") });

    onKey("Escape", { says: "", level: 90, when: () => wall.value, run: turnWall });
    onKey("Escape", { says: "", level: 80, when: () => asked.value !== null, run: () => (asked.value = null) });
    onKey("Escape", { says: "", level: 70, when: () => sheet.value === "rounds", run: closeRounds });
    onKey("Escape", { says: "", level: 70, when: () => sheet.value === "keys", run: () => (sheet.value = "none") });
    onKey("Escape", { says: "", level: 10, when: () => card.value.kind !== "none" && !drawing.value, run: closeCard });
    onKey("Escape", { says: "", level: 0, when: () => document.activeElement instanceof HTMLElement, run: () => (document.activeElement as HTMLElement).blur() });
}
