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
    /** To be said again by whoever changes it. */
    revision: number;
    gate_by: string | null;
    /** Codes of what matters before a unit is en route and nobody has asked. */
    amber: string[];
    packet: PacketAnswer[];
    known_cautions: KnownCaution[];
    recommended: string | null;
    reopened_ms: number | null;
    merged_into: string | null;
}

export interface PacketAnswer {
    question: string;
    text: string;
    label: string;
    answer: string;
    words: string;
    source: string;
    at_ms: number;
}

export interface KnownCaution {
    id: string;
    behavior: string;
    text: string;
    label: string;
    severity: string;
    source: string;
    scope: string;
    radius_m: number;
    observed_ms: number;
    expires_ms: number;
}

export interface Asked {
    skills: string[];
    languages: string[];
    wishes: string[];
    licenses: string[];
    age_group: string | null;
    crew_size: number;
    clinician: string | null;
    agency: string | null;
}

export interface Remark {
    id: string;
    label: string;
    at_ms: number;
    by: string;
    text: string;
}

/** `kind`: parent, child, related; merged (into this one), into (this one was merged into it). */
export interface LinkView {
    incident: string;
    number: number;
    kind: string;
}

/** One incident with all that this person may see of it. */
export interface Dossier {
    id: string;
    number: number;
    revision: number;
    state: string;
    need: Asked;
    packet: PacketAnswer[];
    known_cautions: KnownCaution[];
    remarks: Remark[];
    links: LinkView[];
    earlier: Earlier[];
}

/** A closed incident at the same place. */
export interface Earlier {
    incident: string;
    number: number;
    type: string;
    type_label: string;
    opened_ms: number;
    closed_ms: number;
    disposition: string | null;
}

/** A list from which somebody was sent, as it was. `again`: whether the same question still gives it. */
export interface ShownList {
    ranking: number;
    ranked_ms: number;
    engine: string;
    graph: string | null;
    candidates: Candidate[];
    choices: { unit: string; by: string; at_ms: number; reason: string | null }[];
    again: string;
}

/** One that may be the same call, and why. */
export interface Hint {
    incident: string;
    number: number;
    reasons: string[];
}

/** Somewhere that was meant, as the address search says it. */
export interface Place {
    kind: string;
    name: string;
    around: string;
    lat: number;
    lon: number;
    is_about: boolean;
    note: string | null;
    address: string | null;
    bounds: [number, number, number, number] | null;
}

// --- what is said to the hub -----------------------------------------------------------------------------------------

export interface Answer {
    question: string;
    answer: string;
    words?: string;
    source?: string;
}

export interface Opening {
    id: string;
    type: string;
    priority: number;
    lat: number;
    lon: number;
    place: string;
    problem: string;
    need: Partial<Asked>;
    packet: Answer[];
}

export interface Changed {
    type?: string;
    priority?: number;
    lat?: number;
    lon?: number;
    place?: string;
    problem?: string;
    need?: Asked;
    packet?: Answer[];
}

export interface NewCaution {
    behavior: string;
    source: string;
    scope?: string;
    severity?: string;
    subject?: string;
    born?: string;
    radius_m?: number;
    observed_ms?: number;
    expires_ms?: number;
}

// --- what comes from it ----------------------------------------------------------------------------------------------

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
    closures: Closure[];
}

/** A closed area, a stretch or a spot: what was drawn, and the rings that are closed, by longitude and latitude. */
export interface Closure {
    id: string;
    corners: { lat: number; lon: number }[];
    radius_m: number;
    reason: string;
    by: string;
    since_ms: number;
    until_ms: number | null;
    ended_ms: number | null;
    ended_by: string | null;
    rings: [number, number][][];
}

/** How far the free units come; the widest area first. */
export interface Coverage {
    at_ms: number;
    minutes: number[];
    areas: { minutes: number; rings: [number, number][][] }[];
    counted: { unit: string; call_sign: string; lat: number; lon: number }[];
    left_out: { unit: string; call_sign: string; why: string }[];
    closures: number;
}

/** Where a unit was; between two pieces nothing is known. */
export interface Trail {
    unit: string;
    call_sign: string;
    now_ms: number;
    minutes: number;
    pieces: { at_ms: number; lat: number; lon: number; speed_mps: number | null }[][];
    dropped: number;
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
    words: string[]; // which closures the times keep to
}

export interface Happening {
    at_ms: number;
    what: string;
    call_sign: string | null;
    detail: string | null;
    noted_ms: number | null; // by the board's clock as it was
    corrected_ms: number | null; // what that really was, when the clock was wrong
    field: string | null; // of an act: what it changed
    by: string | null; // and whose it is
    label: string;
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
    licenses: Record<string, string>;
    age_groups: Record<string, string>;
    /** The questions that this person may answer, in their order. */
    packet: Question[];
    behaviors: Record<string, string>;
    severities: string[];
    scopes: string[];
    authorities: Record<string, string>;
    link_kinds: string[];
    /** What this person may see and write. */
    labels: string[];
}

/** `is_urgent`: amber until somebody asked; `is_told`: a yes is nothing without the words. */
export interface Question {
    code: string;
    text: string;
    label: string;
    is_urgent: boolean;
    is_told: boolean;
    answers: string[];
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

/** What a screen on a wall may show: no place, no name. */
export interface Wall {
    now_ms: number;
    agency: string;
    emergencies: { call_sign: string; is_drill: boolean; since_ms: number; is_acknowledged: boolean }[];
    incidents: WallIncident[];
    units: WallUnit[];
}

export interface WallIncident {
    number: number;
    priority: number;
    type_label: string;
    is_staged: boolean;
    opened_ms: number;
    units: { call_sign: string; status: string; status_label: string; since_ms: number; is_acknowledged: boolean }[];
}

export interface WallUnit {
    call_sign: string;
    status: string;
    status_label: string;
    status_ms: number;
    is_silent: boolean;
}

export type Freshness = "live" | "aging" | "stale" | "lost";
