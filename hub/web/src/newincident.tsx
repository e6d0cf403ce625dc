// A new incident: where, what, how urgent; the usual answer already chosen. The hint that it is there already comes before
// anything is sent, and a person decides.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Hit, hintsFor, linkTo, map, open, openIncident, wordsFor } from "./acts";
import { AddressSearch } from "./addresssearch";
import { No } from "./api";
import { Urgent } from "./packet";
import { Chips, Refusal, useDoing } from "./parts";
import { carried } from "./remarks";
import type { Asked, Hint } from "./shapes";
import { type Card, type Side, card, closeCard, trouble, words } from "./state";

const GROUPS: [string, string[]][] = [
    ["Crisis", ["MNTL", "MTLV", "EDP", "SUICTHRT", "SUICIDE"]],
    ["Welfare", ["WELFARE", "CITASST", "TRESPASS", "PERMISS", "RUNAWAY"]],
    ["Substance", ["OD", "INTOX"]],
    ["Family", ["DVNA", "DVA"]],
    ["Other", ["ASSIST", "TROUBLE", "MAYDAY"]],
];
export const PRIORITY_WORDS: Record<number, string> = { 1: "life at risk", 2: "urgent", 3: "soon", 4: "when free" };
const HINT_MS = 300;

/** What was typed and not opened: it is there again when the card is. */
interface Draft {
    id: string;
    type: string;
    priority: number;
    place: string;
    isOwn: boolean; // somebody typed these words, so the map's do not replace them
    picked: string; // the point of the address that these words name, "" when they name none
    note: string | null; // what must be known of that address
    problem: string;
    need: Partial<Asked>;
    told: Record<string, string>;
    others: string[]; // of which a person said that they are others
    linked: string[];
}
const draft = signal<Draft>(blank());

function blank(): Draft {
    return {
        id: crypto.randomUUID(),
        type: "MNTL",
        priority: 2,
        place: "",
        isOwn: false,
        picked: "",
        note: null,
        problem: "",
        need: {},
        told: {},
        others: [],
        linked: [],
    };
}

export function NewIncident({ lat, lon, near, side, isGuess, isNamed }: { lat: number; lon: number; near: string; side: Side; isGuess?: boolean; isNamed?: boolean }) {
    const known = words.value;
    const doing = useDoing();
    const [hints, setHints] = useState<Hint[]>([]);
    const is = draft.value;
    const say = (some: Partial<Draft>): void => {
        draft.value = { ...draft.value, ...some };
    };
    const isNew = useRef(true);
    useEffect(() => {
        const words = draft.peek();
        const isOfHere = words.picked === `${lat} ${lon}`;
        const stay = isOfHere || (words.isOwn && words.picked === "" && !isNew.current);
        isNew.current = false;
        if (stay) {
            return;
        }
        // words of another place beside this pin would send a unit to one and name the other
        say({ place: isGuess === true ? "" : near, isOwn: isNamed === true, picked: isNamed === true ? `${lat} ${lon}` : "", note: null });
        if (isGuess !== true && isNamed !== true) {
            wordsFor({ lat, lon }).then(
                (found) => {
                    const at = card.peek();
                    if (found !== null && at.kind === "new" && at.lat === lat && !draft.peek().isOwn) {
                        say({ place: found });
                    }
                },
                () => undefined, // the map's own words stand
            );
        }
    }, [lat, lon]);
    const { type, place } = is;
    useEffect(() => {
        if (isGuess === true) {
            setHints([]); // nobody has said where it is
            return;
        }
        const soon = setTimeout(() => {
            hintsFor({ type, lat, lon, place }).then(setHints, () => setHints([]));
        }, HINT_MS);
        return () => clearTimeout(soon);
    }, [type, place, lat, lon, isGuess]);
    if (known === null) {
        return null;
    }
    const pick = (hit: Hit): void => {
        say({ place: hit.label, isOwn: true, picked: `${hit.lat} ${hit.lon}`, note: hit.note });
        card.value = { kind: "new", lat: hit.lat, lon: hit.lon, near: hit.label, side };
        map.goTo(hit);
        document.getElementById("new-problem")?.focus();
    };
    const send = async (): Promise<void> => {
        const packet = Object.entries(is.told).map(([question, answer]) => ({ question, answer, source: "Caller" }));
        try {
            const opened = await open({
                id: is.id,
                type: is.type,
                priority: is.priority,
                lat,
                lon,
                place: is.place.trim(),
                problem: is.problem.trim(),
                need: is.need,
                packet,
            });
            card.value = { kind: "incident", id: opened.id, side } satisfies Card;
        } catch (no) {
            if (!(no instanceof No) || no.code !== "conflict") {
                throw no;
            }
            // an earlier try of this form arrived after all, and was changed since
            openIncident(is.id);
            trouble.value = "The first try had arrived. What you typed since is not in it: use Change.";
        }
        await Promise.all(is.linked.map((other) => linkTo(is.id, other))).catch((no: unknown) => {
            trouble.value = no instanceof No ? no.message : null;
        });
        draft.value = blank();
    };
    const instead = (one: Hint): void => {
        if (is.problem.trim() !== "") {
            carried.value = { incident: one.incident, text: is.problem.trim() };
        }
        draft.value = blank();
        openIncident(one.incident);
    };
    const asked = hints.filter((one) => !is.others.includes(one.incident));
    return (
        <form
            class="card-body new-incident"
            onSubmit={(event) => {
                event.preventDefault();
                void doing.go(send);
            }}
            aria-label="New incident"
        >
            <div class="card-head">
                <h2>New incident</h2>
                <button
                    type="button"
                    class="quiet"
                    onClick={() => {
                        draft.value = blank();
                        closeCard();
                    }}
                >
                    Cancel
                </button>
            </div>
            <div class="card-scroll">
                <AddressSearch words={is.place} near={{ lat, lon }} isFirst={isGuess === true} say={(text) => say({ place: text, isOwn: true })} pick={pick} />
                {is.note === null ? null : <p class="hint guess">{is.note}</p>}
                {isGuess === true ? <p class="hint guess">The pin is only at the middle of the map. Pick an address, or click the place.</p> : null}
                {asked.length === 0 ? null : (
                    <Twins
                        hints={asked}
                        linked={is.linked}
                        open={instead}
                        link={(one) => say({ linked: is.linked.includes(one) ? is.linked.filter((each) => each !== one) : [...is.linked, one] })}
                        other={(one) => say({ others: [...is.others, one], linked: is.linked.filter((each) => each !== one) })}
                    />
                )}
                <TypeSelect value={is.type} turn={(code) => say({ type: code })} isFirst={isGuess !== true} />
                {known.types.find((one) => one.code === is.type)?.is_gated ? <p class="hint gate">Unarmed crews wait at staging until the scene is called secure.</p> : null}
                <fieldset class="priorities">
                    <legend>Priority</legend>
                    {known.priorities.map((one) => (
                        <label data-priority={one} key={one}>
                            <input type="radio" name="priority" value={one} checked={is.priority === one} onChange={() => say({ priority: one })} />
                            <span>
                                <b>{one}</b> {PRIORITY_WORDS[one] ?? ""}
                            </span>
                        </label>
                    ))}
                </fieldset>
                <label>
                    What is happening
                    <textarea id="new-problem" value={is.problem} onInput={(event) => say({ problem: event.currentTarget.value })} maxLength={2000} rows={2} />
                </label>
                <p class="legend">What the caller says</p>
                <Urgent on={is.told} turn={(told) => say({ told })} />
                <Needs need={is.need} turn={(some) => say({ need: { ...is.need, ...some } })} />
                <Refusal says={doing.wrong} />
            </div>
            <div class="card-foot">
                <button type="submit" class="primary" disabled={doing.isBusy}>
                    Open and rank units
                </button>
            </div>
        </form>
    );
}

export function TypeSelect({ value, turn, isFirst }: { value: string; turn: (code: string) => void; isFirst: boolean }) {
    const labels = new Map((words.value?.types ?? []).map((one) => [one.code, one.label]));
    const grouped = new Set(GROUPS.flatMap(([, codes]) => codes));
    const rest = [...labels.keys()].filter((code) => !grouped.has(code)); // of a newer hub
    const field = useRef<HTMLSelectElement>(null);
    useEffect(() => {
        if (isFirst) {
            field.current?.focus({ preventScroll: true });
        }
    }, []);
    return (
        <label>
            Type
            <select ref={field} value={value} onChange={(event) => turn(event.currentTarget.value)}>
                {[...GROUPS, ...(rest.length === 0 ? [] : [["More", rest] as [string, string[]]])].map(([group, codes]) => (
                    <optgroup label={group} key={group}>
                        {codes.map((code) => (
                            <option value={code} key={code}>
                                {labels.get(code) ?? code}
                            </option>
                        ))}
                    </optgroup>
                ))}
            </select>
        </label>
    );
}

/** What a crew must bring. The language is in sight; the rest is folded, for most calls ask for none of it. */
export function Needs({ need, turn }: { need: Partial<Asked>; turn: (some: Partial<Asked>) => void }) {
    const known = words.value;
    const [isOpen, setOpen] = useState(false);
    if (known === null) {
        return null;
    }
    const { eng: _english, ...languages } = known.languages;
    const chosen = [
        ...(need.skills ?? []).map((code) => known.skills[code] ?? code),
        ...(need.licenses ?? []).map((code) => known.licenses[code] ?? code),
        ...(need.age_group ? [known.age_groups[need.age_group] ?? need.age_group] : []),
        ...(need.crew_size ? [`crew of ${need.crew_size}`] : []),
    ];
    return (
        <>
            <p class="legend">Must speak</p>
            <Chips label="Must speak" all={languages} on={need.languages ?? []} turn={(codes) => turn({ languages: codes })} />
            <button type="button" class="link more" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
                {chosen.length === 0 ? "Must be aboard: anybody" : `Must be aboard: ${chosen.join(", ")}`}
            </button>
            {isOpen ? (
                <>
                    <Chips label="Must be aboard" all={known.skills} on={need.skills ?? []} turn={(codes) => turn({ skills: codes })} />
                    <Chips label="Licenses" all={known.licenses} on={need.licenses ?? []} turn={(codes) => turn({ licenses: codes })} />
                    <div class="pair">
                        <select aria-label="Age of the person" value={need.age_group ?? ""} onChange={(event) => turn({ age_group: event.currentTarget.value || null })}>
                            <option value="">Any age</option>
                            {Object.entries(known.age_groups).map(([code, label]) => (
                                <option value={code} key={code}>
                                    {label}
                                </option>
                            ))}
                        </select>
                        <select aria-label="Size of the crew" value={need.crew_size ?? 0} onChange={(event) => turn({ crew_size: Number(event.currentTarget.value) })}>
                            <option value={0}>Any crew</option>
                            <option value={2}>Two aboard</option>
                            <option value={3}>Three aboard</option>
                        </select>
                    </div>
                </>
            ) : null}
        </>
    );
}

/** It may be there already. */
function Twins(props: { hints: Hint[]; linked: string[]; open: (one: Hint) => void; link: (incident: string) => void; other: (incident: string) => void }) {
    return (
        <div class="twins" role="status" aria-label="Maybe the same call">
            {props.hints.map((one) => (
                <div class="twin-row" key={one.incident}>
                    <p>
                        <b>May be #{one.number}</b> {one.reasons.join(", ")}
                    </p>
                    <div class="pair">
                        <button type="button" onClick={() => props.open(one)}>
                            Open #{one.number} instead
                        </button>
                        <button type="button" aria-pressed={props.linked.includes(one.incident)} onClick={() => props.link(one.incident)}>
                            Link
                        </button>
                        <button type="button" onClick={() => props.other(one.incident)}>
                            Another one
                        </button>
                    </div>
                </div>
            ))}
        </div>
    );
}
