// Where a unit is believed to be by now. The same rule as wire/distance.py, so that the terminal knows how wrong this
// map is and sends when it would be too much.

import type { Freshness, Position } from "./shapes";

const EARTH_RADIUS_M = 6_371_008.8;
const DEAD_RECKONING_S_MAX = 30; // nobody drives straight on for longer; the belief stands still after that
const LIVE_S = 15;
const AGING_S = 60;
const STALE_S = 300;

export interface Place {
    lat: number;
    lon: number;
}

const radians = (degrees: number): number => (degrees * Math.PI) / 180;
const degrees = (angle: number): number => (angle * 180) / Math.PI;

/** Seconds since the receiver said it, by the hub's clock. */
export function ageS(position: Position, nowMs: number): number {
    return Math.max(0, (nowMs - position.arrived_ms + position.age_ms) / 1000);
}

export function freshness(position: Position | null, nowMs: number): Freshness {
    if (position === null || position.lat === null) {
        return "lost";
    }
    const age = ageS(position, nowMs);
    return age < LIVE_S ? "live" : age < AGING_S ? "aging" : age < STALE_S ? "stale" : "lost";
}

/** Where the unit is by now; null when there has never been a fix. */
export function believed(position: Position, nowMs: number): Place | null {
    const { lat, lon, speed_mps, heading_deg } = position;
    if (lat === null || lon === null) {
        return null;
    }
    if (speed_mps === null || heading_deg === null) {
        return { lat, lon };
    }
    const byM = speed_mps * Math.min(ageS(position, nowMs), DEAD_RECKONING_S_MAX);
    const northM = byM * Math.cos(radians(heading_deg));
    const eastM = byM * Math.sin(radians(heading_deg));
    const shrink = Math.max(1e-9, Math.cos(radians(lat)));
    return {
        lat: Math.max(-90, Math.min(90, lat + degrees(northM / EARTH_RADIUS_M))),
        lon: ((((lon + degrees(eastM / (EARTH_RADIUS_M * shrink)) + 180) % 360) + 360) % 360) - 180,
    };
}

/** Meters between two places that are near each other. */
export function nearbyM(a: Place, b: Place): number {
    const east = radians(b.lon - a.lon) * Math.cos(radians((a.lat + b.lat) / 2));
    return EARTH_RADIUS_M * Math.hypot(radians(b.lat - a.lat), east);
}
