// The one stream from the hub: a snapshot, then what changes. When it breaks, the browser comes back and starts over
// from a snapshot; this page shows from when its data is until then.

import { batch } from "@preact/signals";
import { get } from "./api";
import type { Closure, Emergency, Health, Incident, Me, Note, PlacedUnit, Position, Snapshot, Unit } from "./shapes";
import { kept } from "./kept";
import { agency, closures, emergencies, hasSnapshot, health, incidents, link, notes, positions, units } from "./state";
import { heard, silentMs } from "./time";

const SILENT_MS_MAX = 12_000; // the hub speaks every 5 s at least
const BROKEN_MS_MAX = 3_000; // a stream that broke and came back within this was never lost
const AGAIN_MS = 2_000;
const TOUCH_MS = 60_000;

export function listen(): void {
    const source = new EventSource("/api/v1/events");
    const on = <T>(name: string, take: (data: T) => void): void => {
        source.addEventListener(name, (event: MessageEvent<string>) => {
            const data = JSON.parse(event.data) as T & { now_ms: number };
            heard(data.now_ms, name === "snapshot");
            batch(() => {
                link.value = "live";
                take(data);
            });
        });
    };
    on<Snapshot>("snapshot", (whole) => {
        agency.value = whole.agency;
        emergencies.value = whole.emergencies;
        units.value = kept(units.value, whole.units.map(withoutPosition), (unit) => unit.unit);
        incidents.value = kept(incidents.value, whole.incidents, (incident) => incident.id);
        notes.value = whole.notes;
        health.value = whole.health;
        closures.value = whole.closures;
        positions.value = new Map(
            whole.units.flatMap((unit): [string, Position][] => (unit.position ? [[unit.unit, unit.position]] : [])),
        );
        hasSnapshot.value = true;
    });
    on<{ positions: Position[] }>("positions", (moved) => {
        const next = new Map(positions.value);
        for (const position of moved.positions) {
            next.set(position.unit, position);
        }
        positions.value = next;
    });
    on<{ emergencies: Emergency[] }>("emergencies", (changed) => (emergencies.value = changed.emergencies));
    on<{ units: Unit[] }>("units", (changed) => (units.value = kept(units.value, changed.units, (unit) => unit.unit)));
    on<{ incidents: Incident[] }>("incidents", (changed) => (incidents.value = kept(incidents.value, changed.incidents, (incident) => incident.id)));
    on<{ notes: Note[] }>("notes", (changed) => (notes.value = changed.notes));
    on<{ health: Health }>("health", (changed) => (health.value = changed.health));
    on<{ closures: Closure[] }>("closures", (changed) => (closures.value = changed.closures));
    on("here", () => undefined);
    source.addEventListener("error", () => {
        if (source.readyState === EventSource.CLOSED) {
            source.close();
            void comeBack();
        }
    });
    const watch = setInterval(() => {
        if (source.readyState === EventSource.CLOSED) {
            clearInterval(watch);
        }
        const silence = silentMs();
        const isBroken = source.readyState !== EventSource.OPEN;
        if (link.value !== "signed out" && (silence > SILENT_MS_MAX || (isBroken && silence > BROKEN_MS_MAX))) {
            link.value = "lost";
        }
    }, 500);
}

/** Its position comes its own way from then on, and a unit that only moved is the same unit. */
function withoutPosition({ position: _position, ...unit }: PlacedUnit): Unit {
    return unit;
}

/** The browser gave up: either nobody is signed in any more, or the hub is away. */
async function comeBack(): Promise<void> {
    await new Promise((done) => setTimeout(done, AGAIN_MS));
    try {
        await get<Me>("/api/v1/me");
    } catch {
        if (link.value !== "signed out") {
            link.value = "lost";
            void comeBack();
        }
        return;
    }
    listen();
}

/** Somebody is here: a session ends after 30 minutes without a touch, and a stream is not a touch. */
export function reportTouches(): void {
    let lastAt = performance.now();
    const touched = (): void => {
        if (performance.now() - lastAt > TOUCH_MS) {
            lastAt = performance.now();
            get<Me>("/api/v1/me").catch(() => undefined);
        }
    };
    addEventListener("pointerdown", touched, { passive: true });
    addEventListener("keydown", touched, { passive: true });
}
