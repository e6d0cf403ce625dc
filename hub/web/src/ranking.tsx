// Who should go, and why not the others. The first one is one key; any other one asks why, in one tap.

import { useEffect, useRef, useState } from "preact/hooks";
import { post, sentence } from "./api";
import { Reasons, StatusWord } from "./parts";
import { age, miles, minutes, orMore } from "./say";
import type { Assignment, Candidate, Incident, Ranked } from "./shapes";
import { units } from "./state";
import { hubNowMs, second } from "./time";

const WHY_ANOTHER = ["Knows this person", "Better skill for this", "First one is needed elsewhere", "Crew is nearer by road", "Crew asked for it"] as const;
const SETTLE_MS = 400; // an Enter held a moment too long in the form must not send anybody
const NOT_BY_ROAD = "straight line, not by road";

export function Ranking({ incident, done }: { incident: Incident; done: () => void }) {
    const [ranked, setRanked] = useState<Ranked | null>(null);
    const [rankedMs, setRankedMs] = useState(0);
    const [asking, setAsking] = useState<string | null>(null);
    const [wrong, setWrong] = useState<string | null>(null);
    const [isSending, setSending] = useState(false);

    const rank = async (): Promise<void> => {
        setWrong(null);
        setAsking(null);
        try {
            setRanked(await post<Ranked>(`/api/v1/incidents/${incident.id}/ranking`, {}));
            setRankedMs(hubNowMs());
        } catch (no) {
            setWrong(sentence(no));
        }
    };
    useEffect(() => void rank(), [incident.id]);

    const send = async (unit: string, reason?: string): Promise<void> => {
        if (ranked === null || isSending) {
            return;
        }
        setSending(true);
        setWrong(null);
        try {
            const body = { id: crypto.randomUUID(), unit, ranking: ranked.ranking, ...(reason === undefined ? {} : { reason }) };
            await post<Assignment>(`/api/v1/incidents/${incident.id}/assignments`, body);
            done();
        } catch (no) {
            setWrong(sentence(no));
        }
        setSending(false);
    };

    const fit = ranked?.candidates.filter((one) => one.fit) ?? [];
    const unfit = ranked?.candidates.filter((one) => !one.fit) ?? [];
    return (
        <section class="ranking" aria-label="Ranked units">
            {wrong === null ? null : (
                <p class="refused" role="alert">
                    {wrong}
                </p>
            )}
            {ranked === null ? (
                <p class="hint">{wrong === null ? "Ranking …" : ""}</p>
            ) : (
                <>
                    <p class="hint engine">
                        {ranked.engine === "straight line" ? "Straight line, not by road" : `By ${ranked.engine}`} · ranked{" "}
                        {age((second.value - rankedMs) / 1000)} ago
                        <button type="button" class="link" onClick={() => void rank()}>
                            Rank again
                        </button>
                    </p>
                    {fit.length === 0 ? <p class="hint none">No unit is fit. Send one anyway with a reason, or widen the need.</p> : null}
                    <ol class="candidates">
                        {fit.map((one, at) => (
                            <li key={one.unit} class={at === 0 ? "first" : ""}>
                                <Line candidate={one} />
                                {at === 0 ? (
                                    <SendFirst candidate={one} isSending={isSending} send={() => void send(one.unit)} ranking={ranked.ranking} />
                                ) : (
                                    <Other candidate={one} asking={asking} ask={setAsking} send={send} words="Send" />
                                )}
                            </li>
                        ))}
                    </ol>
                    {unfit.length === 0 ? null : <h3>Not fit now</h3>}
                    <ol class="candidates unfit">
                        {unfit.map((one) => (
                            <li key={one.unit}>
                                <Line candidate={one} />
                                {canGo(one) ? <Other candidate={one} asking={asking} ask={setAsking} send={send} words="Send anyway" /> : null}
                            </li>
                        ))}
                    </ol>
                </>
            )}
        </section>
    );
}

function SendFirst({ candidate, isSending, send, ranking }: { candidate: Candidate; isSending: boolean; send: () => void; ranking: number }) {
    const button = useRef<HTMLButtonElement>(null);
    const shownAt = useRef(performance.now());
    useEffect(() => {
        shownAt.current = performance.now();
        button.current?.focus({ preventScroll: true });
    }, [candidate.unit, ranking]);
    const press = (): void => {
        if (performance.now() - shownAt.current > SETTLE_MS) {
            send();
        }
    };
    return (
        <button type="button" class="primary send" ref={button} disabled={isSending} onClick={press} onKeyDown={(event) => event.repeat && event.preventDefault()}>
            Send {candidate.call_sign} <kbd>Enter</kbd>
        </button>
    );
}

function Other(props: {
    candidate: Candidate;
    asking: string | null;
    ask: (unit: string | null) => void;
    send: (unit: string, reason: string) => Promise<void>;
    words: string;
}) {
    const { unit, call_sign } = props.candidate;
    const isAsking = props.asking === unit;
    return (
        <>
            <button type="button" class="quiet send-other" aria-expanded={isAsking} onClick={() => props.ask(isAsking ? null : unit)}>
                {props.words}
            </button>
            {isAsking ? <Reasons ask={`Why ${call_sign} and not the first?`} all={WHY_ANOTHER} say={(why) => void props.send(unit, why)} /> : null}
        </>
    );
}

function Line({ candidate }: { candidate: Candidate }) {
    const unit = units.value.find((one) => one.unit === candidate.unit);
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
                    <StatusWord status={candidate.status} label={unit?.status_label ?? candidate.status} />
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

function unique(note: string, at: number, all: string[]): boolean {
    return all.indexOf(note) === at;
}

function canGo(candidate: Candidate): boolean {
    return !candidate.reasons.some((why) => why.startsWith("a desk") || why.startsWith("already sent") || why.startsWith("no terminal"));
}
