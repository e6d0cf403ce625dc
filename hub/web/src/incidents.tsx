// The open incidents, the most pressing first, in an order that only people change.

import { computed, useComputed } from "@preact/signals";
import { byPressure, isUnsent } from "./order";
import { Priority, Section } from "./parts";
import { Sent } from "./sent";
import type { Incident } from "./shapes";
import { chosenIncident, incidents, mayDispatch } from "./state";
import { Since } from "./ticking";

export const ordered = computed<readonly Incident[]>(() => byPressure(incidents.value));

export function Incidents({ look, begin }: { look: (incident: Incident) => void; begin: () => void }) {
    const open = ordered.value;
    const unsent = open.filter(isUnsent).length;
    const extra = mayDispatch.value ? (
        <button type="button" class="quiet" onClick={begin} title="By address, or at the middle of the map. Or click the place on the map.">
            New incident <kbd aria-hidden="true">n</kbd>
        </button>
    ) : null;
    const count = open.length === 0 ? "" : `${open.length} open${unsent === 0 ? "" : `, ${unsent} without a unit`}`;
    return (
        <Section title="Incidents" count={count} extra={extra}>
            {open.length === 0 ? <p class="empty">None open. Click a place on the map, or press n, to begin one.</p> : null}
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
    const isChosen = useComputed(() => chosenIncident.value === incident.id).value;
    return (
        <li class="incident" data-priority={incident.priority} data-incident={incident.id} data-chosen={isChosen}>
            <button type="button" class="incident-row" aria-pressed={isChosen} onClick={() => look(incident)}>
                <span class="line">
                    <strong class="number">#{incident.number}</strong>
                    <Priority of={incident.priority} />
                    <span class="type">{incident.type_label}</span>
                    {incident.gate === "staged" ? <span class="tag staged">Staged</span> : null}
                    <Since ms={incident.opened_ms} title="Since it was opened" />
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
