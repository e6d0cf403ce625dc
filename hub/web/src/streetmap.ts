// The street map, its units and its incidents. It never moves by itself after the first look, only when a person asks:
// a map that jumps while a dispatcher aims at a street sends help to the wrong one.

import {
    AttributionControl,
    LngLatBounds,
    Map as MapLibre,
    Marker,
    NavigationControl,
    ScaleControl,
    addProtocol,
    type GeoJSONSource,
    type StyleSpecification,
} from "maplibre-gl";
import type { Feature, Geometry } from "geojson";
import { Protocol } from "pmtiles";
import type { Theme } from "./look";
import { MapLayers } from "./maplayers";
import { mapStyle } from "./mapstyle";
import { type Place, ageS, believed, freshness, nearbyM } from "./reckon";
import { age, tone } from "./say";
import type { Incident, Position, Streets, Unit } from "./shapes";
import type { Danger } from "./state";
import { symbol } from "./symbol";

const FRAME_MS = 66; // 15 pictures a second: smooth at street speeds, easy on a machine that draws without a GPU
const GLIDE = 0.35; // of the way to a corrected place per picture, so that an eye can follow
const JUMP_M = 120; // further than this is not a correction
const STEP_PX = 0.4; // a step that no eye sees is not made: from afar hundreds of units stand still for most pictures
const TAIL_PX_MIN = 4; // a shorter tail lies under its marker
const SHOWN_DRIFT_M = 12; // from here on a tail shows the place that was really reported
const LINES = "belief";
const LINES_MS = 1000; // each time draws the whole map again; markers move without
const CLOSE_ZOOM = 15;
const START_ZOOM_MAX = 14.5;
const EQUATOR_M = 40_075_016.7;
const TILE_PX = 512; // of the whole earth at zoom 0
const NEAR_PX = 90;
const RIM_PX = 24; // nearer to the edge than this is not in sight

export interface Asks {
    /** Somebody clicked a place; `near` is what the map calls it. */
    place: (place: Place, near: string, x: number) => void;
    unit: (unit: string) => void;
    incident: (id: string, x: number) => void;
    /** Of a drawing: a corner was clicked, the pointer is somewhere, a double click. */
    corner: (place: Place) => void;
    pointer: (place: Place | null) => void;
    drawn: () => void;
}

interface UnitOnMap {
    marker: Marker;
    face: HTMLElement;
    arrow: HTMLElement;
    label: HTMLElement;
    shown: Place | null;
    /** Where the marker stands: never more than a step from `shown`. */
    stands: Place | null;
    looks: string;
}

export class StreetMap {
    readonly layers: MapLayers;
    private readonly map: MapLibre;
    private isDrawing = false;
    private readonly onMap = new Map<string, UnitOnMap>();
    private readonly pins = new Map<string, { marker: Marker; looks: string }>();
    private draft: Marker | null = null;
    private units: Unit[] = [];
    private incidents: Incident[] = [];
    private positions: ReadonlyMap<string, Position> = new Map();
    private chosen: string | null = null;
    private dangers: ReadonlyMap<string, Danger> = new Map();
    private top = 0;
    private height = 0;
    private drawnAt = 0;
    private pixelM = 1;
    private linesAt = 0;
    private linesDrawn = "";

    constructor(
        private readonly container: HTMLElement,
        private readonly streets: Streets,
        private theme: Theme,
        private readonly nowMs: () => number,
        private readonly asks: Asks,
        private readonly failed: (sentence: string) => void,
    ) {
        this.map = new MapLibre({
            container,
            style: this.style(theme),
            center: streets.center ?? [0, 20],
            zoom: streets.center === null ? 1.5 : 11,
            attributionControl: false,
            dragRotate: false,
            pitchWithRotate: false,
            touchPitch: false,
            fadeDuration: 0,
        });
        this.map.touchZoomRotate.disableRotation();
        this.map.keyboard.disableRotation();
        this.map.addControl(new ScaleControl({ unit: "imperial" }), "bottom-left");
        if (streets.tiles !== null) {
            this.map.addControl(new AttributionControl({ compact: false }), "bottom-right");
        }
        this.map.addControl(new NavigationControl({ showCompass: false }), "bottom-right");
        this.layers = new MapLayers(this.map, theme);
        this.map.on("style.load", () => {
            this.addLines(this.theme);
            this.layers.install(this.theme);
        });
        this.top = container.getBoundingClientRect().top;
        this.height = container.clientHeight;
        this.map.on("resize", () => this.holdStill());
        this.map.on("error", () => this.failed("The street map cannot be read. Units are still shown."));
        this.map.on("mousemove", ({ lngLat }) => {
            if (this.isDrawing) {
                this.asks.pointer({ lat: lngLat.lat, lon: lngLat.lng });
            }
        });
        this.map.on("mouseout", () => {
            if (this.isDrawing) {
                this.asks.pointer(null);
            }
        });
        this.map.on("dblclick", () => {
            if (this.isDrawing) {
                this.asks.drawn();
            }
        });
        this.map.on("click", (event) => {
            if (this.isDrawing) {
                this.asks.corner({ lat: event.lngLat.lat, lon: event.lngLat.lng });
                return;
            }
            const near = this.nameNear(event.point.x, event.point.y);
            this.asks.place({ lat: event.lngLat.lat, lon: event.lngLat.lng }, near, event.point.x);
        });
        this.map.once("load", () => {
            document.body.dataset.ready = "1";
        });
        const frame = (at: number): void => {
            if (at - this.drawnAt >= FRAME_MS) {
                this.drawnAt = at;
                this.moveUnits();
            }
            requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
    }

    /** What there is to show. */
    show(units: Unit[], incidents: Incident[], positions: ReadonlyMap<string, Position>, chosen: string | null, dangers: ReadonlyMap<string, Danger>): void {
        this.dangers = dangers;
        this.units = units;
        this.incidents = incidents;
        this.positions = positions;
        this.chosen = chosen;
        this.showPins(); // units move with the next picture: ten ticks a second are not ten pictures more
    }

    /** The first look: everything that is somewhere. */
    showAll(animate: boolean): void {
        const bounds = new LngLatBounds();
        for (const unit of this.units) {
            const position = this.positions.get(unit.unit);
            if (unit.kind !== "desk" && position && position.lat !== null && position.lon !== null) {
                bounds.extend([position.lon, position.lat]);
            }
        }
        for (const incident of this.incidents) {
            bounds.extend([incident.lon, incident.lat]);
        }
        if (bounds.isEmpty()) {
            if (this.streets.bounds !== null) {
                this.map.fitBounds(this.streets.bounds, { animate, padding: 20 });
            }
            return;
        }
        this.map.fitBounds(bounds, { animate, padding: 90, maxZoom: START_ZOOM_MAX });
    }

    /** Whether the place is in the picture now, and not under its rim. */
    shows(place: Place): boolean {
        const { x, y } = this.map.project([place.lon, place.lat]);
        const { clientWidth, clientHeight } = this.container;
        return x >= RIM_PX && y >= RIM_PX && x <= clientWidth - RIM_PX && y <= clientHeight - RIM_PX;
    }

    /** The picture as it is, made wide enough to hold these places too; it never comes nearer and never slides away. */
    widenTo(places: readonly Place[]): void {
        const bounds = this.map.getBounds();
        for (const place of places) {
            bounds.extend([place.lon, place.lat]);
        }
        this.map.fitBounds(bounds, { animate: true, padding: RIM_PX * 2, maxZoom: this.map.getZoom() });
    }

    /** A person asked to see this place. */
    goTo(place: Place): void {
        this.map.easeTo({ center: [place.lon, place.lat], zoom: Math.max(this.map.getZoom(), CLOSE_ZOOM) });
    }

    /** Whether the unit is somewhere, and the map goes there. */
    goToUnit(unit: string): boolean {
        const shown = this.onMap.get(unit)?.shown;
        if (shown) {
            this.goTo(shown);
        }
        return Boolean(shown);
    }

    /** What the map calls a place; "" when it is out of sight or has no name there. */
    near(place: Place): string {
        const { x, y } = this.map.project([place.lon, place.lat]);
        const { clientWidth, clientHeight } = this.container;
        return x >= 0 && y >= 0 && x <= clientWidth && y <= clientHeight ? this.nameNear(x, y) : "";
    }

    /** Where on the map a place is drawn, in pixels from the left, and how wide the map is. */
    across(place: Place): { x: number; width: number } {
        return { x: this.map.project([place.lon, place.lat]).x, width: this.container.clientWidth };
    }

    center(): { place: Place; near: string; x: number } {
        const { clientWidth, clientHeight } = this.container;
        const center = this.map.getCenter();
        const near = this.nameNear(clientWidth / 2, clientHeight / 2);
        return { place: { lat: center.lat, lon: center.lng }, near, x: clientWidth / 2 };
    }

    /** Clicks are corners of a drawing, or places again. */
    draw(isDrawing: boolean): void {
        this.isDrawing = isDrawing;
        if (isDrawing) {
            this.map.doubleClickZoom.disable();
            this.focus();
        } else {
            // not at once: the double click that ended it would still zoom
            setTimeout(() => !this.isDrawing && this.map.doubleClickZoom.enable(), 400);
        }
    }

    /** Arrow keys move the map from now on. */
    focus(): void {
        this.map.getCanvas().focus({ preventScroll: true });
    }

    /** The pin of an incident that is being written, or none. */
    showDraft(place: Place | null): void {
        this.draft?.remove();
        this.draft = null;
        if (place !== null) {
            const face = document.createElement("div");
            face.className = "draft-pin";
            this.draft = new Marker({ element: face }).setLngLat([place.lon, place.lat]).addTo(this.map);
        }
    }

    setTheme(theme: Theme): void {
        this.theme = theme;
        this.map.setStyle(this.style(theme), { diff: false });
    }

    private style(theme: Theme): StyleSpecification {
        if (this.streets.tiles !== null) {
            return mapStyle(theme, new URL(this.streets.tiles, location.href).href);
        }
        const land = theme === "day" ? "#e7e6e1" : "#12161b";
        return {
            version: 8,
            sources: {},
            layers: [{ id: "land", type: "background", paint: { "background-color": land } }],
        };
    }

    /** Lines from each unit to its incident, and tails from where it is believed to be to where it said it was. */
    private addLines(theme: Theme): void {
        if (this.map.getSource(LINES) !== undefined) {
            return;
        }
        const ink = theme === "day" ? "#1f5fbf" : "#7ab3ff";
        const under = this.map.getLayer("oneway") === undefined ? undefined : "oneway";
        this.map.addSource(LINES, { type: "geojson", data: { type: "FeatureCollection", features: [] } });
        this.map.addLayer(
            {
                id: "ties",
                type: "line",
                source: LINES,
                filter: ["==", ["get", "kind"], "tie"],
                layout: { "line-cap": "round" },
                paint: { "line-color": ink, "line-width": 2.5, "line-opacity": 0.55, "line-dasharray": [0.1, 2.2] },
            },
            under,
        );
        this.map.addLayer(
            {
                id: "tails",
                type: "line",
                source: LINES,
                filter: ["==", ["get", "kind"], "tail"],
                paint: { "line-color": theme === "day" ? "#3c444d" : "#b8c2cc", "line-width": 2, "line-opacity": 0.7 },
            },
            under,
        );
        this.linesAt = 0;
        this.linesDrawn = "";
    }

    /** An emergency over the map pushes its top edge down: the streets stay where they are under the pointer. */
    private holdStill(): void {
        const { top, height } = this.container.getBoundingClientRect();
        const pushed = top - this.top;
        if (pushed !== 0) {
            this.map.panBy([0, pushed + (height - this.height) / 2], { animate: false });
        }
        this.top = top;
        this.height = height;
    }

    private moveUnits(): void {
        const now = this.nowMs();
        this.pixelM = (EQUATOR_M * Math.cos((this.map.getCenter().lat * Math.PI) / 180)) / (TILE_PX * 2 ** this.map.getZoom());
        const present = new Set<string>();
        for (const unit of this.units) {
            const position = this.positions.get(unit.unit);
            const target = position === undefined || unit.kind === "desk" ? null : believed(position, now);
            if (position !== undefined && target !== null) {
                present.add(unit.unit);
                this.moveUnit(unit, position, target, now);
            }
        }
        for (const [unit, gone] of this.onMap) {
            if (!present.has(unit)) {
                gone.marker.remove();
                this.onMap.delete(unit);
            }
        }
        if (performance.now() - this.linesAt > LINES_MS) {
            this.linesAt = performance.now();
            this.drawLines();
        }
    }

    private moveUnit(unit: Unit, position: Position, target: Place, now: number): void {
        const on = this.onMap.get(unit.unit) ?? this.addUnit(unit, target);
        const before = on.shown;
        if (before === null || nearbyM(before, target) > JUMP_M) {
            on.shown = target;
        } else {
            on.shown = {
                lat: before.lat + (target.lat - before.lat) * GLIDE,
                lon: before.lon + (target.lon - before.lon) * GLIDE,
            };
        }
        if (on.stands === null || nearbyM(on.stands, on.shown) > this.pixelM * STEP_PX) {
            on.marker.setLngLat([on.shown.lon, on.shown.lat]);
            on.stands = on.shown;
        }
        const fresh = freshness(position, now);
        const seconds = ageS(position, now);
        const isMoving = (position.speed_mps ?? 0) > 1 && position.heading_deg !== null;
        const heading = isMoving ? Math.round(position.heading_deg ?? 0) : null;
        const isOld = fresh === "stale" || fresh === "lost";
        const looks = [unit.status, unit.call_sign, fresh, heading, isOld ? age(seconds) : "", this.chosen === unit.unit, this.dangers.get(unit.unit)].join();
        if (looks !== on.looks) {
            on.looks = looks;
            this.dress(on, unit, fresh, heading, isOld ? age(seconds) : null);
        }
    }

    private addUnit(unit: Unit, at: Place): UnitOnMap {
        const face = document.createElement("button");
        face.type = "button";
        face.className = "unit-marker";
        face.dataset.unit = unit.unit;
        const inner = document.createElement("span");
        inner.className = "face";
        const arrow = document.createElement("span");
        arrow.className = "arrow";
        const badge = document.createElement("span");
        badge.className = "badge";
        const label = document.createElement("span");
        label.className = "sign";
        inner.append(arrow, badge, label);
        face.append(inner);
        face.addEventListener("click", (event) => {
            event.stopPropagation();
            this.asks.unit(unit.unit);
        });
        const marker = new Marker({ element: face }).setLngLat([at.lon, at.lat]).addTo(this.map);
        const made: UnitOnMap = { marker, face, arrow, label, shown: null, stands: null, looks: "" };
        this.onMap.set(unit.unit, made);
        return made;
    }

    private dress(on: UnitOnMap, unit: Unit, fresh: string, heading: number | null, old: string | null): void {
        on.face.dataset.tone = tone(unit.status);
        on.face.dataset.fresh = fresh;
        const danger = this.dangers.get(unit.unit);
        on.face.dataset.danger = danger ?? "";
        on.face.classList.toggle("chosen", this.chosen === unit.unit);
        on.arrow.hidden = heading === null;
        on.arrow.style.transform = `rotate(${heading ?? 0}deg)`;
        on.face.querySelector(".badge")?.replaceChildren(symbol(tone(unit.status)));
        on.label.textContent = old === null ? unit.call_sign : `${unit.call_sign} · ${old}`;
        const alarm = danger === undefined ? "" : danger === "test" ? "TEST, " : "EMERGENCY, ";
        on.face.setAttribute("aria-label", `${alarm}${on.label.textContent}${old === null ? "" : " old"}, ${unit.status_label}`);
    }

    private showPins(): void {
        const present = new Set(this.incidents.map((incident) => incident.id));
        for (const [id, pin] of this.pins) {
            if (!present.has(id)) {
                pin.marker.remove();
                this.pins.delete(id);
            }
        }
        for (const incident of this.incidents) {
            const looks = `${incident.number},${incident.priority},${incident.place}`;
            const pin = this.pins.get(incident.id);
            if (pin === undefined) {
                this.pins.set(incident.id, { marker: this.addPin(incident), looks });
            } else if (pin.looks !== looks) {
                pin.marker.setLngLat([incident.lon, incident.lat]);
                pin.looks = looks;
            }
        }
    }

    private addPin(incident: Incident): Marker {
        const face = document.createElement("button");
        face.type = "button";
        face.className = "incident-pin";
        face.dataset.priority = String(incident.priority);
        const flag = document.createElement("span");
        flag.textContent = `#${incident.number}`;
        face.append(flag);
        face.setAttribute("aria-label", `#${incident.number}, priority ${incident.priority}, ${incident.type_label}`);
        face.addEventListener("click", (event) => {
            event.stopPropagation();
            this.asks.incident(incident.id, this.map.project([incident.lon, incident.lat]).x);
        });
        return new Marker({ element: face, anchor: "bottom" }).setLngLat([incident.lon, incident.lat]).addTo(this.map);
    }

    private drawLines(): void {
        const source = this.map.getSource<GeoJSONSource>(LINES);
        if (source === undefined) {
            return;
        }
        const line = (kind: string, from: Place, to: Place): Feature => ({
            type: "Feature",
            properties: { kind },
            geometry: {
                type: "LineString",
                coordinates: [
                    [from.lon, from.lat],
                    [to.lon, to.lat],
                ],
            },
        });
        const features: Feature[] = [];
        for (const [unit, on] of this.onMap) {
            const said = this.positions.get(unit);
            if (on.shown !== null && said !== undefined && said.lat !== null && said.lon !== null) {
                const place = { lat: said.lat, lon: said.lon };
                if (nearbyM(place, on.shown) > Math.max(SHOWN_DRIFT_M, this.pixelM * TAIL_PX_MIN)) {
                    features.push(line("tail", place, on.shown));
                }
            }
        }
        for (const incident of this.incidents) {
            for (const sent of incident.assignments) {
                const from = this.onMap.get(sent.unit)?.shown;
                if (sent.released_ms === null && from) {
                    features.push(line("tie", from, incident));
                }
            }
        }
        const drawn = JSON.stringify(features);
        if (drawn !== this.linesDrawn) {
            this.linesDrawn = drawn;
            source.setData({ type: "FeatureCollection", features });
        }
    }

    /** "Meadow Road at Union Boulevard": the nearest named streets as they are drawn, "" when there is none. */
    private nameNear(x: number, y: number): string {
        if (this.map.getLayer("road") === undefined) {
            return "";
        }
        const box: [[number, number], [number, number]] = [
            [x - NEAR_PX, y - NEAR_PX],
            [x + NEAR_PX, y + NEAR_PX],
        ];
        const best = new Map<string, number>();
        for (const feature of this.map.queryRenderedFeatures(box, { layers: ["road-name"] })) {
            const name: unknown = feature.properties.name;
            if (typeof name === "string" && name !== "") {
                best.set(name, Math.min(best.get(name) ?? Infinity, this.pixelsTo(feature.geometry, x, y)));
            }
        }
        const [first, second] = [...best].sort((a, b) => a[1] - b[1]).map(([name]) => name);
        return first === undefined ? "" : second === undefined ? first : `${first} near ${second}`;
    }

    private pixelsTo(geometry: Geometry, x: number, y: number): number {
        const lines =
            geometry.type === "LineString"
                ? [geometry.coordinates]
                : geometry.type === "MultiLineString"
                  ? geometry.coordinates
                  : [];
        let least = Infinity;
        for (const line of lines) {
            const points = line.map((at) => this.map.project([at[0] ?? 0, at[1] ?? 0]));
            for (let i = 1; i < points.length; i++) {
                const [a, b] = [points[i - 1], points[i]];
                if (a && b) {
                    least = Math.min(least, toSegment(x, y, a.x, a.y, b.x, b.y));
                }
            }
        }
        return least;
    }
}

/** Once, before the first map. */
export function prepareMaps(): void {
    addProtocol("pmtiles", new Protocol({ metadata: true }).tile);
}

function toSegment(x: number, y: number, ax: number, ay: number, bx: number, by: number): number {
    const length = (bx - ax) ** 2 + (by - ay) ** 2;
    const along = length === 0 ? 0 : Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length));
    return Math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay));
}
