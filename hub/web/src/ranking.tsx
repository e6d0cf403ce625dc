// Who should go, and why not the others. The first one is one key; any other one asks why, in one tap.

import { useEffect, useRef, useState } from "preact/hooks";
import { type Shown, forgetList, isOld, lists, rank, sendFirst, sendUnit } from "./acts";
import { standing } from "./closures";
import { sentence } from "./api";
import { useAgainWhileMissing } from "./dossier";
import { type Doing, Reasons, Refusal, StatusWord, useDoing } from "./parts";
import { age, miles, minutes, orMore } from "./say";
import type { Candidate, Incident } from "./shapes";
import { units } from "./state";
import { second } from "./time";

export const WHY_ANOTHER = [
    "Knows this person",
    "Better skill for this",
    "First one is needed elsewhere",
    "Crew is nearer by road",
    "Crew asked for it",
] as const;
const WHY_TAKEN = ["This is more urgent", "Nobody else fits", "The other can wait", "Crew asked for it"] as const;
const SETTLE_MS = 400; // an Enter held a moment too long in the form must not send anybody
const STRAIGHT = "straight line";
const NOT_BY_ROAD = "straight line, not by road";
const FIT_SHOWN = 4; // nobody sends the fifth, and those that are not fit are asked about more often
const UNFIT_SHOWN = 3; // the nearest: of these somebody asks why

/** What the list rests on: when this is otherwise, so is the list. */
function asks(incident: Incident): string {
    return JSON.stringify([standing.value.map((one) => one.id), incident.lat, incident.lon, incident.priority, incident.gate, incident.skills, incident.languages]);
}

export function Ranking({ incident, done }: { incident: Incident; done: () => void }) {
    const doing = useDoing();
    const [asking, setAsking] = useState<string | null>(null);
    const [isLong, setLong] = useState(false);
    const [isWhole, setWhole] = useState(false);
    const shown = lists.value.get(incident.id);
    const asked = useRef(0);
    const again = (): void => {
        const mine = ++asked.current; // asked while another is under way, and the other one does not count any more
        setAsking(null);
        doing.say(null);
        rank(incident.id).catch((no: unknown) => mine === asked.current && doing.say(sentence(no)));
    };
    useEffect(() => {
        forgetList(incident.id); // it rests on what was: nobody is sent from it
        again();
    }, [incident.id, asks(incident)]);
    useEffect(() => () => forgetList(incident.id), [incident.id]);
    useAgainWhileMissing(doing.wrong !== null && shown === undefined, again);
    const send = async (unit: string, reason: string): Promise<void> => {
        if (await doing.go(() => sendUnit(incident.id, unit, reason))) {
            done();
        }
    };
    const all = shown?.ranked.candidates ?? [];
    const fit = all.filter((one) => one.fit);
    const lesser = all.filter((one) => one.diverted_from !== null);
    const unfit = all.filter((one) => !one.fit && one.diverted_from === null);
    return (
        <section class="ranking" aria-label="Ranked units" data-settled={shown !== undefined}>
            <Refusal says={doing.wrong} />
            {shown === undefined ? (
                <p class="hint">
                    {doing.wrong === null ? (
                        "Ranking …"
                    ) : (
                        <button type="button" class="link" onClick={again}>
                            Rank again
                        </button>
                    )}
                </p>
            ) : (
                <>
                    <Engine shown={shown} again={again} />
                    {fit.length === 0 ? <p class="none">No unit is fit now. Send one anyway with a reason, or change what is needed.</p> : null}
                    <ol class="candidates">
                        {(isLong ? fit : fit.slice(0, FIT_SHOWN)).map((one, at) => (
                            <li key={one.unit} class={at === 0 ? "first" : ""} data-unit={one.unit}>
                                <Line candidate={one} />
                                {at === 0 ? null : (
                                    <Other
                                        candidate={one}
                                        isAsking={asking === one.unit}
                                        ask={setAsking}
                                        question={`Why ${one.call_sign} and not the first?`}
                                        why={WHY_ANOTHER}
                                        send={send}
                                        words="Send"
                                    />
                                )}
                            </li>
                        ))}
                    </ol>
                    <More count={fit.length - FIT_SHOWN} says={(count) => `${count} more fit`} isWhole={isLong} turn={setLong} />
                    {lesser.length === 0 ? null : <h3>On their way to something less urgent</h3>}
                    <ol class="candidates lesser">
                        {lesser.map((one) => (
                            <li key={one.unit} data-unit={one.unit}>
                                <Line candidate={one} />
                                <Other
                                    candidate={one}
                                    isAsking={asking === one.unit}
                                    ask={setAsking}
                                    question={`#${one.diverted_from} is then without ${one.call_sign}. Why take it?`}
                                    why={WHY_TAKEN}
                                    send={send}
                                    words={`Take from #${one.diverted_from}`}
                                />
                            </li>
                        ))}
                    </ol>
                    {unfit.length === 0 ? null : <h3>Not fit now</h3>}
                    <ol class="candidates unfit">
                        {(isWhole ? unfit : unfit.slice(0, UNFIT_SHOWN)).map((one) => (
                            <li key={one.unit} data-unit={one.unit}>
                                <Line candidate={one} />
                                {canGo(one) ? (
                                    <Other
                                        candidate={one}
                                        isAsking={asking === one.unit}
                                        ask={setAsking}
                                        question={`Why ${one.call_sign}, which is not fit?`}
                                        why={WHY_ANOTHER}
                                        send={send}
                                        words="Send anyway"
                                    />
                                ) : null}
                            </li>
                        ))}
                    </ol>
                    <More count={unfit.length - UNFIT_SHOWN} says={(count) => `${count} more not fit, and why`} isWhole={isWhole} turn={setWhole} />
                </>
            )}
        </section>
    );
}

/** The rest of a list. The button stays, so that the keyboard does not fall off the page. */
function More({ count, says, isWhole, turn }: { count: number; says: (count: number) => string; isWhole: boolean; turn: (isWhole: boolean) => void }) {
    return count <= 0 ? null : (
        <button type="button" class="link more" aria-expanded={isWhole} onClick={() => turn(!isWhole)}>
            {isWhole ? "Fewer" : says(count)}
        </button>
    );
}

/** By what the times are told, and how old the list is. */
function Engine({ shown, again }: { shown: Shown; again: () => void }) {
    const { engine, why_not_road } = shown.ranked;
    const isStraight = engine === STRAIGHT;
    return (
        <p class="engine" data-straight={isStraight}>
            {isStraight ? <b>Straight line, not by road</b> : <span>By {engine}</span>}
            <span class="soft">ranked {age((second.value - shown.atMs) / 1000)} ago</span>
            <button type="button" class="link" onClick={again}>
                Rank again
            </button>
            {isStraight && why_not_road !== null ? <small>{why_not_road}</small> : null}
            {shown.ranked.words.map((one) => (
                <small key={one}>{one}</small>
            ))}
        </p>
    );
}

/** What stands between the list and the first of it being sent, "" when nothing does. */
function stale(shown: Shown, first: Candidate, now: number): string {
    const unit = units.value.find((one) => one.unit === first.unit);
    if (unit !== undefined && unit.status !== first.status) {
        return `${first.call_sign} is ${unit.status_label.toLowerCase()} since this list.`;
    }
    return isOld(shown, now) ? "This list is more than a minute old." : "";
}

/** The one key. It stays where it is whatever the list does, and a press just after it changed does nothing. */
export function SendFirst({ incident, done, isEager }: { incident: Incident; done: () => void; isEager: boolean }) {
    const doing: Doing = useDoing();
    const button = useRef<HTMLButtonElement>(null);
    const changedAt = useRef(performance.now());
    const shown = lists.value.get(incident.id);
    const first = shown?.ranked.candidates[0];
    const isFit = first?.fit === true;
    const why = shown === undefined || first === undefined || !isFit ? "" : stale(shown, first, second.value);
    const what = `${shown?.ranked.ranking} ${first?.unit} ${why}`;
    useEffect(() => {
        changedAt.current = performance.now();
    }, [what]);
    const isThere = isFit || why !== "";
    useEffect(() => {
        const at = document.activeElement;
        const isTyping = at instanceof HTMLElement && at.closest("input, textarea, select") !== null;
        if (isThere && isEager && !isTyping) {
            button.current?.focus({ preventScroll: true });
        }
    }, [isThere, shown?.ranked.ranking]);
    const press = async (): Promise<void> => {
        if (performance.now() - changedAt.current < SETTLE_MS) {
            return;
        }
        if (why !== "") {
            await doing.go(() => rank(incident.id));
        } else if (await doing.go(() => sendFirst(incident.id))) {
            done();
        }
    };
    if (!isThere || first === undefined) {
        return <Refusal says={doing.wrong} />;
    }
    return (
        <div class="send-first">
            <Refusal says={doing.wrong} />
            {why === "" ? null : (
                <p class="hint old" role="status">
                    {why}
                </p>
            )}
            <button
                type="button"
                class="primary send"
                ref={button}
                disabled={doing.isBusy}
                onClick={() => void press()}
                onKeyDown={(event) => event.repeat && event.preventDefault()}
            >
                {why === "" ? `Send ${first.call_sign}` : "Rank again"} <kbd>Enter</kbd>
            </button>
        </div>
    );
}

function Other(props: {
    candidate: Candidate;
    isAsking: boolean;
    ask: (unit: string | null) => void;
    send: (unit: string, reason: string) => Promise<void>;
    question: string;
    why: readonly string[];
    words: string;
}) {
    const { unit, call_sign } = props.candidate;
    return (
        <>
            <button
                type="button"
                class="quiet send-other"
                aria-expanded={props.isAsking}
                aria-label={`${props.words} ${call_sign}`}
                onClick={() => props.ask(props.isAsking ? null : unit)}
            >
                {props.words}
            </button>
            {props.isAsking ? <Reasons ask={props.question} all={props.why} say={(why) => void props.send(unit, why)} /> : null}
        </>
    );
}

/** A unit and why. `then`: as it was, whatever it does now. */
export function Line({ candidate, then }: { candidate: Candidate; then?: boolean }) {
    const unit = then === true ? undefined : units.value.find((one) => one.unit === candidate.unit);
    const notes = candidate.notes.filter((note) => note !== NOT_BY_ROAD); // said once, above
    const isOld = candidate.freshness !== "live" && candidate.age_s !== null;
    return (
        <div class="candidate">
            <strong class="sign">{candidate.call_sign}</strong>
            <span class="travel">
                {candidate.travel_s === null ? "" : <b>{minutes(candidate.travel_s)}</b>}
                {candidate.at_least_s === null ? "" : orMore(candidate.at_least_s)}
                {candidate.distance_m === null ? "" : ` ${miles(candidate.distance_m)}`}
            </span>
            {candidate.fit ? (
                <span class="why">
                    <StatusWord status={candidate.status} label={unit?.status_label ?? statusWord(candidate.status)} />
                    {[...notes, isOld ? `position ${age(candidate.age_s ?? 0)} old` : "live"].filter(unique).map((note) => (
                        <span class="tag" key={note}>
                            {note}
                        </span>
                    ))}
                </span>
            ) : (
                <span class="why reasons-not">{candidate.reasons.join(" · ")}</span>
            )}
        </div>
    );
}

function statusWord(code: string): string {
    return code.charAt(0).toUpperCase() + code.slice(1).replaceAll("_", " ");
}

function unique(note: string, at: number, all: string[]): boolean {
    return all.indexOf(note) === at;
}

function canGo(candidate: Candidate): boolean {
    return !candidate.reasons.some((why) => why.startsWith("a desk") || why.startsWith("already sent") || why.startsWith("no terminal"));
}
