// Every unit, always in the same place in the list: what it does, where it heads, how old its position is, and who is
// aboard. Hundreds of rows stand here; a row is drawn again only when its own unit says something else.

import { type ReadonlySignal, computed, signal, useComputed } from "@preact/signals";
import { useRef } from "preact/hooks";
import { ageS, freshness } from "./reckon";
import { age, compass, milesPerHour, missing, tone } from "./say";
import { Section, Shape } from "./parts";
import type { Position, Unit } from "./shapes";
import { chosenUnit, dangers, positions, trailOf, units, words } from "./state";
import { Since, clockFor, useSeen } from "./ticking";
import { second } from "./time";

/** What somebody typed over the list: every word must be somewhere in what the row says. */
export const sieve = signal("");

export const shownUnits = computed<readonly Unit[]>(() => {
    const asked = sieve.value.toLowerCase().split(/\s+/).filter(Boolean);
    return asked.length === 0 ? units.value : units.value.filter((unit) => asked.every((word) => said(unit).includes(word)));
});

function said(unit: Unit): string {
    return `${unit.call_sign} ${unit.status_label} ${skillsOf(unit).join(" ")} ${languagesOf(unit).join(" ")}`.toLowerCase();
}

export interface Asks {
    look: (unit: string) => void;
    trail: (unit: string) => void;
}

export function Units({ asks }: { asks: Asks }) {
    const free = units.value.filter((unit) => unit.status === "available" && unit.kind !== "desk" && unit.crew.length > 0);
    const shown = shownUnits.value;
    const field = (
        <input
            type="search"
            id="sieve"
            class="sieve"
            value={sieve.value}
            placeholder="Show only …"
            aria-label="Show only units with these words"
            onInput={(event) => (sieve.value = event.currentTarget.value)}
            onKeyDown={leaveSieve}
        />
    );
    return (
        <Section title="Units" count={`${free.length} of ${units.value.length} available`} extra={field}>
            {shown.length === 0 ? <p class="empty">{sieve.value === "" ? "No units yet." : "No unit has all of these words."}</p> : null}
            <ul class="rows">
                {shown.map((unit) => (
                    <Row unit={unit} asks={asks} key={unit.unit} />
                ))}
            </ul>
        </Section>
    );
}

function leaveSieve(event: KeyboardEvent): void {
    if (event.key === "Escape" || event.key === "Enter") {
        event.preventDefault();
        if (event.key === "Escape") {
            sieve.value = "";
        }
        (event.currentTarget as HTMLInputElement).blur();
    }
}

function Row({ unit, asks }: { unit: Unit; asks: Asks }) {
    const here = useRef<HTMLLIElement>(null);
    const isSeen = useSeen(here);
    const isChosen = useComputed(() => chosenUnit.value === unit.unit).value;
    const position = useComputed(() => (isSeen.value ? positions.value : positions.peek()).get(unit.unit) ?? null);
    const danger = useComputed(() => dangers.value.get(unit.unit)).value;
    return (
        <li ref={here} class="unit">
            <button type="button" class="unit-row" data-tone={tone(unit.status)} data-unit={unit.unit} aria-pressed={isChosen} onClick={() => asks.look(unit.unit)}>
                <Shape of={tone(unit.status)} />
                <strong class="sign">{unit.call_sign}</strong>
                <span class="word">
                    {danger === undefined ? null : <b class="danger" data-danger={danger}>{danger === "test" ? "TEST" : "EMERGENCY"}</b>}
                    {unit.status_label}
                    {unit.status_skipped ? <em title="A step was skipped"> skipped</em> : null}
                </span>
                <Since ms={unit.status_ms} isSeen={isSeen} />
                <Heading position={position} />
                <Age unit={unit} position={position} isSeen={isSeen} />
                <Aboard unit={unit} />
                <Link unit={unit} isSeen={isSeen} />
                <Missing unit={unit} isSeen={isSeen} />
            </button>
            {isChosen ? <More unit={unit} position={position} asks={asks} /> : null}
        </li>
    );
}

/** Where it goes, as an arrow; nothing while it stands. */
function Heading({ position }: { position: ReadonlySignal<Position | null> }) {
    const way = useComputed(() => {
        const now = position.value;
        return now !== null && now.has_fix && (now.speed_mps ?? 0) > 1 && now.heading_deg !== null ? Math.round(now.heading_deg / 15) * 15 : null;
    }).value;
    if (way === null) {
        return <span class="heading" />;
    }
    return (
        <span class="heading" role="img" aria-label={`heading ${compass(way)}`} title={`Heading ${compass(way)}`}>
            <svg viewBox="0 0 16 16" aria-hidden="true">
                <path d="M8 1.5l4.6 12L8 10.8l-4.6 2.7z" transform={`rotate(${way} 8 8)`} />
            </svg>
        </span>
    );
}

function Age({ unit, position, isSeen }: { unit: Unit; position: ReadonlySignal<Position | null>; isSeen: ReadonlySignal<boolean> }) {
    if (unit.kind === "desk") {
        return <span class="fresh">desk</span>;
    }
    const now = clockFor(isSeen);
    const last = position.value;
    if (last === null || last.lat === null) {
        return (
            <span class="fresh" data-fresh="lost">
                {last === null ? "no position" : "no fix"}
            </span>
        );
    }
    return (
        <span class="fresh" data-fresh={freshness(last, now)} title={last.has_fix ? "Age of the position" : "The receiver has no fix"}>
            {last.has_fix ? "" : "no fix · "}
            {age(ageS(last, now))}
        </span>
    );
}

function Aboard({ unit }: { unit: Unit }) {
    if (unit.crew.length === 0) {
        return <span class="aboard">nobody signed on</span>;
    }
    const languages = languagesOf(unit);
    return (
        <span class="aboard">
            {languages.map((language) => (
                <b class="language" key={language}>
                    {language}
                </b>
            ))}
            {skillsOf(unit).join(" · ")}
        </span>
    );
}

function skillsOf(unit: Unit): string[] {
    const known = words.value?.skills;
    return [...(unit.has_sworn ? ["Sworn"] : []), ...unit.skills.map((code) => known?.[code] ?? code)];
}

function languagesOf(unit: Unit): string[] {
    const known = words.value?.languages;
    return unit.languages.filter((code) => code !== "eng").map((code) => known?.[code] ?? code);
}

function Link({ unit, isSeen }: { unit: Unit; isSeen: ReadonlySignal<boolean> }) {
    if (unit.device === null) {
        return <span class="linkless">no terminal</span>;
    }
    if (unit.presence === "connected") {
        return null;
    }
    const since = unit.presence_ms === null ? "" : ` ${age((clockFor(isSeen) - unit.presence_ms) / 1000)}`;
    return <span class="linkless">{unit.presence === "gone" ? `no link${since}` : "never linked"}</span>;
}

/** What its terminal recorded that is not here: said only where somebody may wait for it. */
function Missing({ unit, isSeen }: { unit: Unit; isSeen: ReadonlySignal<boolean> }) {
    if (unit.device === null || (unit.presence === "connected" ? unit.owed === 0 : !isAtWork(unit))) {
        return null;
    }
    return <span class="missing">{missing(unit, clockFor(isSeen))}</span>;
}

function isAtWork(unit: Unit): boolean {
    return unit.presence === "gone" && (unit.crew.length > 0 || unit.owed > 0 || unit.assignment !== null);
}

/** Under the chosen unit: who is aboard, how it moves, and what can be looked at. */
function More({ unit, position, asks }: { unit: Unit; position: ReadonlySignal<Position | null>; asks: Asks }) {
    void second.value; // ticks
    const last = position.value;
    const isMoving = last !== null && (last.speed_mps ?? 0) > 1 && last.heading_deg !== null;
    const isTrailed = trailOf.value === unit.unit;
    return (
        <div class="unit-more">
            <span>
                {unit.crew.map((who) => who.name).join(", ") || "Nobody signed on"}
                {last === null || last.lat === null
                    ? ""
                    : isMoving
                      ? ` · heading ${compass(last.heading_deg ?? 0)}, ${milesPerHour(last.speed_mps ?? 0)}`
                      : " · standing"}
            </span>
            <span class="spring" />
            {unit.kind === "desk" ? null : (
                <button type="button" class="quiet" aria-pressed={isTrailed} onClick={() => asks.trail(unit.unit)}>
                    Trail <kbd>t</kbd>
                </button>
            )}
        </div>
    );
}
