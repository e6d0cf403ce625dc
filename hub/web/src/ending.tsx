// How it ends: what was advised, what came of it, and that advice alone was enough. And that it is not over after all.

import { useState } from "preact/hooks";
import { CONSULT, closeIncident, openIncident, recommend, reopen, settleByPhone } from "./acts";
import { Reasons, Refusal, useDoing } from "./parts";
import { clock } from "./say";
import type { Incident } from "./shapes";
import { mayDispatch, words } from "./state";

const WHY_AGAIN = ["Closed by mistake", "The caller called again", "The person came back"] as const;
const MERGED = "duplicate"; // comes from merging, which also says into what

export function endingSays(incident: Incident): string {
    const word = incident.recommended === null ? null : (words.value?.dispositions[incident.recommended] ?? incident.recommended);
    return word === null ? "" : `advised: ${word}`;
}

/** Advice was enough, and nobody was ever sent: an end of its own, one press. */
export function ByPhone({ incident }: { incident: Incident }) {
    const doing = useDoing();
    if (incident.assignments.length > 0) {
        return null;
    }
    return (
        <>
            <Refusal says={doing.wrong} />
            <button type="button" class="by-phone" disabled={doing.isBusy} onClick={() => void doing.go(() => settleByPhone(incident.id))}>
                Settled by phone, no unit sent
            </button>
        </>
    );
}

export function Ending({ incident, isFree }: { incident: Incident; isFree: boolean }) {
    const doing = useDoing();
    const [how, setHow] = useState("");
    const advised = incident.recommended ?? "";
    return (
        <form
            class="end"
            aria-label="End of the incident"
            onSubmit={(event) => {
                event.preventDefault();
                void doing.go(() => closeIncident(incident.id, how));
            }}
        >
            <label>
                Advised by a clinician
                <Dispositions value={advised} none="Nobody advised" turn={(code) => code !== "" && void doing.go(() => recommend(incident.id, code))} />
            </label>
            <label>
                How it ended
                <Dispositions value={how} none={isFree ? "Choose" : "Units are still on it"} isOff={!isFree} hasConsult={incident.assignments.length === 0} turn={setHow} />
            </label>
            {advised !== "" && how !== "" && advised !== how ? <p class="hint">It ended otherwise than advised. Both are kept.</p> : null}
            <Refusal says={doing.wrong} />
            <button type="submit" disabled={!isFree || how === "" || doing.isBusy}>
                Close incident
            </button>
        </form>
    );
}

function Dispositions(props: { value: string; none: string; isOff?: boolean; hasConsult?: boolean; turn: (code: string) => void }) {
    const all = Object.entries(words.value?.dispositions ?? {}).filter(([code]) => code !== MERGED && (props.hasConsult !== false || code !== CONSULT));
    return (
        <select value={props.value} disabled={props.isOff === true} onChange={(event) => props.turn(event.currentTarget.value)}>
            <option value="">{props.none}</option>
            {all.map(([code, label]) => (
                <option value={code} key={code}>
                    {label}
                </option>
            ))}
        </select>
    );
}

/** It is over: how, and the way back. */
export function Ended({ incident }: { incident: Incident }) {
    const doing = useDoing();
    const [isAsking, setAsking] = useState(false);
    const label = (code: string | null): string | null => (code === null ? null : (words.value?.dispositions[code] ?? code));
    return (
        <div class="ended">
            <p>
                <b>{incident.merged_into === null ? `Closed${incident.closed_ms === null ? "" : ` at ${clock(incident.closed_ms)}`}` : "Merged into another"}</b>
                {label(incident.disposition) === null ? null : <span> {label(incident.disposition)}</span>}
            </p>
            {label(incident.recommended) === null ? null : <p class="hint">Advised: {label(incident.recommended)}</p>}
            {incident.merged_into === null ? null : (
                <button type="button" onClick={() => openIncident(incident.merged_into ?? "")}>
                    See the one that goes on
                </button>
            )}
            <Refusal says={doing.wrong} />
            {mayDispatch.value ? (
                <button type="button" class="quiet" aria-expanded={isAsking} onClick={() => setAsking(!isAsking)}>
                    Open again
                </button>
            ) : null}
            {isAsking ? <Reasons ask="Why open it again?" all={WHY_AGAIN} say={(why) => void doing.go(() => reopen(incident.id, why))} /> : null}
        </div>
    );
}
