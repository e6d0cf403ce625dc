// What the parts over the map ask of it; the map says how when it is there.

import type { Place } from "./reckon";

export const mapDoes: { showPlaces: (places: readonly Place[]) => void; focus: () => void; center: () => Place | null } = {
    showPlaces: () => undefined,
    focus: () => undefined,
    center: () => null,
};
