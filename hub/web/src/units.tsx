// Every unit, always in the same place in the list.

import { ageS, freshness } from "./reckon";
import { age, missing, timer, tone } from "./say";
import { Section, Shape } from "./parts";
import type { Position, Unit } from "./shapes";
import { chosenUnit, dangers, positions, units, words } from "./state";
import { second } from "./time";

export function Units({ look }: { look: (unit: string) => void }) {
    const free = units.value.filter((unit) => unit.status === "available" && unit.kind !== "desk" && unit.crew.length > 0);
    return (
        <Section title="Units" count={`${free.length} available`}>
            <ul class="rows">
                {units.value.map((unit) => (
                    <Row unit={unit} look={look} key={unit.unit} />
                ))}
            </ul>
        </Section>
    );
}

function Row({ unit, look }: { unit: Unit; look: (unit: string) => void }) {
    const now = second.value;
    const position = positions.value.get(unit.unit) ?? null;
    const danger = dangers.value.get(unit.unit);
    return (
        <li>
            <button
                type="button"
                class="unit-row"
                data-tone={tone(unit.status)}
                data-unit={unit.unit}
                aria-pressed={chosenUnit.value === unit.unit}
                onClick={() => look(unit.unit)}
            >
                <Shape of={tone(unit.status)} />
                <strong class="sign">{unit.call_sign}</strong>
                <span class="word">
                    {danger === undefined ? null : <b class="danger" data-danger={danger}>{danger === "test" ? "TEST" : "EMERGENCY"}</b>}
                    {unit.status_label}
                    {unit.status_skipped ? <em title="A step was skipped"> skipped</em> : null}
                </span>
                <span class="since">{unit.status_ms > 0 ? timer((now - unit.status_ms) / 1000) : ""}</span>
                <Age unit={unit} position={position} now={now} />
                <span class="aboard">{aboard(unit)}</span>
                <Link unit={unit} now={now} />
                <Missing unit={unit} now={now} />
            </button>
        </li>
    );
}

function Age({ unit, position, now }: { unit: Unit; position: Position | null; now: number }) {
    if (unit.kind === "desk") {
        return <span class="fresh">desk</span>;
    }
    if (position === null || position.lat === null) {
        return <span class="fresh" data-fresh="lost">{position === null ? "no position" : "no fix"}</span>;
    }
    const fresh = freshness(position, now);
    return (
        <span class="fresh" data-fresh={fresh} title={position.has_fix ? "Age of the position" : "The receiver has no fix"}>
            {position.has_fix ? "" : "no fix · "}
            {age(ageS(position, now))}
        </span>
    );
}

function Link({ unit, now }: { unit: Unit; now: number }) {
    if (unit.device === null) {
        return <span class="linkless">no terminal</span>;
    }
    if (unit.presence === "connected") {
        return null;
    }
    const since = unit.presence_ms === null ? "" : ` ${age((now - unit.presence_ms) / 1000)}`;
    return <span class="linkless">{unit.presence === "gone" ? `no link${since}` : "never linked"}</span>;
}

/** What its terminal recorded that is not here: said only where somebody may wait for it. */
function Missing({ unit, now }: { unit: Unit; now: number }) {
    if (unit.device === null || (unit.presence === "connected" ? unit.owed === 0 : !isAtWork(unit))) {
        return null;
    }
    return <span class="missing">{missing(unit, now)}</span>;
}

function isAtWork(unit: Unit): boolean {
    return unit.presence === "gone" && (unit.crew.length > 0 || unit.owed > 0 || unit.assignment !== null);
}

function aboard(unit: Unit): string {
    if (unit.crew.length === 0) {
        return "nobody signed on";
    }
    const known = words.value;
    const skills = unit.skills.map((code) => known?.skills[code] ?? code);
    const languages = unit.languages.filter((code) => code !== "eng").map((code) => known?.languages[code] ?? code);
    return [unit.has_sworn ? "Sworn" : null, ...skills, ...languages].filter(Boolean).join(" · ");
}
