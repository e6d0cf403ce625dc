// One incident: what it is, who is on it, who could go, what happened, and its end.

import { useEffect, useState } from "preact/hooks";
import { get, post, sentence } from "./api";
import { Priority, Reasons } from "./parts";
import { Ranking } from "./ranking";
import { clock, timer } from "./say";
import { Sent } from "./sent";
import type { Assignment, Happening, Incident } from "./shapes";
import { closeCard, incidents, mayDispatch, words } from "./state";
import { second } from "./time";

const WHY_RELEASE = ["Enough units there", "Needed elsewhere", "Crew is done", "Sent by mistake"] as const;
const HAPPENED: Record<string, string> = {
    opened: "Opened",
    sent: "Sent",
    on_terminal: "On the terminal",
    acknowledged: "Acknowledged",
    status: "",
    released: "Released",
    note: "Sealed note received",
    closed: "Closed",
    emergency: "Emergency raised",
    emergency_test: "Emergency test",
    emergency_acknowledged: "Emergency acknowledged",
    emergency_cleared: "Emergency cleared",
};

export function IncidentCard({ id }: { id: string }) {
    const incident = incidents.value.find((one) => one.id === id);
    const [isRanking, setRanking] = useState<boolean | null>(null);
    useEffect(() => setRanking(null), [id]);
    if (incident === undefined) {
        return (
            <div class="card-body">
                <div class="card-head">
                    <h2>Closed</h2>
                    <button type="button" class="quiet" onClick={closeCard}>
                        Hide
                    </button>
                </div>
                <p class="hint">This incident is closed.</p>
            </div>
        );
    }
    const on = incident.assignments.filter((sent) => sent.released_ms === null);
    const shows = mayDispatch.value && (isRanking ?? on.length === 0);
    return (
        <div class="card-body">
            <Head incident={incident} />
            {on.map((sent) => (
                <OnIt sent={sent} key={sent.id} />
            ))}
            {shows ? (
                <Ranking incident={incident} done={() => setRanking(false)} key={incident.id} />
            ) : mayDispatch.value ? (
                <button type="button" class="wide" onClick={() => setRanking(true)}>
                    {on.length === 0 ? "Choose a unit" : "Send another unit"}
                </button>
            ) : null}
            <Timeline incident={incident} />
            {mayDispatch.value ? <End incident={incident} isFree={on.length === 0} /> : null}
        </div>
    );
}

function Head({ incident }: { incident: Incident }) {
    const known = words.value;
    const needs = [
        ...incident.languages.map((code) => known?.languages[code] ?? code),
        ...incident.skills.map((code) => known?.skills[code] ?? code),
    ];
    return (
        <>
            <div class="card-head">
                <h2>
                    #{incident.number} <Priority of={incident.priority} />
                </h2>
                <span class="since">{timer((second.value - incident.opened_ms) / 1000)}</span>
                <span class="spring" />
                <button type="button" class="quiet" onClick={closeCard}>
                    Hide
                </button>
            </div>
            <p class="what">{incident.type_label}</p>
            <p class="where">{incident.place}</p>
            {incident.problem === "" ? null : <p class="problem">{incident.problem}</p>}
            {incident.cautions.length === 0 && needs.length === 0 ? null : (
                <p class="tags">
                    {needs.map((need) => (
                        <span class="tag need" key={need}>
                            needs {need}
                        </span>
                    ))}
                    {incident.cautions.map((caution) => (
                        <span class="tag caution" key={caution}>
                            {caution}
                        </span>
                    ))}
                </p>
            )}
            {incident.gate === "staged" ? <p class="hint gate">Unarmed crews wait at staging until the scene is called secure.</p> : null}
        </>
    );
}

function OnIt({ sent }: { sent: Assignment }) {
    const [isAsking, setAsking] = useState(false);
    const [wrong, setWrong] = useState<string | null>(null);
    const release = async (reason: string): Promise<void> => {
        try {
            await post<Assignment>(`/api/v1/assignments/${sent.id}/release`, { reason });
            setAsking(false);
        } catch (no) {
            setWrong(sentence(no));
        }
    };
    return (
        <div class="on-it">
            <Sent sent={sent} />
            {mayDispatch.value ? (
                <button type="button" class="quiet" aria-expanded={isAsking} onClick={() => setAsking(!isAsking)}>
                    Release
                </button>
            ) : null}
            {isAsking ? <Reasons ask={`Why release ${sent.call_sign}?`} all={WHY_RELEASE} say={(why) => void release(why)} /> : null}
            {wrong === null ? null : (
                <p class="refused" role="alert">
                    {wrong}
                </p>
            )}
        </div>
    );
}

/** A board's clock was wrong: the time it really was, beside what the board said. */
function byItsClock(correctedMs: number, notedMs: number | null): string {
    const said = notedMs === null ? "its clock was not set" : `its clock said ${new Date(notedMs).toISOString().slice(0, 10)} ${clock(notedMs, true)}`;
    return ` · pressed at ${clock(correctedMs, true)}, ${said}`;
}

function Timeline({ incident }: { incident: Incident }) {
    const [isOpen, setOpen] = useState(false);
    const [all, setAll] = useState<Happening[]>([]);
    const version = JSON.stringify([incident.assignments, incident.notes]);
    useEffect(() => {
        if (isOpen) {
            get<Happening[]>(`/api/v1/incidents/${incident.id}/timeline`).then(setAll, () => setAll([]));
        }
    }, [isOpen, incident.id, version]);
    return (
        <details class="timeline" onToggle={(event) => setOpen(event.currentTarget.open)}>
            <summary>What happened</summary>
            <ol>
                {all.map((one) => (
                    <li key={`${one.at_ms}${one.what}${one.call_sign ?? ""}`}>
                        <time>{clock(one.at_ms, true)}</time>
                        <span>
                            {[one.call_sign, HAPPENED[one.what] ?? one.what, one.what === "closed" ? (words.value?.dispositions[one.detail ?? ""] ?? one.detail) : one.detail]
                                .filter(Boolean)
                                .join(" · ")}
                            {one.corrected_ms === null ? null : <small class="corrected">{byItsClock(one.corrected_ms, one.noted_ms)}</small>}
                        </span>
                    </li>
                ))}
            </ol>
        </details>
    );
}

function End({ incident, isFree }: { incident: Incident; isFree: boolean }) {
    const [how, setHow] = useState("");
    const [wrong, setWrong] = useState<string | null>(null);
    const end = async (event: Event): Promise<void> => {
        event.preventDefault();
        try {
            await post<Incident>(`/api/v1/incidents/${incident.id}/close`, { disposition: how });
            closeCard();
        } catch (no) {
            setWrong(sentence(no));
        }
    };
    return (
        <form class="end" onSubmit={(event) => void end(event)}>
            <select value={how} aria-label="How it ended" onChange={(event) => setHow(event.currentTarget.value)} disabled={!isFree}>
                <option value="">{isFree ? "How did it end?" : "Units are still on it"}</option>
                {Object.entries(words.value?.dispositions ?? {}).map(([code, label]) => (
                    <option value={code} key={code}>
                        {label}
                    </option>
                ))}
            </select>
            <button type="submit" disabled={!isFree || how === ""}>
                Close incident
            </button>
            {wrong === null ? null : (
                <p class="refused" role="alert">
                    {wrong}
                </p>
            )}
        </form>
    );
}
