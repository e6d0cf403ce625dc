// Numbers and codes as people say them.

const M_PER_FT = 0.3048;
const MILE_M = 1609.344;
const STUCK_MS = 5 * 60_000; // the backlog of a shift passes a slow link in three minutes

/** "4 s", "9 min", "3 h": an age that nobody reads to the second once it is minutes. */
export function age(seconds: number): string {
    const whole = Math.max(0, Math.floor(seconds));
    if (whole < 60) {
        return `${whole} s`;
    }
    return whole < 3600 ? `${Math.floor(whole / 60)} min` : `${Math.floor(whole / 3600)} h`;
}

/** "0:42", "12:07", "1:02:30": a timer. */
export function timer(seconds: number): string {
    const whole = Math.max(0, Math.floor(seconds));
    const two = (n: number): string => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor((whole % 3600) / 60);
    return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A wall clock with seconds, or without. */
export function clock(ms: number, withSeconds = false): string {
    return new Date(ms).toLocaleTimeString("en-US", {
        hour12: false,
        hour: "2-digit",
        minute: "2-digit",
        ...(withSeconds ? { second: "2-digit" } : {}),
    });
}

/** "40 days", "3 h": how old something is that may be months old. */
export function longAge(ms: number): string {
    const days = Math.floor(ms / 86_400_000);
    return days < 1 ? age(ms / 1000) : days === 1 ? "1 day" : `${days} days`;
}

/** "May 21", with the year where it is another. */
export function day(ms: number): string {
    const at = new Date(ms);
    const isThisYear = at.getFullYear() === new Date().getFullYear();
    return at.toLocaleDateString("en-US", { month: "short", day: "numeric", ...(isThisYear ? {} : { year: "numeric" }) });
}

/** What a terminal recorded that the hub does not have, and when it comes. */
export function missing(
    unit: { presence: string; presence_ms: number | null; owed: number; owed_since_ms: number | null; complete_ms: number | null },
    now: number,
): string {
    const oldest = unit.owed_since_ms === null ? "" : `, oldest ${age((now - unit.owed_since_ms) / 1000)}`;
    const owed = `${unit.owed} unsent${oldest}`;
    if (unit.presence === "connected") {
        const isStuck = unit.presence_ms !== null && now - unit.presence_ms > STUCK_MS;
        return isStuck ? `${owed}; connected, and they do not arrive` : `${owed}, on their way`;
    }
    const had = unit.owed > 0 ? owed : unit.complete_ms === null ? "" : `all received through ${clock(unit.complete_ms, true)}`;
    const silent = unit.presence_ms === null ? "not heard" : `not heard for ${age((now - unit.presence_ms) / 1000)}`;
    return `${had === "" ? silent : `${had}, ${silent}`}; what it recorded since comes when it returns`;
}

/** A short distance, to the nearest ten. */
export function feet(meters: number): string {
    return `${Math.round(meters / M_PER_FT / 10) * 10} ft`;
}

export function miles(meters: number): string {
    return `${(meters / MILE_M).toFixed(1)} mi`;
}

export function milesPerHour(metersPerSecond: number): string {
    return `${Math.round((metersPerSecond * 3600) / MILE_M)} mph`;
}

const COMPASS = ["north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"] as const;

export function compass(degrees: number): string {
    return COMPASS[Math.round(degrees / 45) % 8] ?? "north";
}

export function minutes(seconds: number): string {
    return seconds < 60 ? "1 min" : `${Math.round(seconds / 60)} min`;
}

/** A time that is never undercut: rounded down, so that it stays true. */
export function orMore(seconds: number): string {
    return seconds < 60 ? "way not asked for" : `${Math.floor(seconds / 60)} min or more`;
}

export function kilobytes(bytes: number): string {
    return `${(bytes / 1024).toFixed(1)} kB`;
}

/** What a status looks like: the shape tells it without color, the tone without shape. */
export type Tone = "free" | "sent" | "rolling" | "scene" | "transport" | "clearing" | "pause" | "off";

const TONES: Record<string, Tone> = {
    available: "free",
    assigned: "sent",
    acknowledged: "sent",
    en_route: "rolling",
    staged: "scene",
    on_scene: "scene",
    contact: "scene",
    transporting: "transport",
    at_facility: "transport",
    clearing: "clearing",
    break: "pause",
    off_duty: "off",
    out_of_service: "off",
};

export function tone(status: string): Tone {
    return TONES[status] ?? "off";
}
