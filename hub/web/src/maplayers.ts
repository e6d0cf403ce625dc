// What lies on the street map besides units and incidents: closed roads, how far units come, where one was, and what
// somebody draws. Each is told by a pattern or a line of its own and by words, never by color alone.

import type { Feature, Geometry, Position as LonLat } from "geojson";
import type { GeoJSONSource, LineLayerSpecification, Map as MapLibre } from "maplibre-gl";
import { type Sketch, middleOf } from "./closures";
import { type Ring, ringsAround } from "./ground";
import type { Theme } from "./look";
import { PLAIN, STRONG } from "./mapstyle";
import type { Place } from "./reckon";
import { clock } from "./say";
import type { Closure, Coverage, Trail } from "./shapes";

interface Ink {
    closed: string;
    onClosed: string;
    reach: string;
    trail: string;
    halo: string;
    draw: string;
}

const INKS: Record<Theme, Ink> = {
    day: { closed: "#7a3f00", onClosed: "#ffffff", reach: "#0b6a7c", trail: "#31204f", halo: "#f8f7f4", draw: "#1d4f86" },
    night: { closed: "#ffb454", onClosed: "#221400", reach: "#62d2e0", trail: "#e3d6ff", halo: "#0b0e12", draw: "#8fc0ff" },
};

const CLOSED = "closed";
const REACH = "reach";
const TRAIL = "trail";
const DRAWN = "drawn";
const HATCH_PX = 24;
const SIGN_PX = 44;
const STAMP_MS = 5 * 60_000; // a time beside the trail for each
const NAMED_HOLE_MS = 2 * 60_000; // a record of the way comes a minute after it: that much is not unknown but not here yet
const DASHES: readonly (readonly number[] | null)[] = [null, [3, 1.6], [0.8, 1.8]]; // the nearest area first: solid, dashed, dotted

const NOTHING = { type: "FeatureCollection" as const, features: [] as Feature[] };

export class MapLayers {
    private closures: readonly Closure[] = [];
    private reach: Coverage | null = null;
    private trail: Trail | null = null;
    private sketch: Sketch | null = null;

    constructor(
        private readonly map: MapLibre,
        private theme: Theme,
    ) {}

    /** A new style has none of this. */
    install(theme: Theme): void {
        this.theme = theme;
        if (this.map.getSource(CLOSED) !== undefined) {
            return;
        }
        this.map.addImage("closed-hatch", hatch(INKS[theme].closed), { pixelRatio: 2 });
        this.map.addImage("closed-sign", sign(INKS[theme].closed, INKS[theme].onClosed), { pixelRatio: 2 });
        for (const source of [REACH, CLOSED, TRAIL, DRAWN]) {
            this.map.addSource(source, { type: "geojson", data: NOTHING });
        }
        this.addReach();
        this.addClosed();
        this.addTrail();
        this.addDrawn();
        this.showClosures(this.closures);
        this.showReach(this.reach);
        this.showTrail(this.trail);
        this.showSketch(this.sketch);
    }

    showClosures(closures: readonly Closure[]): void {
        this.closures = closures;
        this.put(CLOSED, closures.flatMap(closedFeatures));
    }

    showReach(reach: Coverage | null): void {
        this.reach = reach;
        const bands = [...new Set(reach?.areas.map((area) => area.minutes))].sort((a, b) => a - b);
        const areas = reach?.areas ?? [];
        this.put(
            REACH,
            areas.flatMap((area) => [
                feature({ type: "Polygon", coordinates: area.rings }, { band: bands.indexOf(area.minutes) }),
                ...ends(area.rings[0] ?? []).map((at) => feature({ type: "Point", coordinates: at }, { name: `${area.minutes} min` })),
            ]),
        );
    }

    showTrail(trail: Trail | null): void {
        this.trail = trail;
        this.put(TRAIL, trail === null ? [] : trailFeatures(trail));
    }

    showSketch(sketch: Sketch | null): void {
        this.sketch = sketch;
        this.put(DRAWN, sketch === null ? [] : drawnFeatures(sketch));
    }

    private put(source: string, features: Feature[]): void {
        this.map.getSource<GeoJSONSource>(source)?.setData({ type: "FeatureCollection", features });
    }

    /** The first of these layers that this style has: what is added lies under it. */
    private under(...ids: string[]): string | undefined {
        return ids.find((id) => this.map.getLayer(id) !== undefined);
    }

    private addReach(): void {
        const ink = INKS[this.theme];
        const ground = this.under("rail", "oneway"); // over the houses, under every street
        const labels = this.under("oneway");
        this.map.addLayer(
            {
                id: "reach-area",
                type: "fill",
                source: REACH,
                filter: ["==", ["geometry-type"], "Polygon"],
                // three over each other; by night no ground is brighter than a street
                paint: { "fill-color": ink.reach, "fill-opacity": this.theme === "day" ? 0.11 : 0.06, "fill-antialias": false },
            },
            ground,
        );
        DASHES.forEach((dashes, band) => {
            const paint: LineLayerSpecification["paint"] = { "line-color": ink.reach, "line-width": band === 0 ? 2.6 : 2.2 };
            this.map.addLayer(
                {
                    id: `reach-edge-${band}`,
                    type: "line",
                    source: REACH,
                    filter: ["all", ["==", ["geometry-type"], "Polygon"], ["==", ["get", "band"], band]],
                    layout: { "line-cap": band === 2 ? "round" : "butt", "line-join": "round" },
                    paint: dashes === null ? paint : { ...paint, "line-dasharray": [...dashes] },
                },
                labels,
            );
        });
        this.map.addLayer({
            id: "reach-name",
            type: "symbol",
            source: REACH,
            filter: ["==", ["geometry-type"], "Point"],
            layout: { "text-field": ["get", "name"], "text-font": STRONG, "text-size": 14, "text-padding": 2 },
            paint: { "text-color": ink.reach, "text-halo-color": ink.halo, "text-halo-width": 2.5 },
        });
    }

    private addClosed(): void {
        const ink = INKS[this.theme];
        const labels = this.under("oneway");
        this.map.addLayer({ id: "closed-area", type: "fill", source: CLOSED, filter: ["==", ["get", "kind"], "area"], paint: { "fill-pattern": "closed-hatch" } }, labels);
        this.map.addLayer(
            {
                id: "closed-edge",
                type: "line",
                source: CLOSED,
                filter: ["==", ["get", "kind"], "edge"],
                layout: { "line-join": "round", "line-cap": "round" },
                paint: { "line-color": ink.closed, "line-width": 3 },
            },
            labels,
        );
        this.map.addLayer({
            id: "closed-name",
            type: "symbol",
            source: CLOSED,
            filter: ["==", ["get", "kind"], "name"],
            layout: {
                "icon-image": "closed-sign",
                "icon-allow-overlap": true,
                "icon-ignore-placement": true,
                "text-field": ["get", "name"],
                "text-font": STRONG,
                "text-size": 13,
                "text-anchor": "top",
                "text-offset": [0, 1.1],
                "text-max-width": 12,
                "text-optional": true,
            },
            paint: { "text-color": ink.closed, "text-halo-color": ink.halo, "text-halo-width": 3.5 },
        });
    }

    private addTrail(): void {
        const ink = INKS[this.theme];
        const labels = this.under("oneway");
        const round = { "line-cap": "round" as const, "line-join": "round" as const };
        const way = ["==", ["get", "kind"], "way"] as ["==", ["get", "kind"], "way"];
        this.map.addLayer({ id: "trail-rim", type: "line", source: TRAIL, filter: way, layout: round, paint: { "line-color": ink.halo, "line-width": 7 } }, labels);
        this.map.addLayer({ id: "trail-way", type: "line", source: TRAIL, filter: way, layout: round, paint: { "line-color": ink.trail, "line-width": 3.5 } }, labels);
        this.map.addLayer(
            {
                id: "trail-hole",
                type: "line",
                source: TRAIL,
                filter: ["==", ["get", "kind"], "hole"],
                paint: { "line-color": ink.trail, "line-width": 2, "line-dasharray": [2, 3], "line-opacity": 0.8 },
            },
            labels,
        );
        this.map.addLayer({
            id: "trail-arrow",
            type: "symbol",
            source: TRAIL,
            filter: way,
            layout: {
                "symbol-placement": "line",
                "symbol-spacing": 70,
                "text-field": "›",
                "text-font": STRONG,
                "text-size": 24,
                "text-keep-upright": false,
                "text-rotation-alignment": "map",
                "text-ignore-placement": true,
                "text-allow-overlap": true,
            },
            paint: { "text-color": ink.trail, "text-halo-color": ink.halo, "text-halo-width": 2 },
        });
        this.map.addLayer({
            id: "trail-dot",
            type: "circle",
            source: TRAIL,
            filter: ["==", ["get", "kind"], "time"],
            paint: { "circle-radius": 4.5, "circle-color": ink.halo, "circle-stroke-color": ink.trail, "circle-stroke-width": 2.5 },
        });
        this.map.addLayer({
            id: "trail-time",
            type: "symbol",
            source: TRAIL,
            filter: ["any", ["==", ["get", "kind"], "time"], ["==", ["get", "kind"], "gap"]],
            layout: {
                "text-field": ["get", "name"],
                "text-font": STRONG,
                "text-size": 13,
                "text-variable-anchor": ["left", "right", "bottom", "top"],
                "text-radial-offset": 0.7,
                "text-padding": 3,
            },
            paint: { "text-color": ink.trail, "text-halo-color": ink.halo, "text-halo-width": 2 },
        });
    }

    private addDrawn(): void {
        const ink = INKS[this.theme];
        this.map.addLayer({
            id: "drawn-area",
            type: "fill",
            source: DRAWN,
            filter: ["==", ["get", "kind"], "area"],
            paint: { "fill-color": ink.draw, "fill-opacity": 0.22 },
        });
        this.map.addLayer({
            id: "drawn-edge",
            type: "line",
            source: DRAWN,
            filter: ["==", ["get", "kind"], "edge"],
            layout: { "line-cap": "round", "line-join": "round" },
            paint: { "line-color": ink.draw, "line-width": 3 },
        });
        this.map.addLayer({
            id: "drawn-next",
            type: "line",
            source: DRAWN,
            filter: ["==", ["get", "kind"], "next"],
            paint: { "line-color": ink.draw, "line-width": 2, "line-dasharray": [2, 2] },
        });
        this.map.addLayer({
            id: "drawn-corner",
            type: "circle",
            source: DRAWN,
            filter: ["==", ["get", "kind"], "corner"],
            paint: { "circle-radius": 5.5, "circle-color": ink.halo, "circle-stroke-color": ink.draw, "circle-stroke-width": 3 },
        });
        this.map.addLayer({
            id: "drawn-age",
            type: "symbol",
            source: DRAWN,
            filter: ["==", ["get", "kind"], "name"],
            layout: { "text-field": ["get", "name"], "text-font": PLAIN, "text-size": 13 },
            paint: { "text-color": ink.draw, "text-halo-color": ink.halo, "text-halo-width": 2 },
        });
    }
}

function feature(geometry: Geometry, properties: Record<string, string | number>): Feature {
    return { type: "Feature", geometry, properties };
}

const lonLat = (place: Place): LonLat => [place.lon, place.lat];

function closedRing(ring: Ring): Ring {
    const [first] = ring;
    return first === undefined ? ring : [...ring, first];
}

/** The corners of a ring that lie farthest to the four sides: where its name is read. */
function ends(ring: Ring): Ring {
    const most = (value: (at: [number, number]) => number): [number, number] | undefined => [...ring].sort((a, b) => value(b) - value(a))[0];
    return [most(([, lat]) => lat), most(([lon]) => lon), most(([, lat]) => -lat), most(([lon]) => -lon)].filter((at) => at !== undefined);
}

function closedFeatures(closure: Closure): Feature[] {
    const areas = closure.rings.map((ring) => feature({ type: "Polygon", coordinates: [closedRing(ring)] }, { kind: "area" }));
    // A street's rings overlap at its bends: its edge is the street itself.
    const isStreet = closure.radius_m > 0 && closure.corners.length > 1;
    const edge = isStreet ? closure.corners.map(lonLat) : closedRing(closure.rings[0] ?? []);
    const until = closure.until_ms === null ? "until opened" : `until ${clock(closure.until_ms)}`;
    const [at] = isStreet ? [closure.corners[Math.floor((closure.corners.length - 1) / 2)]] : [middleOf(closure.corners)];
    return [
        ...areas,
        feature({ type: "LineString", coordinates: edge }, { kind: "edge" }),
        feature({ type: "Point", coordinates: lonLat(at ?? middleOf(closure.corners)) }, { kind: "name", name: `Closed: ${closure.reason}\n${until}` }),
    ];
}

function trailFeatures(trail: Trail): Feature[] {
    const features: Feature[] = [];
    let stampedMs = -Infinity;
    trail.pieces.forEach((piece, at) => {
        if (piece.length > 1) {
            features.push(feature({ type: "LineString", coordinates: piece.map(lonLat) }, { kind: "way" }));
        }
        for (const point of piece) {
            if (point.at_ms - stampedMs >= STAMP_MS) {
                stampedMs = point.at_ms;
                features.push(feature({ type: "Point", coordinates: lonLat(point) }, { kind: "time", name: clock(point.at_ms) }));
            }
        }
        const end = piece.at(-1);
        const next = trail.pieces[at + 1]?.[0];
        if (end !== undefined && next !== undefined) {
            features.push(feature({ type: "LineString", coordinates: [lonLat(end), lonLat(next)] }, { kind: "hole" }));
            if (next.at_ms - end.at_ms >= NAMED_HOLE_MS) {
                const minutes = Math.round((next.at_ms - end.at_ms) / 60_000);
                features.push(feature({ type: "Point", coordinates: lonLat(middleOf([end, next])) }, { kind: "gap", name: `${minutes} min unknown` }));
            }
        }
    });
    return features;
}

function drawnFeatures(sketch: Sketch): Feature[] {
    const { shape, corners, pointer, radiusM } = sketch;
    const places = pointer === null ? corners : [...corners, pointer];
    const rings = shape === "area" ? (places.length > 2 ? [places.map((one): [number, number] => [one.lon, one.lat])] : []) : ringsAround(places, radiusM);
    const [first, last] = [corners[0], corners.at(-1)];
    const isOpen = pointer !== null && last !== undefined;
    return [
        ...rings.map((ring) => feature({ type: "Polygon", coordinates: [closedRing(ring)] }, { kind: "area" })),
        ...(corners.length > 1 ? [feature({ type: "LineString", coordinates: corners.map(lonLat) }, { kind: "edge" })] : []),
        ...(isOpen ? [feature({ type: "LineString", coordinates: [lonLat(last), lonLat(pointer)] }, { kind: "next" })] : []),
        ...(shape === "area" && places.length > 2 && first !== undefined
            ? [feature({ type: "LineString", coordinates: [lonLat(places.at(-1) ?? first), lonLat(first)] }, { kind: sketch.isDrawn ? "edge" : "next" })]
            : []),
        ...corners.map((one) => feature({ type: "Point", coordinates: lonLat(one) }, { kind: "corner" })),
    ];
}

function painted(px: number, paint: (pen: CanvasRenderingContext2D) => void): ImageData {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = px;
    const pen = canvas.getContext("2d");
    if (pen === null) {
        return new ImageData(px, px);
    }
    paint(pen);
    return pen.getImageData(0, 0, px, px);
}

/** Slanted lines with nothing between them, so that two areas over each other look like one. */
function hatch(ink: string): ImageData {
    return painted(HATCH_PX, (pen) => {
        pen.strokeStyle = ink;
        pen.lineWidth = 3;
        for (const from of [-HATCH_PX, 0, HATCH_PX]) {
            pen.beginPath();
            pen.moveTo(from - 2, HATCH_PX + 2);
            pen.lineTo(from + HATCH_PX + 2, -2);
            pen.stroke();
        }
    });
}

/** No entry: a disc with a bar. */
function sign(ink: string, bar: string): ImageData {
    return painted(SIGN_PX, (pen) => {
        const half = SIGN_PX / 2;
        pen.fillStyle = ink;
        pen.strokeStyle = bar;
        pen.lineWidth = 4;
        pen.beginPath();
        pen.arc(half, half, half - 3, 0, 2 * Math.PI);
        pen.fill();
        pen.stroke();
        pen.fillStyle = bar;
        pen.fillRect(half - 12, half - 4, 24, 8);
    });
}
