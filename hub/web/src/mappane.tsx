// The map beside the board, and the card over it: on the side away from the place it is about.

import { effect } from "@preact/signals";
import { map as mapActs } from "./acts";
import { useEffect, useRef } from "preact/hooks";
import { addCorner, byKeys, endDrawing, pointAt, sketch, standing, watchDrawing } from "./closures";
import { covered, watchCoverage } from "./coverage";
import { IncidentCard } from "./incidentcard";
import { theme } from "./look";
import { mapDoes } from "./mapdoes";
import { MapTools } from "./maptools";
import { NewIncident } from "./newincident";
import {
    type Side,
    card,
    chosenUnit,
    dangers,
    drawing,
    hasSnapshot,
    incidents,
    mayDispatch,
    positions,
    streets,
    trouble,
    units,
} from "./state";
import { StreetMap, prepareMaps } from "./streetmap";
import { hubNowMs } from "./time";
import { trail, watchTrail } from "./trail";
import { showUnseen, unseen } from "./view";

const CARD_PX = 400;

/** The one map of this page, for the parts that ask it to go somewhere. */
export const shown: { map: StreetMap | null } = { map: null };

export function MapPane() {
    const here = useRef<HTMLDivElement>(null);
    const isReady = hasSnapshot.value && streets.value !== null;
    useEffect(() => {
        if (isReady && here.current !== null && shown.map === null) {
            shown.map = begin(here.current);
        }
    }, [isReady]);
    const open = card.value;
    return (
        <main class="map-pane" data-drawing={drawing.value}>
            <div class="map" ref={here} role="application" aria-label="Street map. Arrow keys move it, plus and minus zoom." />
            {streets.value !== null && streets.value.tiles === null ? <p class="no-map">{streets.value.message}</p> : null}
            {trouble.value === null ? null : (
                <p class="map-trouble" role="status">
                    {trouble.value}
                </p>
            )}
            <div class="over-map">
                <button type="button" class="see-all" onClick={() => shown.map?.showAll(true)}>
                    Show all
                </button>
                <Unseen />
            </div>
            <MapTools />
            {open.kind === "none" ? null : (
                <aside class="card-over" data-side={open.side} aria-label={open.kind === "new" ? "New incident" : "Incident"}>
                    {open.kind === "new" ? <NewIncident {...open} /> : <IncidentCard id={open.id} />}
                </aside>
            )}
        </main>
    );
}

/** What came up where the map does not look, for whoever is at work with it. */
function Unseen() {
    const some = unseen.value;
    return some.length === 0 ? null : (
        <button type="button" class="unseen" onClick={showUnseen}>
            {some.map((one) => `#${one.number}`).join(", ")} out of sight: show
        </button>
    );
}

export function awayFrom(x: number, width: number): Side {
    return x > width - CARD_PX - 60 ? "left" : "right";
}

function begin(container: HTMLElement): StreetMap {
    prepareMaps();
    const description = streets.value;
    if (description === null) {
        throw new Error("a map without a description");
    }
    const map = new StreetMap(
        container,
        description,
        theme.value,
        hubNowMs,
        {
            place: (place, near, x) => {
                if (mayDispatch.value) {
                    card.value = { kind: "new", ...place, near, side: awayFrom(x, container.clientWidth) };
                }
            },
            unit: (unit) => {
                chosenUnit.value = chosenUnit.value === unit ? null : unit;
            },
            incident: (id, x) => {
                card.value = { kind: "incident", id, side: awayFrom(x, container.clientWidth) };
            },
            corner: addCorner,
            pointer: (place) => {
                byKeys.value = false;
                pointAt(place);
            },
            drawn: () => void endDrawing(),
        },
        (sentence) => {
            trouble.value = sentence;
        },
    );
    effect(() => map.show(units.value, incidents.value, positions.value, chosenUnit.value, dangers.value));
    map.showAll(false);
    let before = theme.peek();
    effect(() => {
        if (theme.value !== before) {
            before = theme.value;
            map.setTheme(theme.value);
        }
    });
    mapActs.goTo = (place) => map.goTo(place);
    mapActs.sideFor = (place) => {
        const { x, width } = map.across(place);
        return awayFrom(x, width);
    };
    mapDoes.showPlaces = (places) => map.showPlaces(places);
    mapDoes.focus = () => map.focus();
    mapDoes.center = () => map.center().place;
    effect(() => map.layers.showClosures(standing.value));
    effect(() => map.layers.showReach(covered.value));
    effect(() => map.layers.showTrail(trail.value));
    effect(() => map.layers.showSketch(drawing.value ? sketch.value : null));
    effect(() => map.draw(drawing.value));
    watchCoverage();
    watchTrail();
    watchDrawing();
    effect(() => map.showDraft(card.value.kind === "new" ? { lat: card.value.lat, lon: card.value.lon } : null));
    return map;
}
