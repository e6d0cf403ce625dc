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
    type FitBoundsOptions,
    type GeoJSONSource,
    type LngLatBoundsLike,
    type StyleSpecification,
} from "maplibre-gl";
import type { Feature, Geometry } from "geojson";
import { Protocol } from "pmtiles";
import type { Theme } from "./look";
import { Crowd, type Face } from "./crowd";
import { MapLayers } from "./maplayers";
import { mapStyle } from "./mapstyle";
import { type Place, ageS, believed, freshness, nearbyM } from "./reckon";
import { age, tone } from "./say";
import type { Incident, Position, Streets, Unit } from "./shapes";
import type { Danger } from "./state";
import { symbol } from "./symbol";

const FRAME_MS = 66; // 15 pictures a second: smooth at street speeds, easy on a machine that draws without a GPU
const GLIDE = 0.35; // of the way to a corrected place per picture, so that an eye can follow
const MARKERS_MAX = 120; // more units than this are painted: each button that moves costs as much as a street
const CROWD_MS = 200; // five pictures a second of a fleet that is seen from afar
const SEEN_PX = 0.4; // less than this nobody sees
const JUMP_M = 120; // further than this is not a correction
const SHOWN_DRIFT_M = 12; // from here on a tail shows the place that was really reported
const LINES = "belief";
const TAIL_PX = 13; // half a face
const LINES_MS = 1000; // each time draws the whole map again; markers move without
const CLOSE_ZOOM = 15;
const START_ZOOM_MAX = 14.5;
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
    drawn: Place;
    looks: string;
}

export class StreetMap {
    readonly layers: MapLayers;
    private readonly map: MapLibre;
    private isDrawing = false;
    private readonly onMap = new Map<string, UnitOnMap>();
    private readonly shown = new Map<string, Place>(); // where each unit is drawn, as a button or painted
    private readonly crowd: Crowd;
    private crowdAt = -Infinity;
    private isCrowd = false;
    private readonly pins = new Map<string, { marker: Marker; looks: string }>();
    private draft: Marker | null = null;
    private units: Unit[] = [];
    private incidents: Incident[] = [];
    private positions: ReadonlyMap<string, Position> = new Map();
    private chosen: string | null = null;
    private dangers: ReadonlyMap<string, Danger> = new Map();
    private underway: (() => void) | null = null; // the animated move that somebody asked for, until it has ended
    private top = 0;
    private height = 0;
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
        this.crowd = new Crowd((place) => this.map.project([place.lon, place.lat]));
        this.map.on("move", () => this.isCrowd && this.paintCrowd());
        this.map.on("style.load", () => {
            this.addLines(this.theme);
            this.layers.install(this.theme);
        });
        this.top = container.getBoundingClientRect().top;
        this.height = container.clientHeight;
        this.map.on("resize", () => this.holdStill());
        this.map.on("moveend", () => {
            this.underway = null;
        });
        this.map.on("error", () => this.failed("The street map cannot be read. Units are still shown."));
        this.map.on("mousemove", ({ lngLat, point }) => {
            if (this.isDrawing) {
                this.asks.pointer({ lat: lngLat.lat, lon: lngLat.lng });
            } else if (this.isCrowd) {
                this.map.getCanvas().style.cursor = this.crowd.under(point.x, point.y) === null ? "" : "pointer";
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
            const unit = this.isCrowd ? this.crowd.under(event.point.x, event.point.y) : null;
            if (unit !== null) {
                this.asks.unit(unit);
                return;
            }
            const near = this.nameNear(event.point.x, event.point.y);
            this.asks.place({ lat: event.lngLat.lat, lon: event.lngLat.lng }, near, event.point.x);
        });
        this.map.once("load", () => {
            document.body.dataset.ready = "1";
        });
        // Asked for when something is to be drawn, not at each picture of the screen.
        const frame = (): void => {
            this.moveUnits();
            setTimeout(() => requestAnimationFrame(frame), FRAME_MS);
        };
        requestAnimationFrame(frame);
    }

    /** What there is to show. */
    show(units: Unit[], incidents: Incident[], positions: ReadonlyMap<string, Position>, chosen: string | null, dangers: ReadonlyMap<string, Danger>): void {
        this.dangers = dangers;
        if (units !== this.units) {
            const here = new Set(units.map((unit) => unit.unit));
            [...this.shown.keys()].filter((unit) => !here.has(unit)).forEach((unit) => this.shown.delete(unit));
        }
        this.units = units;
        this.incidents = incidents;
        this.positions = positions;
        this.chosen = chosen;
        this.showPins();
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
                this.fit(this.streets.bounds, { animate, padding: 20 });
            }
            return;
        }
        this.fit(bounds, { animate, padding: 90, maxZoom: START_ZOOM_MAX });
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
        this.fit(bounds, { animate: true, padding: RIM_PX * 2, maxZoom: this.map.getZoom() });
    }

    /** A person asked to see this place: it comes to the middle of what no card covers. */
    goTo(place: Place): void {
        const center: [number, number] = [place.lon, place.lat];
        const go = (): void => {
            this.map.easeTo({ center, zoom: Math.max(this.map.getZoom(), CLOSE_ZOOM), offset: [this.freeMiddle(), 0] });
        };
        requestAnimationFrame(() => this.move(go)); // a card that opens with it is there by then
    }

    private fit(bounds: LngLatBoundsLike, options: FitBoundsOptions): void {
        this.move(() => this.map.fitBounds(bounds, options));
    }

    /** What somebody asked for comes to its end, whatever becomes of the map's size meanwhile. */
    private move(asked: () => void): void {
        this.map.stop(); // ends the move before it, whose end must not be taken for the end of this one
        this.underway = asked;
        asked();
    }

    /** How far right of the map's middle the middle of its free part is, in pixels. */
    private freeMiddle(): number {
        const map = this.container.getBoundingClientRect();
        const card = this.container.parentElement?.querySelector(".card-over")?.getBoundingClientRect();
        if (card === undefined) {
            return 0;
        }
        return card.left - map.left > map.right - card.right ? (card.left - map.right) / 2 : (card.right - map.left) / 2;
    }

    /** Whether the unit is somewhere, and the map goes there. */
    goToUnit(unit: string): boolean {
        const shown = this.shown.get(unit);
        if (shown !== undefined) {
            this.goTo(shown);
        }
        return shown !== undefined;
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

    /** A person asked to see all of these places. */
    showPlaces(places: readonly Place[]): void {
        const bounds = new LngLatBounds();
        for (const place of places) {
            bounds.extend([place.lon, place.lat]);
        }
        if (!bounds.isEmpty()) {
            this.fit(bounds, { animate: true, padding: 90, maxZoom: CLOSE_ZOOM });
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
        this.crowd.retheme();
        this.crowdAt = -Infinity;
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

    /**
     * An emergency over the map pushes its top edge down: the streets stay where they are under the pointer. A move that
     * is under way is begun anew instead: holding still would end it on the way.
     */
    private holdStill(): void {
        const { top, height } = this.container.getBoundingClientRect();
        const pushed = top - this.top;
        if (this.underway !== null) {
            this.move(this.underway);
        } else if (pushed !== 0) {
            this.map.panBy([0, pushed + (height - this.height) / 2], { animate: false });
        }
        this.top = top;
        this.height = height;
    }

    private moveUnits(): void {
        const now = this.nowMs();
        const wasCrowd = this.isCrowd;
        this.isCrowd = this.units.length > MARKERS_MAX;
        const isCrowdDue = this.isCrowd && performance.now() - this.crowdAt >= CROWD_MS;
        const seenM = SEEN_PX * this.metersPerPixel();
        const present = new Set<string>();
        for (const unit of this.units) {
            const isPainted = this.isCrowd && !this.standsOut(unit.unit);
            const position = this.positions.get(unit.unit);
            if (position === undefined || unit.kind === "desk") {
                continue;
            }
            if (isPainted && !isCrowdDue) {
                continue;
            }
            const target = believed(position, now);
            if (target === null) {
                continue;
            }
            const at = this.glide(unit.unit, target);
            if (!isPainted) {
                present.add(unit.unit);
                this.moveUnit(unit, position, at, now, seenM);
            }
        }
        for (const [unit, gone] of this.onMap) {
            if (!present.has(unit)) {
                gone.marker.remove();
                this.onMap.delete(unit);
            }
        }
        if (this.isCrowd && !wasCrowd) {
            this.map.getCanvasContainer().append(this.crowd.canvas);
        }
        if (isCrowdDue || wasCrowd !== this.isCrowd) {
            this.paintCrowd();
        }
        if (performance.now() - this.linesAt > LINES_MS) {
            this.linesAt = performance.now();
            this.drawLines();
        }
    }

    /** Whoever matters now is a button, however many there are. */
    private standsOut(unit: string): boolean {
        return this.chosen === unit || this.dangers.has(unit);
    }

    private metersPerPixel(): number {
        const { lat } = this.map.getCenter();
        return (78_271.517 * Math.cos((lat * Math.PI) / 180)) / 2 ** this.map.getZoom();
    }

    /** Where the unit is drawn now: nearer to where it is believed to be, so that an eye can follow. */
    private glide(unit: string, target: Place): Place {
        const before = this.shown.get(unit);
        const next =
            before === undefined || nearbyM(before, target) > JUMP_M
                ? target
                : {
                      lat: before.lat + (target.lat - before.lat) * GLIDE,
                      lon: before.lon + (target.lon - before.lon) * GLIDE,
                  };
        this.shown.set(unit, next);
        return next;
    }

    private paintCrowd(): void {
        this.crowdAt = performance.now();
        const now = this.nowMs();
        const faces: Face[] = [];
        for (const unit of this.isCrowd ? this.units : []) {
            const at = this.shown.get(unit.unit);
            const position = this.positions.get(unit.unit);
            if (at !== undefined && position !== undefined && unit.kind !== "desk" && !this.standsOut(unit.unit)) {
                faces.push({ unit: unit.unit, callSign: unit.call_sign, tone: tone(unit.status), at, ...this.state(position, now) });
            }
        }
        this.crowd.draw(faces, this.container.clientWidth, this.container.clientHeight);
    }

    private state(position: Position, now: number): { fresh: string; heading: number | null; old: string | null } {
        const fresh = freshness(position, now);
        const isMoving = (position.speed_mps ?? 0) > 1 && position.heading_deg !== null;
        return {
            fresh,
            heading: isMoving ? Math.round(position.heading_deg ?? 0) : null,
            old: fresh === "stale" || fresh === "lost" ? age(ageS(position, now)) : null,
        };
    }

    private moveUnit(unit: Unit, position: Position, at: Place, now: number, seenM: number): void {
        const on = this.onMap.get(unit.unit) ?? this.addUnit(unit, at);
        if (nearbyM(on.drawn, at) > seenM) {
            on.drawn = at;
            on.marker.setLngLat([at.lon, at.lat]);
        }
        const { fresh, heading, old } = this.state(position, now);
        const looks = [unit.status, unit.call_sign, fresh, heading, old, this.chosen === unit.unit, this.dangers.get(unit.unit)].join();
        if (looks !== on.looks) {
            on.looks = looks;
            this.dress(on, unit, fresh, heading, old);
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
        const made: UnitOnMap = { marker, face, arrow, label, drawn: at, looks: "" };
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
        const tailM = Math.max(SHOWN_DRIFT_M, TAIL_PX * this.metersPerPixel()); // under a face there is none to see
        for (const [unit, shown] of this.shown) {
            const said = this.positions.get(unit);
            if (said !== undefined && said.lat !== null && said.lon !== null) {
                const place = { lat: said.lat, lon: said.lon };
                if (nearbyM(place, shown) > tailM) {
                    features.push(line("tail", place, shown));
                }
            }
        }
        for (const incident of this.incidents) {
            for (const sent of incident.assignments) {
                const from = this.shown.get(sent.unit);
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
