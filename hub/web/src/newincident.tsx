// A new incident at a place somebody pointed at: few fields, the usual answer already chosen.

import { useEffect, useRef, useState } from "preact/hooks";
import { post, sentence } from "./api";
import { Chips } from "./parts";
import type { Incident } from "./shapes";
import { type Side, card, closeCard, incidents, words } from "./state";

const GROUPS: [string, string[]][] = [
    ["Crisis", ["MNTL", "MTLV", "EDP", "SUICTHRT", "SUICIDE"]],
    ["Welfare", ["WELFARE", "CITASST", "TRESPASS", "PERMISS", "RUNAWAY"]],
    ["Substance", ["OD", "INTOX"]],
    ["Family", ["DVNA", "DVA"]],
    ["Other", ["ASSIST", "TROUBLE", "MAYDAY"]],
];
const CAUTIONS = ["Weapon seen", "Threatened a responder", "Runs away", "Sets fires", "Dog at the address"];
const PRIORITY_WORDS: Record<number, string> = { 1: "life at risk", 2: "urgent", 3: "soon", 4: "when free" };

export function NewIncident({ lat, lon, near, side }: { lat: number; lon: number; near: string; side: Side }) {
    const known = words.value;
    const [id, setId] = useState(() => crypto.randomUUID());
    const [type, setType] = useState("MNTL");
    const [priority, setPriority] = useState(2);
    const [place, setPlace] = useState(near);
    const [problem, setProblem] = useState("");
    const [languages, setLanguages] = useState<string[]>([]);
    const [skills, setSkills] = useState<string[]>([]);
    const [cautions, setCautions] = useState<string[]>([]);
    const [wrong, setWrong] = useState<string | null>(null);
    const [isSending, setSending] = useState(false);
    const first = useRef<HTMLSelectElement>(null);
    useEffect(() => first.current?.focus({ preventScroll: true }), []);
    useEffect(() => setPlace((said) => (said === "" || said !== near ? near || said : said)), [near]);
    if (known === null) {
        return null;
    }
    const labels = new Map(known.types.map((one) => [one.code, one]));
    const { eng: _english, ...otherLanguages } = known.languages;

    const open = async (event: Event): Promise<void> => {
        event.preventDefault();
        setSending(true);
        setWrong(null);
        try {
            const body = { id, type, priority, lat, lon, place: place.trim(), problem: problem.trim(), cautions, need: { skills, languages } };
            const opened = await post<Incident>("/api/v1/incidents", body);
            if (!incidents.value.some((one) => one.id === opened.id)) {
                incidents.value = [...incidents.value, opened];
            }
            card.value = { kind: "incident", id: opened.id, side };
        } catch (no) {
            setId(crypto.randomUUID());
            setWrong(sentence(no));
            setSending(false);
        }
    };

    return (
        <form class="card-body" onSubmit={(event) => void open(event)} aria-label="New incident">
            <div class="card-head">
                <h2>New incident</h2>
                <button type="button" class="quiet" onClick={closeCard}>
                    Cancel
                </button>
            </div>
            <label>
                Type
                <select ref={first} value={type} onChange={(event) => setType(event.currentTarget.value)}>
                    {GROUPS.map(([group, codes]) => (
                        <optgroup label={group} key={group}>
                            {codes.map((code) => (
                                <option value={code} key={code}>
                                    {labels.get(code)?.label ?? code}
                                </option>
                            ))}
                        </optgroup>
                    ))}
                </select>
            </label>
            {labels.get(type)?.is_gated ? <p class="hint gate">Unarmed crews wait at staging until the scene is called secure.</p> : null}
            <fieldset class="priorities">
                <legend>Priority</legend>
                {known.priorities.map((one) => (
                    <label data-priority={one} key={one}>
                        <input type="radio" name="priority" value={one} checked={priority === one} onChange={() => setPriority(one)} />
                        <span>
                            <b>{one}</b> {PRIORITY_WORDS[one] ?? ""}
                        </span>
                    </label>
                ))}
            </fieldset>
            <label>
                Place
                <input value={place} onInput={(event) => setPlace(event.currentTarget.value)} maxLength={200} required autocomplete="off" />
            </label>
            <label>
                What is happening
                <textarea value={problem} onInput={(event) => setProblem(event.currentTarget.value)} maxLength={2000} rows={2} />
            </label>
            <p class="legend">Must speak</p>
            <Chips label="Must speak" all={otherLanguages} on={languages} turn={setLanguages} />
            <p class="legend">Must be aboard</p>
            <Chips label="Must be aboard" all={known.skills} on={skills} turn={setSkills} />
            <p class="legend">Cautions</p>
            <Chips label="Cautions" all={Object.fromEntries(CAUTIONS.map((one) => [one, one]))} on={cautions} turn={setCautions} />
            {wrong === null ? null : (
                <p class="refused" role="alert">
                    {wrong}
                </p>
            )}
            <div class="card-foot">
                <button type="submit" class="primary" disabled={isSending}>
                    Open and rank units
                </button>
            </div>
        </form>
    );
}
