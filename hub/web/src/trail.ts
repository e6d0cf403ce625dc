// Where a unit was, on demand: asked for once, then drawn on with each position that comes, and never across a hole.

import { effect, signal } from "@preact/signals";
import { get, sentence } from "./api";
import { ageS } from "./reckon";
import type { Trail } from "./shapes";
import { positions, refuse, trailOf } from "./state";
import { second } from "./time";

export const TRAIL_MINUTES = 30;
const GAP_MS = 30_000; // as the hub parts it

export const trail = signal<Trail | null>(null);

export function watchTrail(): void {
    effect(() => {
        const unit = trailOf.value;
        trail.value = null;
        if (unit !== null) {
            void ask(unit);
        }
    });
    effect(() => {
        const known = positions.value;
        const shown = trail.peek();
        const newest = shown === null ? undefined : known.get(shown.unit);
        if (shown === null || newest === undefined || newest.lat === null || newest.lon === null || !newest.has_fix) {
            return;
        }
        const now = second.peek();
        const atMs = now - ageS(newest, now) * 1000;
        const last = shown.pieces.at(-1);
        const end = last?.at(-1);
        if (end !== undefined && atMs - end.at_ms < 1000) {
            return;
        }
        const point = { at_ms: atMs, lat: newest.lat, lon: newest.lon, speed_mps: newest.speed_mps };
        const isOn = last !== undefined && end !== undefined && atMs - end.at_ms <= GAP_MS;
        const pieces = isOn ? [...shown.pieces.slice(0, -1), [...last, point]] : [...shown.pieces, [point]];
        trail.value = { ...shown, pieces: since(pieces, atMs - shown.minutes * 60_000) };
    });
}

function since(pieces: Trail["pieces"], sinceMs: number): Trail["pieces"] {
    return pieces.map((piece) => piece.filter((point) => point.at_ms >= sinceMs)).filter((piece) => piece.length > 0);
}

async function ask(unit: string): Promise<void> {
    try {
        const found = await get<Trail>(`/api/v1/units/${encodeURIComponent(unit)}/trail?minutes=${TRAIL_MINUTES}`);
        if (trailOf.peek() === unit) {
            trail.value = found;
        }
    } catch (no) {
        if (trailOf.peek() === unit) {
            trailOf.value = null;
            refuse(sentence(no));
        }
    }
}
