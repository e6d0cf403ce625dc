// What somebody did that a crew must beware of: seen by whom, how long ago, until when it holds. Never a diagnosis.

import { useState } from "preact/hooks";
import { addCaution, endCaution } from "./acts";
import { Choice, Refusal, useDoing } from "./parts";
import { day, feet, longAge } from "./say";
import type { Incident, KnownCaution } from "./shapes";
import { words } from "./state";
import { second } from "./time";

const DAY_MS = 86_400_000;
const SCOPES: [string, string][] = [
    ["address", "This address"],
    ["person", "A person"],
    ["area", "Around here"],
];
const SEVERITIES: [string, string][] = [
    ["high", "Grave"],
    ["normal", "Usual"],
];
const RADIUS_M = 150;

export function cautionsSay(incident: Incident): string {
    const count = incident.known_cautions.length + incident.cautions.length;
    return count === 0 ? "none known" : `${count} known`;
}

/** One caution, with all that makes it worth believing or not. */
export function CautionLine({ one, end }: { one: KnownCaution; end?: () => void }) {
    const now = second.value;
    const about = one.scope === "person" ? "the person" : one.scope === "area" ? `within ${feet(one.radius_m)}` : "this address";
    return (
        <li class="caution-line" data-severity={one.severity}>
            <b>{one.text}</b>
            <small>
                {one.source}, {longAge(now - one.observed_ms)} ago · {about} · until {day(one.expires_ms)}
            </small>
            {end === undefined ? null : (
                <button type="button" class="quiet" onClick={end} aria-label={`End the caution ${one.text}`}>
                    End
                </button>
            )}
        </li>
    );
}

export function Cautions({ incident, mayAdd, mayEnd }: { incident: Incident; mayAdd: boolean; mayEnd: boolean }) {
    const doing = useDoing();
    const [behavior, setBehavior] = useState("");
    const [source, setSource] = useState("");
    const [scope, setScope] = useState("address");
    const [severity, setSeverity] = useState("normal");
    const [subject, setSubject] = useState("");
    const [born, setBorn] = useState("");
    const [days, setDays] = useState("180");
    const add = async (event: Event): Promise<void> => {
        event.preventDefault();
        const told = scope === "person" ? { subject, born } : scope === "area" ? { radius_m: RADIUS_M } : {};
        const expires_ms = Math.round(second.value) + Number(days) * DAY_MS;
        const isDone = await doing.go(() => addCaution(incident.id, { behavior, source, scope, severity, ...told, ...(days === "180" ? {} : { expires_ms }) }));
        if (isDone) {
            setBehavior("");
            setSource("");
            setSubject("");
            setBorn("");
        }
    };
    return (
        <div class="cautions">
            <ul>
                {incident.known_cautions.map((one) => (
                    <CautionLine
                        one={one}
                        {...(mayEnd ? { end: () => void doing.go(() => endCaution(incident.id, one.id)) } : {})}
                        key={one.id}
                    />
                ))}
                {incident.cautions.map((one) => (
                    <li class="caution-line" key={one}>
                        <b>{one}</b>
                        <small>said when it was opened</small>
                    </li>
                ))}
            </ul>
            <Refusal says={doing.wrong} />
            {mayAdd ? (
                <form onSubmit={(event) => void add(event)} aria-label="New caution">
                    <label>
                        What was seen
                        <select value={behavior} required onChange={(event) => setBehavior(event.currentTarget.value)}>
                            <option value="">Choose</option>
                            {Object.entries(words.value?.behaviors ?? {}).map(([code, label]) => (
                                <option value={code} key={code}>
                                    {label}
                                </option>
                            ))}
                        </select>
                    </label>
                    <label>
                        Who saw it
                        <input value={source} required maxLength={60} placeholder="Officer 212, caller" onInput={(event) => setSource(event.currentTarget.value)} />
                    </label>
                    <Choice label="What it is about" all={SCOPES} on={scope} isTight turn={setScope} />
                    {scope === "person" ? (
                        <div class="pair">
                            <label>
                                Name
                                <input value={subject} required maxLength={200} onInput={(event) => setSubject(event.currentTarget.value)} />
                            </label>
                            <label>
                                Born
                                <input type="date" value={born} onInput={(event) => setBorn(event.currentTarget.value)} />
                            </label>
                        </div>
                    ) : null}
                    <div class="pair">
                        <Choice label="How grave" all={SEVERITIES} on={severity} isTight turn={setSeverity} />
                        <select aria-label="Holds for" value={days} onChange={(event) => setDays(event.currentTarget.value)}>
                            <option value="30">for 30 days</option>
                            <option value="180">for 180 days</option>
                            <option value="364">for a year</option>
                        </select>
                    </div>
                    <button type="submit" disabled={doing.isBusy}>
                        Add caution
                    </button>
                </form>
            ) : null}
        </div>
    );
}
