// Over the map: what can be laid on it, what lies on it now and from when that is, and the drawing of a closed road.

import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { sentence } from "./api";
import {
    HOURS,
    RADII_M,
    REASONS,
    type Shape,
    addCorner,
    beginDrawing,
    byKeys,
    chooseShape,
    closeRoad,
    hasEnough,
    isListed,
    leaveDrawing,
    openAgain,
    placesFor,
    sketch,
    standing,
    takeBack,
} from "./closures";
import { covered, whyNone } from "./coverage";
import { mapDoes } from "./mapdoes";
import { age, clock, feet } from "./say";
import type { Closure } from "./shapes";
import { coverage, drawing, me, trailOf, wall } from "./state";
import { second } from "./time";
import { trail } from "./trail";

const HOUR_MS = 3_600_000;

/** A supervisor may close a road too. */
export const mayClose = (): boolean => me.value?.role === "dispatcher" || me.value?.role === "supervisor";

export function MapTools() {
    const count = standing.value.length;
    if (wall.value) {
        return null;
    }
    return (
        <>
            <div class="map-tools" hidden={drawing.value}>
                <button type="button" aria-pressed={coverage.value} onClick={() => (coverage.value = !coverage.value)}>
                    Coverage
                </button>
                <button type="button" aria-pressed={isListed.value || drawing.value} aria-expanded={isListed.value} onClick={() => (drawing.value ? leaveDrawing() : (isListed.value = !isListed.value))}>
                    Closed roads{count === 0 ? "" : ` · ${count}`}
                </button>
            </div>
            {drawing.value ? <Drawing /> : isListed.value ? <List /> : null}
            <div class="map-legends">
                {trailOf.value === null ? null : <TrailLegend />}
                {coverage.value ? <CoverageLegend /> : null}
            </div>
            {drawing.value && byKeys.value && !sketch.value.isDrawn ? <div class="map-cross" aria-hidden="true" /> : null}
        </>
    );
}

// --- closed roads ----------------------------------------------------------------------------------------------------

function List() {
    const some = standing.value;
    return (
        <section class="map-sheet" aria-label="Closed roads">
            <header>
                <h2>Closed roads</h2>
                <span class="spring" />
                {mayClose() ? (
                    <button type="button" class="quiet" onClick={() => beginDrawing()}>
                        Close a road<kbd>x</kbd>
                    </button>
                ) : null}
                <button type="button" class="quiet" aria-label="Close this list" onClick={() => (isListed.value = false)}>
                    ✕
                </button>
            </header>
            {some.length === 0 ? <p class="soft">No road is closed.</p> : null}
            <ul>
                {some.map((one) => (
                    <Row key={one.id} closure={one} />
                ))}
            </ul>
        </section>
    );
}

function Row({ closure }: { closure: Closure }) {
    const isSure = useSignal(false);
    const now = second.value;
    const left = closure.until_ms === null ? "until somebody opens it" : `until ${clock(closure.until_ms)}, ${age((closure.until_ms - now) / 1000)} left`;
    return (
        <li>
            <button type="button" class="link" onClick={() => mapDoes.showPlaces(closure.rings.flat().map(([lon, lat]) => ({ lat, lon })))}>
                {closure.reason}
            </button>
            <small>
                {left} · {closure.by}, {age((now - closure.since_ms) / 1000)} ago
            </small>
            {mayClose() ? (
                <button
                    type="button"
                    class={isSure.value ? "sure" : "quiet"}
                    onBlur={() => (isSure.value = false)}
                    onClick={() => (isSure.value ? void openAgain(closure) : (isSure.value = true))}
                >
                    {isSure.value ? "Yes, it is open" : "Open again"}
                </button>
            ) : null}
        </li>
    );
}

const SHAPES: [Shape, string, string][] = [
    ["area", "Area", "Click its corners, one after the other."],
    ["street", "Street", "Click along the street."],
    ["spot", "Spot", "Click the place."],
];

function Drawing() {
    const drawn = sketch.value;
    const reason = useSignal("");
    const hours = useSignal<number | null>(4);
    const wrong = useSignal<string | null>(null);
    const field = useRef<HTMLInputElement>(null);
    // before the next picture: whoever goes on typing at once loses no letter
    useLayoutEffect(() => {
        if (drawn.isDrawn) {
            field.current?.focus();
        }
    }, [drawn.isDrawn]);
    const send = async (): Promise<void> => {
        if (!hasEnough(drawn)) {
            wrong.value = drawn.shape === "area" ? "Click at least three corners first." : "Click where it is first.";
            return;
        }
        if (reason.value.trim() === "") {
            wrong.value = "Say why the road is closed: it stands on everybody's map.";
            field.current?.focus();
            return;
        }
        try {
            await closeRoad(reason.value.trim(), hours.value === null ? null : Math.round(second.peek() + hours.value * HOUR_MS));
            mapDoes.focus();
        } catch (no) {
            wrong.value = sentence(no);
        }
    };
    const hint = SHAPES.find(([shape]) => shape === drawn.shape)?.[2] ?? "";
    return (
        <form
            class="map-sheet drawing"
            aria-label="Close a road"
            onSubmit={(event) => {
                event.preventDefault();
                void send();
            }}
        >
            <header>
                <h2>Close a road</h2>
                <span class="spring" />
                <button type="button" class="quiet" onClick={leaveDrawing}>
                    Leave<kbd>Esc</kbd>
                </button>
            </header>
            <div class="chips" role="group" aria-label="What is closed">
                {SHAPES.map(([shape, name]) => (
                    <button
                        key={shape}
                        type="button"
                        class="chip"
                        aria-pressed={drawn.shape === shape}
                        onClick={() => {
                            chooseShape(shape);
                            mapDoes.focus();
                        }}
                    >
                        {name}
                    </button>
                ))}
            </div>
            <p class="hint">
                {hint} {drawn.shape === "spot" ? null : <>Enter or a double click ends.</>} By keys: arrows move the map, Space takes its middle.
            </p>
            <AtAddress />
            {drawn.shape === "area" ? null : (
                <label>
                    How far it reaches
                    <select value={drawn.radiusM} onChange={(event) => (sketch.value = { ...sketch.value, radiusM: Number(event.currentTarget.value) })}>
                        {RADII_M.map((meters) => (
                            <option key={meters} value={meters}>
                                {feet(meters)}
                            </option>
                        ))}
                    </select>
                </label>
            )}
            <p class="corners" role="status">
                {drawn.corners.length === 0 ? "Nothing drawn yet." : drawn.shape === "spot" ? "The place is set." : `${drawn.corners.length} ${drawn.shape === "area" ? "corners" : "points"}.`}
                {drawn.corners.length > 0 && drawn.shape !== "spot" ? (
                    <button type="button" class="link" onClick={takeBack}>
                        Take the last back<kbd>⌫</kbd>
                    </button>
                ) : null}
            </p>
            <label>
                Why
                <input ref={field} value={reason.value} maxLength={120} onInput={(event) => (reason.value = event.currentTarget.value)} />
            </label>
            <div class="chips" role="group" aria-label="Usual reasons">
                {REASONS.map((one) => (
                    <button key={one} type="button" class="chip" aria-pressed={reason.value === one} onClick={() => (reason.value = one)}>
                        {one}
                    </button>
                ))}
            </div>
            <div class="chips" role="group" aria-label="For how long">
                {HOURS.map((one) => (
                    <button key={one} type="button" class="chip" aria-pressed={hours.value === one} onClick={() => (hours.value = one)}>
                        {one} h
                    </button>
                ))}
                <button type="button" class="chip" aria-pressed={hours.value === null} onClick={() => (hours.value = null)}>
                    Until opened
                </button>
            </div>
            {wrong.value === null ? null : (
                <p class="refused" role="alert">
                    {wrong.value}
                </p>
            )}
            <button type="submit" class="primary">
                Close the road
            </button>
        </form>
    );
}

/** A corner, or the place itself, by its address. */
function AtAddress() {
    const text = useSignal("");
    const found = useSignal<{ name: string; around: string; lat: number; lon: number }[]>([]);
    const none = useSignal<string | null>(null);
    const look = async (): Promise<void> => {
        if (text.value.trim() === "") {
            return;
        }
        try {
            found.value = await placesFor(text.value.trim());
            none.value = found.value.length === 0 ? "The map knows no such place." : null;
        } catch (no) {
            found.value = [];
            none.value = sentence(no);
        }
    };
    return (
        <>
            <label>
                Or at an address
                <input
                    value={text.value}
                    autocomplete="off"
                    onInput={(event) => (text.value = event.currentTarget.value)}
                    onKeyDown={(event) => {
                        if (event.key === "Enter") {
                            event.preventDefault();
                            void look();
                        }
                    }}
                />
            </label>
            {none.value === null ? null : <p class="soft">{none.value}</p>}
            {found.value.length === 0 ? null : (
                <ul class="found">
                    {found.value.map((one) => (
                        <li key={`${one.lat} ${one.lon} ${one.name}`}>
                            <button
                                type="button"
                                class="quiet"
                                onClick={() => {
                                    if (sketch.value.corners.length === 0) {
                                        chooseShape("spot");
                                    }
                                    mapDoes.showPlaces([one]);
                                    addCorner({ lat: one.lat, lon: one.lon });
                                    found.value = [];
                                    text.value = "";
                                }}
                            >
                                {one.name} <small>{one.around}</small>
                            </button>
                        </li>
                    ))}
                </ul>
            )}
        </>
    );
}

// --- what lies on the map --------------------------------------------------------------------------------------------

function CoverageLegend() {
    const shown = covered.value;
    return (
        <section class="map-legend" aria-label="Coverage">
            <header>
                <h2>Coverage</h2>
                <span class="soft">{shown === null ? "" : `as of ${clock(shown.at_ms, true)}`}</span>
                <span class="spring" />
                <button type="button" class="quiet" aria-label="Hide the coverage" onClick={() => (coverage.value = false)}>
                    ✕
                </button>
            </header>
            {shown === null ? (
                <p role="status">{whyNone.value ?? "Working it out …"}</p>
            ) : (
                <>
                    <ul class="bands">
                        {shown.minutes.map((minutes, band) => (
                            <li key={minutes} data-band={band}>
                                {minutes} min
                            </li>
                        ))}
                    </ul>
                    <p>
                        {shown.counted.length === 0 ? "No unit is free with a position that can be believed." : `By road from ${shown.counted.map((one) => one.call_sign).join(", ")}.`}
                        {shown.closures === 0 ? "" : ` Around ${shown.closures === 1 ? "one closure" : `${shown.closures} closures`}.`}
                    </p>
                    {shown.left_out.length === 0 ? null : <p class="soft">Not counted: {shown.left_out.map((one) => `${one.call_sign} (${one.why})`).join(", ")}.</p>}
                    {whyNone.value === null ? null : <p class="soft">{whyNone.value}</p>}
                </>
            )}
        </section>
    );
}

function TrailLegend() {
    const shown = trail.value;
    const end = shown?.pieces.at(-1)?.at(-1);
    const points = shown?.pieces.reduce((sum, piece) => sum + piece.length, 0) ?? 0;
    return (
        <section class="map-legend" aria-label="Trail">
            <header>
                <h2>{shown === null ? "Trail" : `Trail of ${shown.call_sign}`}</h2>
                <span class="soft">{shown === null ? "" : `last ${shown.minutes} min`}</span>
                <span class="spring" />
                <button type="button" class="quiet" aria-label="Hide the trail" onClick={() => (trailOf.value = null)}>
                    ✕
                </button>
            </header>
            {shown === null ? (
                <p role="status">Asking for it …</p>
            ) : points < 2 ? (
                <p>The hub has no way of this unit for the last {shown.minutes} minutes. It comes with the unit's records.</p>
            ) : (
                <p>
                    {end === undefined ? "" : `Newest point ${age((second.value - end.at_ms) / 1000)} old.`}
                    {shown.pieces.length > 1 ? " Dashed: nothing is known of the way." : ""}
                    {shown.dropped > 0 ? ` ${shown.dropped} points were thinned away aboard.` : ""}
                    <button type="button" class="link" onClick={() => mapDoes.showPlaces(shown.pieces.flat())}>
                        Show all of it
                    </button>
                </p>
            )}
        </section>
    );
}
