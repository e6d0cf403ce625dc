// Everything that happened on one incident, in order, whoever did it.

import { useEffect, useState } from "preact/hooks";
import { get, sentence } from "./api";
import { Refusal } from "./parts";
import { clock } from "./say";
import type { Happening, Incident } from "./shapes";
import { words } from "./state";

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
    told: "",
    changed: "",
    staged: "Staged",
    secured: "Called secure",
    remark: "Remark",
    caution_added: "Caution",
    caution_ended: "Caution ended",
    recommended: "Recommended",
    reopened: "Opened again",
    merged: "Merged into",
    took_over: "Took over",
    linked: "Linked",
    unlinked: "Unlinked",
};
const ENDINGS = new Set(["disposition", "recommended"]);

export function Timeline({ incident }: { incident: Incident }) {
    const [all, setAll] = useState<Happening[]>([]);
    const [wrong, setWrong] = useState<string | null>(null);
    const version = JSON.stringify([incident.revision, incident.state, incident.assignments, incident.notes]);
    useEffect(() => {
        get<Happening[]>(`/api/v1/incidents/${incident.id}/timeline`).then(
            (found) => {
                setWrong(null);
                setAll(found);
            },
            (no: unknown) => setWrong(sentence(no)),
        );
    }, [incident.id, version]);
    return (
        <>
            <Refusal says={wrong} />
            <ol class="timeline">
                {all.map((one, at) => (
                    <li key={at}>
                        <time>{clock(one.at_ms, true)}</time>
                        <span>
                            {[one.call_sign, HAPPENED[one.what] ?? one.what, said(one)].filter(Boolean).join(" · ")}
                            {one.by === null || one.what === "opened" ? null : <small class="by"> {one.by}</small>}
                            {one.corrected_ms === null ? null : <small class="corrected">{byItsClock(one.corrected_ms, one.noted_ms)}</small>}
                        </span>
                    </li>
                ))}
            </ol>
        </>
    );
}

function said(one: Happening): string | null {
    const isEnding = one.what === "closed" || ENDINGS.has(one.field ?? "");
    return isEnding ? (words.value?.dispositions[one.detail ?? ""] ?? one.detail) : one.detail;
}

/** A board's clock was wrong: the time it really was, beside what the board said. */
function byItsClock(correctedMs: number, notedMs: number | null): string {
    const noted = notedMs === null ? "its clock was not set" : `its clock said ${new Date(notedMs).toISOString().slice(0, 10)} ${clock(notedMs, true)}`;
    return ` · pressed at ${clock(correctedMs, true)}, ${noted}`;
}
