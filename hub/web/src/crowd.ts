// A large fleet on the map: painted as one picture, because hundreds of buttons that move cost a browser more than the
// map itself. Nobody is lost by it: each unit is a row on the board, with its name, for whoever does not use a mouse, and
// units that matter now (chosen, in an emergency) stay buttons on the map.

import type { Place } from "./reckon";
import type { Tone } from "./say";
import { PATHS } from "./symbol";

/** How one unit looks. `heading` null: it stands; `old`: how old its position is, where that must be said. */
export interface Face {
    unit: string;
    callSign: string;
    tone: Tone;
    fresh: string;
    heading: number | null;
    old: string | null;
    at: Place;
}

const FACE_PX = 24;
const BOX_PX = 44; // of a face with its arrow
const REACH_PX = 17; // of a click
const LABEL_PX = 18;
const LABEL_BELOW_PX = 15;
const FONT = '600 13px "Atkinson Hyperlegible Next", system-ui, sans-serif';
const HEADING_STEP = 10; // degrees: an eye sees no less on an arrow of this size
const KEPT_MAX = 2000; // faces and labels that were painted before
// Painted by the processor: a machine that draws without a graphics card waits for each picture that it would read back.
const PAINTED: CanvasRenderingContext2DSettings = { willReadFrequently: true };

interface Picture {
    canvas: HTMLCanvasElement;
    width: number;
    height: number;
}

export class Crowd {
    readonly canvas = document.createElement("canvas");
    private readonly painted = new Map<string, Picture>();
    private spots: { unit: string; x: number; y: number }[] = [];
    private inks: Record<string, string> = {};
    private scale = 1;

    constructor(private readonly project: (place: Place) => { x: number; y: number }) {
        this.canvas.className = "crowd";
        this.canvas.setAttribute("aria-hidden", "true");
        this.retheme();
    }

    /** The colors of the page have changed. */
    retheme(): void {
        const style = getComputedStyle(document.documentElement);
        const names = ["free", "sent", "rolling", "scene", "transport", "clearing", "pause", "off", "marker-rim", "card", "line", "ink", "soft"];
        this.inks = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
        this.painted.clear();
    }

    /** Paint them all; nothing where there are none. */
    draw(faces: readonly Face[], width: number, height: number): void {
        this.fit(width, height);
        this.spots = [];
        const pen = this.canvas.getContext("2d", PAINTED);
        if (pen === null) {
            return;
        }
        pen.setTransform(this.scale, 0, 0, this.scale, 0, 0);
        pen.clearRect(0, 0, width, height);
        const seen: { face: Face; x: number; y: number }[] = [];
        for (const face of faces) {
            const { x, y } = this.project(face.at);
            if (x > -BOX_PX && y > -BOX_PX && x < width + BOX_PX && y < height + BOX_PX) {
                seen.push({ face, x, y });
                this.spots.push({ unit: face.unit, x, y });
            }
        }
        for (const { face, x, y } of seen) {
            const picture = this.faceOf(face);
            pen.drawImage(picture.canvas, Math.round(x - picture.width / 2), Math.round(y - picture.height / 2), picture.width, picture.height);
        }
        const taken = new Taken();
        for (const { x, y } of seen) {
            taken.add(x - FACE_PX / 2, y - FACE_PX / 2, FACE_PX, FACE_PX);
        }
        for (const { face, x, y } of seen) {
            const picture = this.labelOf(face);
            const [left, top] = [Math.round(x - picture.width / 2), Math.round(y + LABEL_BELOW_PX)];
            if (taken.isFree(left, top, picture.width, picture.height)) {
                taken.add(left, top, picture.width, picture.height);
                pen.drawImage(picture.canvas, left, top, picture.width, picture.height);
            }
        }
    }

    /** The unit under a point of the map; null where there is none. */
    under(x: number, y: number): string | null {
        let nearest: string | null = null;
        let least = REACH_PX;
        for (const spot of this.spots) {
            const away = Math.hypot(spot.x - x, spot.y - y);
            if (away < least) {
                least = away;
                nearest = spot.unit;
            }
        }
        return nearest;
    }

    private fit(width: number, height: number): void {
        const scale = Math.min(2, devicePixelRatio || 1);
        const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
        if (this.canvas.width !== w || this.canvas.height !== h) {
            this.canvas.width = w;
            this.canvas.height = h;
            this.canvas.style.width = `${width}px`;
            this.canvas.style.height = `${height}px`;
        }
        if (scale !== this.scale) {
            this.scale = scale;
            this.painted.clear();
        }
    }

    private faceOf(face: Face): Picture {
        const heading = face.heading === null ? null : (Math.round(face.heading / HEADING_STEP) * HEADING_STEP) % 360;
        return this.kept(`${face.tone} ${face.fresh} ${heading}`, BOX_PX, BOX_PX, (pen) => {
            const ink = this.ink(face.fresh === "lost" ? "off" : face.tone);
            const half = BOX_PX / 2;
            pen.globalAlpha = face.fresh === "stale" || face.fresh === "lost" ? 0.6 : 1;
            pen.fillStyle = ink;
            if (heading !== null) {
                pen.save();
                pen.translate(half, half);
                pen.rotate((heading * Math.PI) / 180);
                pen.beginPath();
                pen.moveTo(0, -21);
                pen.lineTo(8, -10);
                pen.lineTo(-8, -10);
                pen.fill();
                pen.restore();
            }
            pen.fillStyle = this.ink("marker-rim");
            pen.beginPath();
            pen.arc(half, half, FACE_PX / 2, 0, 2 * Math.PI);
            pen.fill();
            pen.strokeStyle = ink;
            pen.lineWidth = 2.5;
            pen.setLineDash(face.fresh === "live" ? [] : face.fresh === "aging" ? [5, 3] : [2, 3]);
            pen.beginPath();
            pen.arc(half, half, FACE_PX / 2 - 1.25, 0, 2 * Math.PI);
            pen.stroke();
            pen.translate(half - 7.5, half - 7.5);
            pen.scale(15 / 16, 15 / 16);
            pen.fillStyle = ink;
            pen.fill(new Path2D(PATHS[face.tone]), "evenodd");
        });
    }

    private labelOf(face: Face): Picture {
        const text = face.old === null ? face.callSign : `${face.callSign} · ${face.old}`;
        const isSoft = face.old !== null;
        return this.kept(`label ${isSoft} ${text}`, labelWidth(text) + 14, LABEL_PX + 2, (pen, width, height) => {
            pen.fillStyle = this.ink("card");
            pen.strokeStyle = this.ink("line");
            pen.lineWidth = 1;
            pen.beginPath();
            pen.roundRect(0.5, 0.5, width - 1, height - 1, 4);
            pen.fill();
            pen.stroke();
            pen.fillStyle = this.ink(isSoft ? "soft" : "ink");
            pen.font = FONT;
            pen.textBaseline = "middle";
            pen.textAlign = "center";
            pen.fillText(text, width / 2, height / 2 + 0.5);
        });
    }

    private ink(name: string): string {
        return this.inks[name] ?? "#000";
    }

    private kept(key: string, width: number, height: number, paint: (pen: CanvasRenderingContext2D, width: number, height: number) => void): Picture {
        const before = this.painted.get(key);
        if (before !== undefined) {
            return before;
        }
        if (this.painted.size >= KEPT_MAX) {
            this.painted.clear();
        }
        const canvas = document.createElement("canvas");
        canvas.width = Math.ceil(width * this.scale);
        canvas.height = Math.ceil(height * this.scale);
        const pen = canvas.getContext("2d", PAINTED);
        if (pen !== null) {
            pen.scale(this.scale, this.scale);
            paint(pen, width, height);
        }
        const made = { canvas, width, height };
        this.painted.set(key, made);
        return made;
    }
}

/** What is taken on the map, by squares, so that no label has to look at every other. */
class Taken {
    private readonly cells = new Map<number, [number, number, number, number][]>();

    add(x: number, y: number, width: number, height: number): void {
        for (const cell of cellsOf(x, y, width, height)) {
            const here = this.cells.get(cell);
            if (here === undefined) {
                this.cells.set(cell, [[x, y, width, height]]);
            } else {
                here.push([x, y, width, height]);
            }
        }
    }

    isFree(x: number, y: number, width: number, height: number): boolean {
        return cellsOf(x, y, width, height).every(
            (cell) => this.cells.get(cell)?.every(([left, top, w, h]) => x >= left + w || left >= x + width || y >= top + h || top >= y + height) ?? true,
        );
    }
}

const CELL_PX = 64;

function cellsOf(x: number, y: number, width: number, height: number): number[] {
    const found: number[] = [];
    for (let row = Math.floor(y / CELL_PX); row <= Math.floor((y + height) / CELL_PX); row++) {
        for (let column = Math.floor(x / CELL_PX); column <= Math.floor((x + width) / CELL_PX); column++) {
            found.push(row * 4096 + column);
        }
    }
    return found;
}

const widths = new Map<string, number>();
let ruler: CanvasRenderingContext2D | null = null;

function labelWidth(text: string): number {
    let width = widths.get(text);
    if (width === undefined) {
        ruler ??= document.createElement("canvas").getContext("2d");
        if (ruler !== null) {
            ruler.font = FONT;
        }
        width = Math.ceil(ruler?.measureText(text).width ?? 8 * text.length);
        if (widths.size > KEPT_MAX) {
            widths.clear();
        }
        widths.set(text, width);
    }
    return width;
}
