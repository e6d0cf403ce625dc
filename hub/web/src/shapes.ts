// The JSON of the hub, as it comes. Times ending in _ms are Unix milliseconds of the hub's clock.

/** When a unit will be where it is going: `eta_s` after `at_ms`. `word`: "way", or why there is no time. */
export interface Eta {
    assignment: string;
    word: "way" | "off" | "waiting" | "engine" | "no_way" | "position";
    at_ms: number;
    eta_s: number | null;
    left_m: number | null;
}

export interface Position {
    unit: string;
    lat: number | null;
    lon: number | null;
    speed_mps: number | null;
    heading_deg: number | null;
    fix_at: string | null;
    arrived_ms: number;
    age_ms: number;
    has_fix: boolean;
    eta: Eta | null;
}

export interface Emergency {
    id: string;
    unit: string;
    call_sign: string;
    is_drill: boolean;
    source: string;
    pressed_ms: number | null;
    received_ms: number;
    presses: number;
    newest_ms: number;
    crew: { id: string; name: string }[];
    lat: number | null;
    lon: number | null;
    fix_age_ms: number | null;
    incident: string | null;
    number: number | null;
    place: string | null;
    asked_ms: number | null;
    acknowledged_ms: number | null;
    acknowledged_by: string | null;
}

export interface Unit {
    unit: string;
    call_sign: string;
    agency: string;
    kind: string;
    device: string | null;
    status: string;
    status_label: string;
    status_ms: number;
    status_skipped: boolean;
    assignment: string | null;
    crew: { id: string; name: string }[];
    skills: string[];
    languages: string[];
    has_sworn: boolean;
    presence: "connected" | "gone" | "never";
    presence_ms: number | null;
    /** Records aboard that are not here, the oldest since then; and when there was last none, where that is not now. */
    owed: number;
    owed_since_ms: number | null;
    complete_ms: number | null;
    is_in_emergency: boolean;
}

export interface PlacedUnit extends Unit {
    position: Position | null;
}

export interface Assignment {
    id: string;
    unit: string;
    call_sign: string;
    offered_ms: number;
    received_ms: number | null;
    acknowledged_ms: number | null;
    released_ms: number | null;
}

export interface Incident {
    id: string;
    number: number;
    type: string;
    type_label: string;
    priority: number;
    lat: number;
    lon: number;
    place: string;
    problem: string;
    cautions: string[];
    skills: string[];
    languages: string[];
    state: string;
    gate: string;
    opened_ms: number;
    closed_ms: number | null;
    disposition: string | null;
    assignments: Assignment[];
    notes: number;
}

export interface Note {
    id: string;
    incident: string | null;
    number: number | null;
    call_sign: string | null;
    author: string | null;
    kind: string;
    disposition: string | null;
    size_bytes: number;
    held_ms: number;
}

export interface Alarm {
    at_ms: number;
    kind: string;
    text: string;
    what_to_do: string;
}

export interface Health {
    quarantined: Record<string, number>;
    alarms: Alarm[];
    dropped?: Record<string, number>;
}

export interface Snapshot {
    now_ms: number;
    agency: string;
    emergencies: Emergency[];
    units: PlacedUnit[];
    incidents: Incident[];
    notes: Note[];
    health: Health;
}

export interface Candidate {
    unit: string;
    call_sign: string;
    fit: boolean;
    reasons: string[];
    notes: string[];
    distance_m: number | null;
    travel_s: number | null;
    freshness: Freshness;
    age_s: number | null;
    status: string;
    at_least_s: number | null; // its way was not asked for: it could not be among the first
    diverted_from: number | null; // the number of the incident that would lose it
}

export interface Ranked {
    ranking: number;
    engine: string;
    candidates: Candidate[];
    exact_n: number; // so many of the first are exactly as asking for every way would put them
    why_not_road: string | null;
}

export interface Happening {
    at_ms: number;
    what: string;
    call_sign: string | null;
    detail: string | null;
    noted_ms: number | null; // by the board's clock as it was
    corrected_ms: number | null; // what that really was, when the clock was wrong
}

export interface Me {
    account: string;
    name: string;
    role: string;
    csrf: string;
}

export interface Words {
    types: { code: string; label: string; is_gated: boolean }[];
    priorities: number[];
    dispositions: Record<string, string>;
    skills: Record<string, string>;
    languages: Record<string, string>;
}

export interface Streets {
    tiles: string | null;
    message: string | null;
    name: string | null;
    bounds: [number, number, number, number] | null;
    center: [number, number] | null;
    attribution: string | null;
    attribution_url: string | null;
}

export type Freshness = "live" | "aging" | "stale" | "lost";
