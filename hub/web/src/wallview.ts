// What a screen on a wall may show: visitors see it. Which units do what, and how long incidents wait; no place, no name,
// no word that somebody said of anybody. The wall is drawn from this and from nothing else.

import { byPressure } from "./order";
import type { Emergency, Incident, Unit } from "./shapes";

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

export interface WallEmergency {
    call_sign: string;
    is_drill: boolean;
    since_ms: number;
    is_acknowledged: boolean;
}

export interface WallView {
    emergencies: WallEmergency[];
    incidents: WallIncident[];
    units: WallUnit[];
}

export function wallView(emergencies: readonly Emergency[], incidents: readonly Incident[], units: readonly Unit[]): WallView {
    const by = new Map(units.map((unit) => [unit.unit, unit]));
    return {
        emergencies: emergencies.map((one) => ({
            call_sign: one.call_sign,
            is_drill: one.is_drill,
            since_ms: one.pressed_ms ?? one.received_ms,
            is_acknowledged: one.acknowledged_ms !== null,
        })),
        incidents: byPressure(incidents).map((one) => ({
            number: one.number,
            priority: one.priority,
            type_label: one.type_label,
            is_staged: one.gate === "staged",
            opened_ms: one.opened_ms,
            units: one.assignments
                .filter((sent) => sent.released_ms === null)
                .map((sent) => {
                    const unit = by.get(sent.unit);
                    const isOnIt = unit?.assignment === sent.id;
                    return {
                        call_sign: sent.call_sign,
                        status: isOnIt ? unit.status : "assigned",
                        status_label: isOnIt ? unit.status_label : "Assigned",
                        since_ms: isOnIt ? unit.status_ms : sent.offered_ms,
                        is_acknowledged: sent.acknowledged_ms !== null,
                    };
                }),
        })),
        units: units
            .filter((unit) => unit.kind !== "desk" && unit.status !== "off_duty")
            .map((unit) => ({
                call_sign: unit.call_sign,
                status: unit.status,
                status_label: unit.status_label,
                status_ms: unit.status_ms,
                is_silent: unit.presence !== "connected",
            })),
    };
}
