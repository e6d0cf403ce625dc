// The open incidents, the most urgent first.

import { Priority, Section } from "./parts";
import { timer } from "./say";
import { Sent } from "./sent";
import type { Incident } from "./shapes";
import { card, incidents, mayDispatch } from "./state";
import { second } from "./time";

export function Incidents({ look, begin }: { look: (incident: Incident) => void; begin: () => void }) {
    const open = incidents.value;
    const extra = mayDispatch.value ? (
        <button type="button" class="quiet" onClick={begin} title="At the middle of the map. Or click the place on the map.">
            New incident
        </button>
    ) : null;
    return (
        <Section title="Incidents" count={open.length === 0 ? "" : `${open.length} open`} extra={extra}>
            {open.length === 0 ? <p class="empty">None open. Click a place on the map to begin one.</p> : null}
            <ul class="rows">
                {open.map((incident) => (
                    <Row incident={incident} look={look} key={incident.id} />
                ))}
            </ul>
        </Section>
    );
}

function Row({ incident, look }: { incident: Incident; look: (incident: Incident) => void }) {
    const on = incident.assignments.filter((sent) => sent.released_ms === null);
    const isShown = card.value.kind === "incident" && card.value.id === incident.id;
    return (
        <li class="incident" data-priority={incident.priority} data-incident={incident.id}>
            <button type="button" class="incident-row" aria-pressed={isShown} onClick={() => look(incident)}>
                <span class="line">
                    <strong class="number">#{incident.number}</strong>
                    <Priority of={incident.priority} />
                    <span class="type">{incident.type_label}</span>
                    <span class="since" title="Since it was opened">
                        {timer((second.value - incident.opened_ms) / 1000)}
                    </span>
                </span>
                <span class="place">{incident.place}</span>
            </button>
            {on.length === 0 ? (
                <button type="button" class="unsent" onClick={() => look(incident)}>
                    {mayDispatch.value ? "Nobody sent: choose a unit" : "Nobody sent"}
                </button>
            ) : (
                on.map((sent) => <Sent sent={sent} key={sent.id} />)
            )}
        </li>
    );
}
