// All waiting incidents solved together, beside what one by one would give, with what each costs. It is shown; only a
// person sends, all of it by one confirmed act or each for itself.

import { computed, signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { LIST_MS_MAX, openIncident, rank, sendUnit } from "./acts";
import { post, sentence } from "./api";
import { isUnsent } from "./order";
import { age, minutes } from "./say";
import { incidents, mayDispatch, refuse, sheet, tell } from "./state";
import { hubNowMs, second } from "./time";

interface Pick {
    incident: string;
    number: number;
    priority: number;
    unit: string | null;
    call_sign: string | null;
    travel_s: number | null;
    expected_s: number | null;
}

interface Plans {
    engine: string;
    together: Pick[];
    one_by_one: Pick[];
    saved_s: number;
    words: string[];
    why_not_road: string | null;
}

export type PlanName = "together" | "one_by_one";

const TITLES: Record<PlanName, string> = { together: "Together", one_by_one: "One by one" };
const REASONS: Record<PlanName, string> = { together: "Rounds: solved together", one_by_one: "Rounds: one by one" };

const plans = signal<Plans | null>(null);
const atMs = signal(0);
const wrong = signal<string | null>(null);
const confirming = signal<PlanName | null>(null);
/** By incident: what became of it when the plan was sent. */
const became = signal<ReadonlyMap<string, string>>(new Map());
const isBusy = signal(false);

const isOld = computed(() => plans.value !== null && second.value - atMs.value > LIST_MS_MAX);

export function openRounds(): void {
    if (!mayDispatch.value) {
        refuse("Your role watches. A dispatcher sends units.");
    } else if (incidents.value.filter(isUnsent).length === 0) {
        refuse("No incident waits for a unit.");
    } else {
        sheet.value = "rounds";
        void solve();
    }
}

export function closeRounds(): void {
    if (confirming.value !== null) {
        confirming.value = null;
    } else if (sheet.value === "rounds") {
        sheet.value = "none";
    }
}

async function solve(): Promise<void> {
    plans.value = null;
    wrong.value = null;
    confirming.value = null;
    became.value = new Map();
    try {
        plans.value = await post<Plans>("/api/v1/rounds", {});
        atMs.value = hubNowMs();
    } catch (no) {
        wrong.value = sentence(no);
    }
}

function sendable(name: PlanName): Pick[] {
    return (plans.value?.[name] ?? []).filter((pick) => pick.unit !== null && !became.value.has(pick.incident));
}

/** Each for itself, the most urgent first: one that fails leaves the others sent and says why. */
async function sendAll(name: PlanName): Promise<void> {
    isBusy.value = true;
    confirming.value = null;
    let sent = 0;
    for (const pick of sendable(name)) {
        const said = await send(pick, REASONS[name]);
        sent += said === null ? 1 : 0;
        became.value = new Map(became.value).set(pick.incident, said ?? "sent");
    }
    isBusy.value = false;
    const failed = [...became.value.values()].filter((one) => one !== "sent").length;
    if (failed === 0) {
        sheet.value = "none";
        tell(`${sent === 1 ? "1 unit is" : `${sent} units are`} sent, ${TITLES[name].toLowerCase()}.`);
    } else {
        refuse(`${sent} sent, ${failed} not: the plan says why.`);
    }
}

/** null when it was sent, else why not. The list is asked for anew, so that the record says what this choice rested on;
 * a unit that is not fit any more is not sent by a plan. */
async function send(pick: Pick, reason: string): Promise<string | null> {
    try {
        const { ranked } = await rank(pick.incident);
        const candidate = ranked.candidates.find((one) => one.unit === pick.unit);
        if (candidate === undefined || !candidate.fit) {
            return `${pick.call_sign ?? "It"} is not fit any more: ${candidate?.reasons.join(", ") ?? "not on the list"}.`;
        }
        await sendUnit(pick.incident, candidate.unit, reason);
        return null;
    } catch (no) {
        return sentence(no);
    }
}

export function Rounds() {
    const close = useRef<HTMLButtonElement>(null);
    useLayoutEffect(() => close.current?.focus(), []);
    const now = plans.value;
    return (
        <div class="sheet-over rounds" role="dialog" aria-label="Rounds">
            <div class="head">
                <h2>Rounds: all that wait, at once</h2>
                <span class="spring" />
                <button type="button" class="quiet" onClick={() => void solve()} disabled={isBusy.value}>
                    Solve again
                </button>
                <button type="button" class="quiet" ref={close} onClick={() => (sheet.value = "none")}>
                    Close <kbd>Esc</kbd>
                </button>
            </div>
            {wrong.value === null ? null : (
                <p class="refused" role="alert">
                    {wrong.value}
                </p>
            )}
            {now === null ? <p class="hint">{wrong.value === null ? "Solving …" : ""}</p> : <Beside plans={now} />}
        </div>
    );
}

function Beside({ plans: now }: { plans: Plans }) {
    return (
        <>
            <ul class="verdict">
                {now.words.map((sentence) => (
                    <li key={sentence}>{sentence}</li>
                ))}
            </ul>
            <div class="table-over" tabIndex={0} role="region" aria-label="The plans">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">Incident</th>
                            <th scope="col">One by one</th>
                            <th scope="col">Together</th>
                            <th scope="col">Together costs</th>
                        </tr>
                    </thead>
                    <tbody>
                        {now.together.map((joint, at) => (
                            <Row joint={joint} single={now.one_by_one[at]} key={joint.incident} />
                        ))}
                    </tbody>
                    <tfoot>
                        <tr>
                            <th scope="row">Waiting in all</th>
                            <td>{total(now.one_by_one)}</td>
                            <td>{total(now.together)}</td>
                            <td>{difference(-now.saved_s)}</td>
                        </tr>
                    </tfoot>
                </table>
            </div>
            <p class="hint">
                By {now.engine}, {age((second.value - atMs.value) / 1000)} ago{now.why_not_road === null ? "" : `: ${now.why_not_road}`}. Waiting counts the way, the age
                of a position and unmet wishes. Nobody less urgent makes somebody more urgent wait.
            </p>
            <Send />
        </>
    );
}

function Row({ joint, single }: { joint: Pick; single: Pick | undefined }) {
    const incident = incidents.value.find((one) => one.id === joint.incident);
    const isOther = joint.unit !== single?.unit;
    const said = became.value.get(joint.incident);
    const cost = joint.expected_s === null || single?.expected_s == null ? null : joint.expected_s - single.expected_s;
    return (
        <tr data-priority={joint.priority} data-other={isOther} data-incident-of={joint.incident}>
            <th scope="row">
                <button type="button" class="link" onClick={() => openIncident(joint.incident)}>
                    #{joint.number}
                </button>{" "}
                <span class="priority" data-priority={joint.priority}>
                    P{joint.priority}
                </span>
                <small>{incident === undefined ? "" : `${incident.type_label} · ${incident.place}`}</small>
            </th>
            <td>{choice(single)}</td>
            <td>
                {choice(joint)}
                {said === undefined ? null : <small data-wrong={said !== "sent"}>{said}</small>}
            </td>
            <td>{isOther ? (cost === null ? "" : difference(cost)) : "the same"}</td>
        </tr>
    );
}

function choice(pick: Pick | undefined) {
    return pick?.unit == null ? (
        <em>nobody left</em>
    ) : (
        <>
            <b>{pick.call_sign}</b> {pick.travel_s === null ? "" : minutes(pick.travel_s)}
        </>
    );
}

function total(picks: Pick[]): string {
    const all = picks.flatMap((pick) => (pick.expected_s === null ? [] : [pick.expected_s]));
    const without = picks.length - all.length;
    return `${minutes(all.reduce((so, one) => so + one, 0))}${without === 0 ? "" : `, ${without} without a unit`}`;
}

function difference(seconds: number): string {
    const whole = Math.round(seconds);
    if (Math.abs(whole) < 30) {
        return "as long";
    }
    const far = Math.abs(whole) < 90 ? `${Math.abs(whole)} s` : `${Math.round(Math.abs(whole) / 60)} min`;
    return whole > 0 ? `${far} more` : `${far} less`;
}

/** One press names the plan, the second means it. */
function Send() {
    const sure = useRef<HTMLButtonElement>(null);
    const name = confirming.value;
    useLayoutEffect(() => sure.current?.focus(), [name]);
    if (isBusy.value) {
        return <p class="hint">Sending …</p>;
    }
    if (isOld.value) {
        return <p class="refused">This plan is more than a minute old. Solve again, then send.</p>;
    }
    if (name === null) {
        return (
            <div class="send-all">
                {(["together", "one_by_one"] as const).map((one) => {
                    const count = sendable(one).length;
                    return (
                        <button type="button" class={one === "together" ? "primary" : ""} disabled={count === 0} onClick={() => (confirming.value = one)} key={one}>
                            Send all {count}, {TITLES[one].toLowerCase()} …
                        </button>
                    );
                })}
            </div>
        );
    }
    const all = sendable(name);
    return (
        <div class="send-all" role="group" aria-label="Sure?">
            <p>{all.map((pick) => `${pick.call_sign ?? ""} to #${pick.number}`).join(", ")}</p>
            <button type="button" class="primary" ref={sure} onClick={() => void sendAll(name)} onKeyDown={(event) => event.repeat && event.preventDefault()}>
                Yes, send {all.length === 1 ? "it" : `these ${all.length}`}
            </button>
            <button type="button" onClick={() => (confirming.value = null)}>
                Not yet
            </button>
        </div>
    );
}
