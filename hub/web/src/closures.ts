// Closed roads on this page: those that hold, and the one that somebody draws. A drawing begins by button or key, is made
// of corners, and ends with Enter, a double click or a word; nothing is closed before a reason is said.

import { computed, effect, signal } from "@preact/signals";
import { No, get, post, sentence } from "./api";
import { onKey } from "./keys";
import { mapDoes } from "./mapdoes";
import { type Place, nearbyM } from "./reckon";
import type { Closure } from "./shapes";
import { closures, drawing, me, refuse, tell, wall } from "./state";
import { second } from "./time";

export type Shape = "area" | "street" | "spot";

/** A closure that is being drawn. `pointer`: where the next corner would be; `isDrawn`: the corners are all there. */
export interface Sketch {
    shape: Shape;
    corners: Place[];
    pointer: Place | null;
    radiusM: number;
    isDrawn: boolean;
}

export const RADII_M = [25, 50, 100, 200, 500] as const;
export const REASONS = ["Water over the road", "Crash", "Fire", "Police scene", "March or parade", "Road works"] as const;
export const HOURS = [1, 4, 12] as const;
const SAME_PLACE_M = 1; // the two clicks of a double click are one corner
const CORNERS_MAX = 60;

const EMPTY: Sketch = { shape: "area", corners: [], pointer: null, radiusM: 50, isDrawn: false };
export const sketch = signal<Sketch>(EMPTY);
/** Whether the drawing goes by keys: then a cross shows where the next corner would be. */
export const byKeys = signal(true);
/** Whether the list of closures lies over the map. */
export const isListed = signal(false);

/** Those whose time is not over: the hub says when somebody opens one, and nobody has to say that its time has passed. */
export const standing = computed<Closure[]>(() => closures.value.filter((one) => one.until_ms === null || second.value < one.until_ms));

/** Of each shape: how many corners make one. */
const ENOUGH: Record<Shape, number> = { area: 3, street: 2, spot: 1 };

export function hasEnough(one: Sketch): boolean {
    return one.corners.length >= ENOUGH[one.shape];
}

export function beginDrawing(shape: Shape = "area"): void {
    sketch.value = { ...EMPTY, shape };
    isListed.value = false;
    byKeys.value = true;
    drawing.value = true;
}

export function leaveDrawing(): void {
    drawing.value = false;
    sketch.value = EMPTY;
}

export function chooseShape(shape: Shape): void {
    const corners = shape === "spot" ? sketch.value.corners.slice(-1) : sketch.value.corners;
    sketch.value = { ...sketch.value, shape, corners, isDrawn: false };
}

export function addCorner(place: Place): void {
    const { shape, corners } = sketch.value;
    const last = corners.at(-1);
    if (shape === "spot") {
        sketch.value = { ...sketch.value, corners: [place], pointer: null, isDrawn: true };
        return;
    }
    if (last !== undefined && nearbyM(last, place) < SAME_PLACE_M) {
        return;
    }
    if (corners.length >= CORNERS_MAX) {
        refuse(`A closure has at most ${CORNERS_MAX} corners.`);
        return;
    }
    sketch.value = { ...sketch.value, corners: [...corners, place], pointer: null, isDrawn: false };
}

export function takeBack(): void {
    sketch.value = { ...sketch.value, corners: sketch.value.corners.slice(0, -1), isDrawn: false };
}

export function pointAt(place: Place | null): void {
    if (!sketch.peek().isDrawn) {
        sketch.value = { ...sketch.peek(), pointer: place };
    }
}

/** No more corners; false when it is no shape yet, and the words say what is missing. */
export function endDrawing(): boolean {
    if (!hasEnough(sketch.value)) {
        refuse(sketch.value.shape === "area" ? "An area needs three corners." : "A street needs two points.");
        return false;
    }
    sketch.value = { ...sketch.value, pointer: null, isDrawn: true };
    return true;
}

let id: string | null = null; // of the closure that is being said, kept until the hub has answered

export async function closeRoad(reason: string, untilMs: number | null): Promise<void> {
    const { shape, corners, radiusM } = sketch.value;
    id ??= crypto.randomUUID();
    try {
        const made = await post<Closure>("/api/v1/closures", {
            id,
            corners: corners.map(({ lat, lon }) => ({ lat, lon })),
            radius_m: shape === "area" ? 0 : radiusM,
            reason,
            until_ms: untilMs,
        });
        id = null;
        closures.value = [...closures.value.filter((one) => one.id !== made.id), made];
        leaveDrawing();
        tell(`Closed: ${made.reason}. Lists and routes drive around it.`);
    } catch (no) {
        id = no instanceof No ? null : id;
        throw no;
    }
}

export async function openAgain(closure: Closure): Promise<void> {
    try {
        await post<Closure>(`/api/v1/closures/${encodeURIComponent(closure.id)}/end`, {});
        closures.value = closures.value.filter((one) => one.id !== closure.id);
        tell(`Open again: ${closure.reason}.`);
    } catch (no) {
        refuse(sentence(no));
    }
}

/** The middle of what was drawn, for a label and for a look at it. */
export function middleOf(corners: readonly Place[]): Place {
    const count = Math.max(1, corners.length);
    return {
        lat: corners.reduce((sum, one) => sum + one.lat, 0) / count,
        lon: corners.reduce((sum, one) => sum + one.lon, 0) / count,
    };
}

export async function placesFor(text: string): Promise<{ name: string; around: string; lat: number; lon: number }[]> {
    const found = await get<{ places: { name: string; around: string; lat: number; lon: number }[]; message: string | null }>(
        `/api/v1/places?limit=5&q=${encodeURIComponent(text)}`,
    );
    if (found.message !== null) {
        throw new No("no_addresses", found.message);
    }
    return found.places;
}

// --- keys ------------------------------------------------------------------------------------------------------------

const WRITES_OR_PRESSES = "input, textarea, select, button, a[href]";

/** While somebody draws, a key is a key of the drawing: the one that sends a unit sleeps. */
export function watchDrawing(): void {
    const isAllowed = (): boolean => (me.value?.role === "dispatcher" || me.value?.role === "supervisor") && !wall.value;
    onKey("x", { group: "Map", says: "close a road: draw it on the map", when: isAllowed, run: () => (drawing.value ? leaveDrawing() : beginDrawing()) });
    onKey("l", { group: "Map", says: "list of closed roads", run: () => (isListed.value = !isListed.value) });
    onKey("Escape", { says: "", level: 60, when: () => drawing.value, run: leaveDrawing });
    onKey("Escape", { says: "", level: 20, when: () => isListed.value, run: () => (isListed.value = false) });
    effect(() => {
        if (drawing.value) {
            addEventListener("keydown", drawingKey, { capture: true });
        } else {
            removeEventListener("keydown", drawingKey, { capture: true });
        }
    });
}

function drawingKey(event: KeyboardEvent): void {
    const at = event.target;
    if (event.ctrlKey || event.altKey || event.metaKey || (at instanceof Element && at.closest(WRITES_OR_PRESSES) !== null)) {
        return;
    }
    byKeys.value = true;
    const does = DRAWING_KEYS[event.key];
    const isOthers = event.key.length === 1 && !"+-=?".includes(event.key);
    if (does !== undefined || isOthers) {
        event.preventDefault();
        event.stopPropagation();
        does?.();
    }
}

const DRAWING_KEYS: Record<string, () => void> = {
    Enter: () => void endDrawing(),
    Backspace: takeBack,
    " ": () => {
        const middle = mapDoes.center();
        if (middle !== null) {
            addCorner(middle);
        }
    },
    x: leaveDrawing,
};
