// The screen that nobody touches: large, without a button, and with nothing on it that a visitor must not read.

import { signal } from "@preact/signals";
import { get } from "./api";
import { Shape } from "./parts";
import { clock, timer, tone } from "./say";
import type { Wall as Seen, WallIncident, WallUnit } from "./shapes";
import { link } from "./state";
import { heard, second } from "./time";

const INCIDENTS_MAX = 9; // of the size that is read across a room
const INCIDENTS_FEW = 5;
const UNITS_MAX = 32;

const EVERY_MS = 2_000; // across a room nobody sees a second
const OLD_MS = 8_000;

const seen = signal<Seen | null>(null);
const askedMs = signal(-Infinity);

/** Asks from now on, until the answer is called. What a wall may show is decided at the hub: this page gets no more.
 * `isAlone`: nothing else on this page tells the hub's clock. */
export function watchWall(isAlone = false): () => void {
    const ask = async (): Promise<void> => {
        try {
            const now = await get<Seen>("/wall/now.json");
            if (isAlone) {
                heard(now.now_ms, seen.value === null);
            }
            askedMs.value = performance.now();
            seen.value = now;
        } catch {
            // the screen says how old it is
        }
    };
    void ask();
    const timer = setInterval(() => void ask(), EVERY_MS);
    return () => clearInterval(timer);
}

export function Wall() {
    if (seen.value === null) {
        return <main class="wall" aria-label="Wall" />;
    }
    const { agency, emergencies: raised, incidents: open, units: out } = seen.value;
    const unsent = open.filter((one) => one.units.length === 0);
    const free = out.filter((one) => one.status === "available");
    const now = second.value;
    return (
        <main class="wall" aria-label="Wall">
            <header>
                <h1>{agency}</h1>
                <Believed />
                <span class="spring" />
                <time>{clock(now, true)}</time>
            </header>
            {raised.map((one) => (
                <p class="wall-emergency" data-taken={one.is_acknowledged} data-drill={one.is_drill} role="alert" key={`${one.call_sign}${one.since_ms}`}>
                    <b>{one.is_drill ? "TEST" : "EMERGENCY"}</b> {one.call_sign}
                    <span class="spring" />
                    {one.is_acknowledged ? "acknowledged" : "not acknowledged"} · {timer((now - one.since_ms) / 1000)}
                </p>
            ))}
            <div class="figures">
                <Figure of={open.length} says={open.length === 1 ? "incident open" : "incidents open"} />
                <Figure of={unsent.length} says="without a unit" isBad={unsent.length > 0} />
                <Figure of={unsent.length === 0 ? "–" : timer((now - Math.min(...unsent.map((one) => one.opened_ms))) / 1000)} says="longest wait for a unit" />
                <Figure of={free.length} says={`of ${out.length} units available`} isBad={out.length > 0 && free.length === 0} />
            </div>
            <div class="halves">
                <section aria-label="Incidents">
                    <h2>Incidents</h2>
                    {open.length === 0 ? <p class="none">None open</p> : null}
                    <ul class="wall-incidents" data-few={open.length <= INCIDENTS_FEW}>
                        {open.slice(0, INCIDENTS_MAX).map((one) => (
                            <Row incident={one} now={now} key={one.number} />
                        ))}
                    </ul>
                    {open.length > INCIDENTS_MAX ? <p class="rest">and {open.length - INCIDENTS_MAX} more, less pressing</p> : null}
                </section>
                <section aria-label="Units">
                    <h2>Units</h2>
                    {out.length === 0 ? <p class="none">Nobody on duty</p> : null}
                    <ul class="wall-units" data-few={out.length <= 8} data-many={out.length > 14}>
                        {out.slice(0, UNITS_MAX).map((unit) => (
                            <Tile unit={unit} now={now} key={unit.call_sign} />
                        ))}
                    </ul>
                    {out.length > UNITS_MAX ? <p class="rest">and {out.length - UNITS_MAX} more on duty</p> : null}
                </section>
            </div>
        </main>
    );
}

function Believed() {
    void second.value; // ticks
    const oldMs = performance.now() - askedMs.value;
    if (link.value !== "signed out" && oldMs < OLD_MS) {
        return null;
    }
    return (
        <p class="doubt" role="alert">
            {link.value === "signed out" ? "Signed out: this is not now" : `No connection: ${Math.round(oldMs / 1000)} s old`}
        </p>
    );
}

function Figure({ of, says, isBad = false }: { of: number | string; says: string; isBad?: boolean }) {
    return (
        <p class="figure" data-bad={isBad}>
            <b>{of}</b> {says}
        </p>
    );
}

function Row({ incident, now }: { incident: WallIncident; now: number }) {
    return (
        <li data-priority={incident.priority}>
            <span class="priority" data-priority={incident.priority}>
                P{incident.priority}
            </span>
            <b class="number">#{incident.number}</b>
            <span class="type">
                {incident.type_label}
                {incident.is_staged ? <em> staged</em> : null}
            </span>
            <span class="since">{timer((now - incident.opened_ms) / 1000)}</span>
            <span class="who">
                {incident.units.length === 0 ? (
                    <b class="nobody">Nobody sent</b>
                ) : (
                    incident.units.map((unit) => (
                        <span class="status" data-tone={tone(unit.status)} key={unit.call_sign}>
                            <Shape of={tone(unit.status)} /> {unit.call_sign} {unit.status_label.toLowerCase()} {timer((now - unit.since_ms) / 1000)}
                            {unit.is_acknowledged ? null : <b class="waiting">not acknowledged</b>}
                        </span>
                    ))
                )}
            </span>
        </li>
    );
}

function Tile({ unit, now }: { unit: WallUnit; now: number }) {
    return (
        <li data-tone={tone(unit.status)}>
            <Shape of={tone(unit.status)} />
            <b>{unit.call_sign}</b>
            <span class="since">{unit.status_ms > 0 ? timer((now - unit.status_ms) / 1000) : ""}</span>
            <span class="word">
                {unit.status_label}
                {unit.is_silent ? <em> no link</em> : null}
            </span>
        </li>
    );
}
