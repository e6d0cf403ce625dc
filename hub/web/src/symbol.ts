// One shape for each thing a unit may be doing: known without color, at the size of a letter.

import type { Tone } from "./say";

const SVG = "http://www.w3.org/2000/svg";

export const PATHS: Record<Tone, string> = {
    free: "M8 2a6 6 0 1 0 0 12 6 6 0 0 0 0-12z", // circle
    sent: "M8 1l7 7-7 7-7-7z", // diamond
    rolling: "M8 1.5l6.8 12.5H1.2z", // triangle
    scene: "M2.5 2.5h11v11h-11z", // square
    transport: "M4.6 2h6.8L15 8l-3.6 6H4.6L1 8z", // hexagon
    clearing: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 1.7a4.3 4.3 0 0 1 0 8.6z", // circle, half open
    pause: "M4 2.5h3v11H4zm5 0h3v11H9z", // two bars
    off: "M3.4 2L8 6.6 12.6 2 14 3.4 9.4 8l4.6 4.6-1.4 1.4L8 9.4 3.4 14 2 12.6 6.6 8 2 3.4z", // cross
};

/** The shape as an element, for markers that no framework draws. */
export function symbol(tone: Tone): SVGElement {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", PATHS[tone]);
    path.setAttribute("fill-rule", "evenodd");
    svg.append(path);
    return svg;
}
