// How the street map looks, by day and by night. The map is the ground, the units are the figure: nothing here is as
// strong as a unit's marker, and only water and freeways may be read across the room.
//
// Draws the layers that hub/tiles/tiles.lua writes. Labels name a font family of the page and no glyph server; the
// family must be declared by @font-face in weights 400 and 600.

import type { ExpressionSpecification, StyleSpecification } from "maplibre-gl";

type Theme = "day" | "night";

interface Ink {
    land: string;
    park: string;
    wood: string;
    campus: string;
    sand: string;
    water: string;
    waterName: string;
    building: string;
    rail: string;
    path: string;
    minor: string;
    main: string;
    mainFar: string;
    primary: string;
    primaryFar: string;
    freeway: string;
    casing: string;
    mainCasing: string;
    freewayCasing: string;
    name: string;
    mainName: string;
    place: string;
    number: string;
    halo: string;
    care: string;
    police: string;
    fire: string;
    school: string;
}

const INKS: Record<Theme, Ink> = {
    day: {
        land: "#eeede8",
        park: "#d9e7cd",
        wood: "#cbdfc0",
        campus: "#ebe6dc",
        sand: "#efe6cd",
        water: "#a9cbe2",
        waterName: "#2f6288",
        building: "#e0ddd5",
        rail: "#bdbbb5",
        path: "#d9d5cc",
        minor: "#ffffff",
        main: "#ffffff",
        mainFar: "#d8d3c7",
        primary: "#ffedb8",
        primaryFar: "#ecd08a",
        freeway: "#f0cd8a",
        casing: "#d5d2ca",
        mainCasing: "#b9b2a2",
        freewayCasing: "#b98b3e",
        name: "#4a4d52",
        mainName: "#2c2f34",
        place: "#5b5566",
        number: "#85817a",
        halo: "#f8f7f4",
        care: "#b3261e",
        police: "#2a4fa0",
        fire: "#b5561a",
        school: "#6d6a63",
    },
    night: {
        land: "#12161b",
        park: "#16231c",
        wood: "#152119",
        campus: "#181c22",
        sand: "#1f1e19",
        water: "#1a4363",
        waterName: "#7fb2d6",
        building: "#1a2027",
        rail: "#333a42",
        path: "#222932",
        minor: "#2a323b",
        main: "#39434e",
        mainFar: "#39434e",
        primary: "#485461",
        primaryFar: "#485461",
        freeway: "#8a713f",
        casing: "#12161b",
        mainCasing: "#0d1014",
        freewayCasing: "#3a2f1a",
        name: "#a9b4bf",
        mainName: "#cdd6de",
        place: "#9c93b0",
        number: "#69737d",
        halo: "#12161b",
        care: "#ff8a80",
        police: "#8fb0ff",
        fire: "#ffb27a",
        school: "#8b949d",
    },
};

export const PLAIN = ["Atkinson Hyperlegible Next"];
// MapLibre reads the weight from the first family's name; the browser finds the letters under the second.
export const STRONG = ["Atkinson Hyperlegible Next SemiBold", "Atkinson Hyperlegible Next"];

const ROADS = ["minor", "tertiary", "secondary", "primary", "trunk"];

const isClass = (...classes: string[]): ExpressionSpecification => ["in", ["get", "class"], ["literal", classes]];

function roadColor(minor: string, main: string, primary: string): ExpressionSpecification {
    return ["match", ["get", "class"], "minor", minor, ["tertiary", "secondary"], main, primary];
}

/** Width in pixels by class; `rim` is what a casing shows on both sides together. */
function roadWidth(rim: number): ExpressionSpecification {
    const by = (minor: number, tertiary: number, secondary: number, primary: number): ExpressionSpecification => [
        "match",
        ["get", "class"],
        "minor",
        minor + rim,
        "tertiary",
        tertiary + rim,
        "secondary",
        secondary + rim,
        primary + rim,
    ];
    return [
        "interpolate",
        ["exponential", 1.5],
        ["zoom"],
        10,
        by(0.3, 0.5, 0.8, 1.2),
        12,
        by(0.7, 1.1, 1.6, 2.2),
        14,
        by(2.2, 3.2, 4.2, 5),
        16,
        by(6, 8, 10, 11.5),
        18,
        by(17, 21, 25, 28),
    ];
}

function freewayWidth(rim: number): ExpressionSpecification {
    const by = (whole: number, ramp: number): ExpressionSpecification => [
        "case",
        ["has", "link"],
        ramp + rim,
        whole + rim,
    ];
    return [
        "interpolate",
        ["exponential", 1.5],
        ["zoom"],
        8,
        by(0.8, 0.4),
        12,
        by(2.6, 1.2),
        14,
        by(5, 2.6),
        16,
        by(11, 6.5),
        18,
        by(26, 16),
    ];
}

/** The whole style for MapLibre; `pmtilesUrl` is the absolute address of the map file. */
export function mapStyle(theme: Theme, pmtilesUrl: string): StyleSpecification {
    const ink = INKS[theme];
    const halo = { "text-halo-color": ink.halo, "text-halo-width": 1.6, "text-halo-blur": 0.2 };
    const layer = (name: string) => ({ source: "streets", "source-layer": name });
    return {
        version: 8,
        name: `Tandem ${theme}`,
        sources: { streets: { type: "vector", url: `pmtiles://${pmtilesUrl}` } },
        layers: [
            { id: "land", type: "background", paint: { "background-color": ink.land } },
            {
                id: "landcover",
                type: "fill",
                ...layer("landcover"),
                paint: {
                    "fill-color": [
                        "match",
                        ["get", "class"],
                        "wood",
                        ink.wood,
                        ["campus", "airfield"],
                        ink.campus,
                        "sand",
                        ink.sand,
                        ink.park,
                    ],
                },
            },
            { id: "water", type: "fill", ...layer("water"), paint: { "fill-color": ink.water } },
            {
                id: "waterway",
                type: "line",
                ...layer("waterway"),
                layout: { "line-cap": "round", "line-join": "round" },
                paint: {
                    "line-color": ink.water,
                    "line-width": [
                        "interpolate",
                        ["exponential", 1.4],
                        ["zoom"],
                        8,
                        ["match", ["get", "class"], "river", 1.6, 0.3],
                        14,
                        ["match", ["get", "class"], "river", 5, 1.2],
                        18,
                        ["match", ["get", "class"], "river", 14, 4],
                    ],
                },
            },
            {
                id: "building",
                type: "fill",
                ...layer("building"),
                minzoom: 13.5,
                paint: {
                    "fill-color": ink.building,
                    "fill-opacity": ["interpolate", ["linear"], ["zoom"], 13.5, 0, 14.5, 1],
                },
            },
            {
                id: "rail",
                type: "line",
                ...layer("transportation"),
                filter: isClass("rail", "runway"),
                paint: {
                    "line-color": ink.rail,
                    "line-width": [
                        "interpolate",
                        ["exponential", 1.5],
                        ["zoom"],
                        11,
                        ["match", ["get", "class"], "runway", 2, 0.5],
                        14,
                        ["match", ["get", "class"], "runway", 10, 1],
                        18,
                        ["match", ["get", "class"], "runway", 80, 2.5],
                    ],
                },
            },
            {
                id: "path",
                type: "line",
                ...layer("transportation"),
                filter: isClass("path", "service"),
                minzoom: 14,
                layout: { "line-cap": "round" },
                paint: {
                    "line-color": ["match", ["get", "class"], "service", ink.minor, ink.path],
                    "line-width": [
                        "interpolate",
                        ["exponential", 1.5],
                        ["zoom"],
                        14,
                        ["match", ["get", "class"], "service", 0.8, 0.5],
                        18,
                        ["match", ["get", "class"], "service", 8, 2.5],
                    ],
                },
            },
            {
                id: "road-casing",
                type: "line",
                ...layer("transportation"),
                filter: isClass(...ROADS),
                minzoom: 12,
                layout: { "line-cap": "butt", "line-join": "round" },
                paint: {
                    "line-color": ["match", ["get", "class"], ["minor", "tertiary"], ink.casing, ink.mainCasing],
                    "line-width": roadWidth(1.6),
                    "line-opacity": ["interpolate", ["linear"], ["zoom"], 12, 0, 13, 1],
                },
            },
            {
                id: "road",
                type: "line",
                ...layer("transportation"),
                filter: isClass(...ROADS),
                layout: {
                    "line-cap": "round",
                    "line-join": "round",
                    // where two meet, the larger lies on top
                    "line-sort-key": ["index-of", ["get", "class"], ["literal", ROADS]],
                },
                paint: {
                    // from afar there is no room for casings: main roads are lines of their own color
                    "line-color": [
                        "interpolate",
                        ["linear"],
                        ["zoom"],
                        12,
                        roadColor(ink.minor, ink.mainFar, ink.primaryFar),
                        13,
                        roadColor(ink.minor, ink.main, ink.primary),
                    ],
                    "line-width": roadWidth(0),
                },
            },
            {
                id: "freeway-casing",
                type: "line",
                ...layer("transportation"),
                filter: isClass("motorway"),
                layout: { "line-cap": "butt", "line-join": "round" },
                paint: { "line-color": ink.freewayCasing, "line-width": freewayWidth(1.8) },
            },
            {
                id: "freeway",
                type: "line",
                ...layer("transportation"),
                filter: isClass("motorway"),
                layout: { "line-cap": "round", "line-join": "round" },
                paint: { "line-color": ink.freeway, "line-width": freewayWidth(0) },
            },
            {
                id: "oneway",
                type: "symbol",
                ...layer("transportation"),
                filter: ["all", ["==", ["get", "oneway"], 1], isClass(...ROADS)],
                minzoom: 16,
                layout: {
                    "symbol-placement": "line",
                    "symbol-spacing": 140,
                    "text-field": "›",
                    "text-font": STRONG,
                    "text-size": 16,
                    "text-keep-upright": false, // it must go on pointing the way the traffic goes
                    "text-rotation-alignment": "map",
                },
                paint: { "text-color": ink.number },
            },
            {
                id: "housenumber",
                type: "symbol",
                ...layer("housenumber"),
                minzoom: 16.7,
                layout: { "text-field": ["get", "number"], "text-font": PLAIN, "text-size": 11, "text-padding": 1 },
                paint: { "text-color": ink.number, "text-halo-color": ink.halo, "text-halo-width": 1 },
            },
            {
                id: "waterway-name",
                type: "symbol",
                ...layer("waterway"),
                filter: ["has", "name"],
                minzoom: 11,
                layout: {
                    "symbol-placement": "line",
                    "symbol-spacing": 420,
                    "text-field": ["get", "name"],
                    "text-font": PLAIN,
                    "text-size": ["interpolate", ["linear"], ["zoom"], 11, 11, 16, 15],
                    "text-letter-spacing": 0.12,
                    "text-max-angle": 30,
                },
                paint: { "text-color": ink.waterName, "text-halo-color": ink.water, "text-halo-width": 1.2 },
            },
            {
                id: "road-name",
                type: "symbol",
                ...layer("transportation_name"),
                filter: isClass("motorway", ...ROADS),
                minzoom: 11,
                layout: {
                    "symbol-placement": "line",
                    "symbol-spacing": 320,
                    // the most important road gets its name first
                    "symbol-sort-key": ["-", 5, ["index-of", ["get", "class"], ["literal", [...ROADS, "motorway"]]]],
                    "text-field": [
                        "case",
                        isClass("motorway"),
                        ["coalesce", ["get", "ref"], ["get", "name"]],
                        ["coalesce", ["get", "name"], ["get", "ref"]],
                    ],
                    "text-font": ["case", isClass("minor", "tertiary"), ["literal", PLAIN], ["literal", STRONG]],
                    "text-size": [
                        "interpolate",
                        ["linear"],
                        ["zoom"],
                        11,
                        ["case", isClass("minor", "tertiary"), 10, 11],
                        14,
                        ["case", isClass("minor", "tertiary"), 12, 13],
                        17,
                        ["case", isClass("minor", "tertiary"), 15, 17],
                    ],
                    "text-max-angle": 35,
                    "text-padding": 6,
                },
                paint: {
                    "text-color": ["case", isClass("minor", "tertiary"), ink.name, ink.mainName],
                    ...halo,
                },
            },
            {
                id: "poi-dot",
                type: "circle",
                ...layer("poi"),
                filter: isClass("hospital", "police", "fire_station", "clinic", "shelter"),
                minzoom: 12,
                paint: {
                    "circle-radius": ["interpolate", ["linear"], ["zoom"], 12, 3, 16, 5.5],
                    "circle-color": [
                        "match",
                        ["get", "class"],
                        "police",
                        ink.police,
                        "fire_station",
                        ink.fire,
                        "school",
                        ink.school,
                        ink.care,
                    ],
                    "circle-stroke-color": ink.halo,
                    "circle-stroke-width": 1.5,
                },
            },
            {
                id: "poi-name",
                type: "symbol",
                ...layer("poi"),
                minzoom: 13,
                filter: ["any", isClass("hospital", "police", "fire_station"), [">=", ["zoom"], 15]],
                layout: {
                    "symbol-sort-key": ["match", ["get", "class"], "hospital", 0, "police", 1, "fire_station", 2, 3],
                    "text-field": ["get", "name"],
                    "text-font": PLAIN,
                    "text-size": ["interpolate", ["linear"], ["zoom"], 13, 11.5, 17, 14],
                    "text-anchor": "top",
                    "text-offset": [0, 0.55],
                    "text-max-width": 9,
                    "text-optional": true,
                },
                paint: {
                    "text-color": [
                        "match",
                        ["get", "class"],
                        "police",
                        ink.police,
                        "fire_station",
                        ink.fire,
                        "school",
                        ink.school,
                        ink.care,
                    ],
                    ...halo,
                },
            },
            {
                id: "place",
                type: "symbol",
                ...layer("place"),
                maxzoom: 15.5,
                layout: {
                    "text-field": ["get", "name"],
                    "text-font": ["case", isClass("city", "town"), ["literal", STRONG], ["literal", PLAIN]],
                    "text-size": [
                        "interpolate",
                        ["linear"],
                        ["zoom"],
                        9,
                        ["case", isClass("city", "town"), 14, 10.5],
                        14,
                        ["case", isClass("city", "town"), 20, 14],
                    ],
                    "text-letter-spacing": 0.08,
                    "text-max-width": 8,
                },
                paint: { "text-color": ink.place, ...halo },
            },
        ],
    };
}
