// Shapes on the ground, reckoned flat: the ring around a place and around a piece of street.

import type { Place } from "./reckon";

const METERS_PER_DEGREE = 111_195;
const ARC_CORNERS = 24;

export type Ring = [number, number][];

/** What is within `radiusM` of a line of places, or of one: a ring for each piece. */
export function ringsAround(line: readonly Place[], radiusM: number): Ring[] {
    const [first] = line;
    if (first === undefined) {
        return [];
    }
    return line.length === 1 ? [ring(first, first, radiusM)] : line.slice(1).map((end, at) => ring(line[at] ?? end, end, radiusM));
}

function ring(a: Place, b: Place, radiusM: number): Ring {
    const shrink = Math.max(1e-9, Math.cos((a.lat * Math.PI) / 180));
    const east = (b.lon - a.lon) * shrink;
    const course = Math.atan2(b.lat - a.lat, east);
    const corners: Ring = [];
    for (let at = 0; at <= ARC_CORNERS; at++) {
        const angle = course - Math.PI / 2 + (2 * Math.PI * at) / ARC_CORNERS;
        const from = at <= ARC_CORNERS / 2 ? b : a;
        corners.push([
            from.lon + (radiusM * Math.cos(angle)) / METERS_PER_DEGREE / shrink,
            from.lat + (radiusM * Math.sin(angle)) / METERS_PER_DEGREE,
        ]);
    }
    return [...corners, corners[0] ?? [a.lon, a.lat]];
}
