// Saying it otherwise: what, how urgent, where, what is needed. Two dispatchers may do it at once: whoever comes second
// is told by name, sees what stands now beside what was typed, and decides.

import { useRef, useState } from "preact/hooks";
import { type Hit, change, map } from "./acts";
import { No } from "./api";
import { AddressSearch } from "./addresssearch";
import { Needs, PRIORITY_WORDS, TypeSelect } from "./newincident";
import { Refusal, useDoing } from "./parts";
import type { Asked, Changed, Incident } from "./shapes";
import { words } from "./state";

export function Correcting({ incident, need, done }: { incident: Incident; need: Asked; done: () => void }) {
    const doing = useDoing();
    const seen = useRef({ revision: incident.revision, incident, need });
    const [type, setType] = useState(incident.type);
    const [priority, setPriority] = useState(incident.priority);
    const [place, setPlace] = useState(incident.place);
    const [at, setAt] = useState<Hit | null>(null);
    const [problem, setProblem] = useState(incident.problem);
    const [wanted, setWanted] = useState<Asked>(need);
    const [isOtherwise, setOtherwise] = useState(false);

    const was = seen.current.incident;
    const changed: Changed = {
        ...(type === was.type ? {} : { type }),
        ...(priority === was.priority ? {} : { priority }),
        ...(place.trim() === was.place ? {} : { place: place.trim() }),
        ...(at === null ? {} : { lat: at.lat, lon: at.lon }),
        ...(problem.trim() === was.problem ? {} : { problem: problem.trim() }),
        ...(JSON.stringify(wanted) === JSON.stringify(seen.current.need) ? {} : { need: wanted }),
    };
    const save = async (event: Event): Promise<void> => {
        event.preventDefault();
        const isDone = await doing.go(async () => {
            try {
                await change(incident.id, seen.current.revision, changed);
            } catch (no) {
                if (no instanceof No && no.code === "changed") {
                    setOtherwise(true);
                }
                throw no;
            }
        });
        if (isDone) {
            done();
        }
    };
    /** From here on the person has seen what the other one said. */
    const looked = (): void => {
        seen.current = { revision: incident.revision, incident, need };
        setOtherwise(false);
        doing.say(null);
    };
    const now: [string, string][] = [
        ["Type", incident.type === type ? "" : incident.type_label],
        ["Priority", incident.priority === priority ? "" : `P${incident.priority}`],
        ["Place", incident.place === place.trim() ? "" : incident.place],
        ["What is happening", incident.problem === problem.trim() ? "" : incident.problem],
    ];
    return (
        <form class="correcting" aria-label="Change the incident" onSubmit={(event) => void save(event)}>
            <TypeSelect value={type} turn={setType} isFirst />
            <label>
                Priority
                <select value={priority} onChange={(event) => setPriority(Number(event.currentTarget.value))}>
                    {(words.value?.priorities ?? []).map((one) => (
                        <option value={one} key={one}>
                            {one} {PRIORITY_WORDS[one] ?? ""}
                        </option>
                    ))}
                </select>
            </label>
            <AddressSearch
                words={place}
                near={incident}
                isFirst={false}
                say={setPlace}
                pick={(hit) => {
                    setPlace(hit.label);
                    setAt(hit);
                    map.goTo(hit);
                }}
            />
            {at === null ? null : <p class="hint">The pin moves to {at.label}. Its scene is then one that nobody has looked at.</p>}
            <label>
                What is happening
                <textarea value={problem} rows={2} maxLength={2000} onInput={(event) => setProblem(event.currentTarget.value)} />
            </label>
            <Needs need={wanted} turn={(some) => setWanted({ ...wanted, ...some })} />
            <Refusal says={doing.wrong} />
            {isOtherwise ? (
                <div class="otherwise">
                    {now
                        .filter(([, is]) => is !== "")
                        .map(([field, is]) => (
                            <p key={field}>
                                {field} is now: <b>{is}</b>
                            </p>
                        ))}
                    <div class="pair">
                        <button type="button" onClick={done}>
                            Leave it so
                        </button>
                        <button type="button" onClick={looked}>
                            I have seen it: keep mine
                        </button>
                    </div>
                </div>
            ) : (
                <div class="pair">
                    <button type="button" onClick={done}>
                        Cancel
                    </button>
                    <button type="submit" disabled={doing.isBusy || Object.keys(changed).length === 0}>
                        Save
                    </button>
                </div>
            )}
        </form>
    );
}
