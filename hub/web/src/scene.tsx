// May a crew without a sworn member walk up: what stands about the scene, and who says otherwise, by name.

import { useState } from "preact/hooks";
import { secure, stage } from "./acts";
import { Reasons, Refusal, useDoing } from "./parts";
import type { Incident } from "./shapes";
import { words } from "./state";

const WHY_STAGED = ["Weapon mentioned", "Someone violent there", "Crew asked for it", "Nobody can see the scene"] as const;

export function Scene({ incident, maySecure }: { incident: Incident; maySecure: boolean }) {
    const doing = useDoing();
    const [isAsking, setAsking] = useState(false);
    const [authority, setAuthority] = useState("police");
    const [name, setName] = useState("");
    const shut = (isDone: boolean): void => {
        if (isDone) {
            setAsking(false);
            setName("");
        }
    };
    const say = async (event: Event): Promise<void> => {
        event.preventDefault();
        shut(await doing.go(() => secure(incident.id, incident.revision, authority, name)));
    };
    const ask = (label: string) => (
        <button type="button" class="quiet" aria-expanded={isAsking} onClick={() => setAsking(!isAsking)}>
            {label}
        </button>
    );
    const stageIt = isAsking ? <Reasons ask="Why is it not secure?" all={WHY_STAGED} say={(why) => void doing.go(() => stage(incident.id, why)).then(shut)} /> : null;
    if (incident.gate === "staged") {
        return (
            <div class="scene" data-gate="staged">
                <p>
                    <b>Scene not secure.</b> Unarmed crews wait at staging.
                </p>
                {maySecure ? ask("Secure …") : null}
                {isAsking ? (
                    <form onSubmit={(event) => void say(event)} aria-label="Who called it secure">
                        <select aria-label="Who called it secure" value={authority} onChange={(event) => setAuthority(event.currentTarget.value)}>
                            {Object.entries(words.value?.authorities ?? {}).map(([code, label]) => (
                                <option value={code} key={code}>
                                    {label}
                                </option>
                            ))}
                        </select>
                        <div class="pair">
                            <input aria-label="Their name" placeholder="Name" value={name} required maxLength={100} onInput={(event) => setName(event.currentTarget.value)} />
                            <button type="submit" disabled={doing.isBusy}>
                                Secure
                            </button>
                        </div>
                    </form>
                ) : null}
                <Refusal says={doing.wrong} />
            </div>
        );
    }
    return (
        <div class="scene" data-gate={incident.gate}>
            <p>{incident.gate === "secure" ? `Scene called secure by ${incident.gate_by ?? "somebody"}.` : "Nobody has said whether the scene is secure."}</p>
            {ask("Not secure …")}
            {stageIt}
            <Refusal says={doing.wrong} />
        </div>
    );
}
