// One incident. In sight: what it is, what is dangerous, who is on it, who could go, and the key that sends. Folded, each
// behind one line that says how it stands: everything else.

import { useEffect, useRef, useState } from "preact/hooks";
import { release } from "./acts";
import { CautionLine, Cautions, cautionsSay } from "./cautions";
import { Correcting } from "./correcting";
import { EarlierHere, earlierSays, useDossier, useIncident } from "./dossier";
import { ByPhone, Ended, Ending, endingSays } from "./ending";
import { Linking, linksSay, useHints } from "./linking";
import { Packet, packetSays } from "./packet";
import { Fold, Priority, Reasons, Refusal, useDoing } from "./parts";
import { Ranking, SendFirst } from "./ranking";
import { Remarks, carried, remarksSay } from "./remarks";
import { timer } from "./say";
import { Scene } from "./scene";
import { Sent } from "./sent";
import { ShownThen } from "./shownthen";
import type { Assignment, Incident } from "./shapes";
import { closeCard, mayDispatch, words } from "./state";
import { second } from "./time";
import { Timeline } from "./timeline";

const WHY_RELEASE = ["Enough units there", "Needed elsewhere", "Crew is done", "Sent by mistake"] as const;
const CAUTIONS_SHOWN = 2; // the gravest; the rest is one press away

export function IncidentCard({ id }: { id: string }) {
    const { incident, wrong } = useIncident(id);
    if (incident === null) {
        return (
            <div class="card-body">
                <div class="card-head">
                    <h2>{wrong === null ? "…" : "Not found"}</h2>
                    <Hide />
                </div>
                <Refusal says={wrong} />
            </div>
        );
    }
    return <Body incident={incident} key={incident.id} />;
}

function Body({ incident }: { incident: Incident }) {
    const { dossier, wrong, again } = useDossier(incident.id, incident.revision);
    const [isRanking, setRanking] = useState<boolean | null>(null);
    const [isCorrecting, setCorrecting] = useState(false);
    const [unfolded, setUnfolded] = useState<string | null>(() => (carried.value?.incident === incident.id ? "remarks" : null));
    const isOpen = incident.state === "open";
    const mayAct = mayDispatch.value && isOpen;
    const on = incident.assignments.filter((sent) => sent.released_ms === null);
    const ranks = mayAct && (isRanking ?? on.length === 0);
    const links = dossier?.links ?? [];
    const remarks = dossier?.remarks ?? [];
    const unread = dossier !== null ? null : wrong === null ? "" : "not read"; // and never "none"
    const hints = useHints(incident, links, mayAct);
    const fold = (name: string): { isOpen: boolean; turn: (isOpen: boolean) => void } => ({
        isOpen: unfolded === name,
        turn: (isNow) => setUnfolded(isNow ? name : null),
    });
    const sent = (): void => setRanking(false);
    const head = <Head incident={incident} mayCorrect={mayAct && dossier !== null} isCorrecting={isCorrecting} correct={setCorrecting} />;
    if (isCorrecting && mayAct && dossier !== null) {
        return (
            <div class="card-body incident-card">
                {head}
                <div class="card-scroll">
                    <Correcting incident={incident} need={dossier.need} done={() => setCorrecting(false)} />
                </div>
            </div>
        );
    }
    return (
        <div class="card-body incident-card" data-state={incident.state}>
            {head}
            <div class="card-scroll">
                <Refusal says={wrong === null ? null : `This is only what the board shows. ${wrong}`} />
                <Told incident={incident} />
                {isOpen ? <Pressing incident={incident} unfold={setUnfolded} /> : <Ended incident={incident} />}
                {on.map((one) => (
                    <OnIt incident={incident} sent={one} key={one.id} />
                ))}
                {ranks ? <Ranking incident={incident} done={sent} key={incident.id} /> : null}
                <div class="folds">
                    <Fold title="Before they arrive" says={packetSays(incident)} isPressing={incident.amber.length > 0 && isOpen} {...fold("packet")}>
                        <Packet incident={incident} known={dossier?.packet ?? incident.packet} mayTell={mayAct} />
                        {isOpen && incident.gate !== "staged" ? <Scene incident={incident} maySecure /> : null}
                    </Fold>
                    <Fold title="Cautions" says={cautionsSay(incident)} {...fold("cautions")}>
                        <Cautions incident={incident} mayAdd={mayAct} mayEnd={mayDispatch.value} />
                    </Fold>
                    <Fold title="Remarks" says={unread ?? remarksSay(remarks)} {...fold("remarks")}>
                        <Remarks incident={incident.id} remarks={remarks} again={again} />
                    </Fold>
                    <Fold title="Belongs together" says={unread ?? linksSay(links, hints)} isPressing={hints.length > 0} {...fold("links")}>
                        <Linking incident={incident} links={links} hints={hints} mayDispatch={mayDispatch.value} again={again} />
                    </Fold>
                    <Fold title="Here before" says={unread ?? earlierSays(dossier?.earlier ?? [])} {...fold("earlier")}>
                        {dossier === null ? <p class="hint">Not read yet.</p> : <EarlierHere all={dossier.earlier} />}
                    </Fold>
                    <Fold title="What happened" says="" {...fold("story")}>
                        <Timeline incident={incident} />
                        {incident.assignments.length === 0 ? null : <ShownThen incident={incident} />}
                    </Fold>
                    {mayAct ? (
                        <Fold title="End it" says={endingSays(incident)} {...fold("end")}>
                            <Ending incident={incident} isFree={on.length === 0} />
                        </Fold>
                    ) : null}
                </div>
            </div>
            {mayAct ? (
                <div class="card-foot">
                    {ranks ? (
                        <SendFirst incident={incident} done={sent} isEager={on.length === 0} />
                    ) : (
                        <button type="button" class="wide" onClick={() => setRanking(true)}>
                            {on.length === 0 ? "Choose a unit" : "Send another unit"}
                        </button>
                    )}
                    <ByPhone incident={incident} />
                </div>
            ) : null}
        </div>
    );
}

function Hide() {
    return (
        <button type="button" class="quiet hide" onClick={closeCard}>
            Hide
        </button>
    );
}

function Head({ incident, mayCorrect, isCorrecting, correct }: { incident: Incident; mayCorrect: boolean; isCorrecting: boolean; correct: (isOn: boolean) => void }) {
    return (
        <div class="card-head">
            <h2>
                #{incident.number} <Priority of={incident.priority} />
            </h2>
            <span class="since" title="Since it was opened">
                {timer(((incident.closed_ms ?? second.value) - incident.opened_ms) / 1000)}
            </span>
            <span class="spring" />
            {mayCorrect ? (
                <button type="button" class="quiet" aria-expanded={isCorrecting} onClick={() => correct(!isCorrecting)}>
                    Change
                </button>
            ) : null}
            <Hide />
        </div>
    );
}

/** What was said of it. */
function Told({ incident }: { incident: Incident }) {
    const known = words.value;
    const needs = [
        ...incident.languages.map((code) => known?.languages[code] ?? code),
        ...incident.skills.map((code) => known?.skills[code] ?? code),
    ];
    return (
        <div class="told">
            <p class="what">{incident.type_label}</p>
            <p class="where">{incident.place}</p>
            {incident.problem === "" ? null : <Problem text={incident.problem} />}
            {needs.length === 0 ? null : (
                <p class="tags">
                    {needs.map((need) => (
                        <span class="tag need" key={need}>
                            needs {need}
                        </span>
                    ))}
                </p>
            )}
        </div>
    );
}

/** Two lines of it, and all of it at a press: a long story must not push the units away. */
function Problem({ text }: { text: string }) {
    const [isWhole, setWhole] = useState(false);
    const [isCut, setCut] = useState(false);
    const here = useRef<HTMLParagraphElement>(null);
    useEffect(() => setCut(here.current !== null && here.current.scrollHeight > here.current.clientHeight + 2), [text]);
    return (
        <>
            <p class="problem" data-whole={isWhole} ref={here}>
                {text}
            </p>
            {isCut ? (
                <button type="button" class="link more" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
                    {isWhole ? "Less" : "All of it"}
                </button>
            ) : null}
        </>
    );
}

/** What must be known before anybody is sent there. */
function Pressing({ incident, unfold }: { incident: Incident; unfold: (name: string) => void }) {
    const asked = words.value?.packet ?? [];
    const missing = incident.amber.map((code) => asked.find((one) => one.code === code)?.text ?? code);
    const yes = incident.packet.filter((one) => one.label === "safety" && one.answer !== "no" && one.answer !== "not_asked");
    const rest = incident.known_cautions.length - CAUTIONS_SHOWN;
    return (
        <>
            {incident.gate === "staged" || incident.gate === "secure" ? <Scene incident={incident} maySecure /> : null}
            {yes.length === 0 ? null : (
                <p class="tags">
                    {yes.map((one) => (
                        <span class={one.answer === "unknown" ? "tag unknown" : "tag caution"} key={one.question}>
                            {one.text}: {one.words === "" ? one.answer.replace("_", " ") : one.words}
                        </span>
                    ))}
                </p>
            )}
            {incident.known_cautions.length + incident.cautions.length === 0 ? null : (
                <ul class="pressing-cautions" aria-label="Cautions">
                    {incident.known_cautions.slice(0, CAUTIONS_SHOWN).map((one) => (
                        <CautionLine one={one} key={one.id} />
                    ))}
                    {incident.cautions.map((one) => (
                        <li class="caution-line" key={one}>
                            <b>{one}</b>
                        </li>
                    ))}
                </ul>
            )}
            {rest > 0 ? (
                <button type="button" class="link more" onClick={() => unfold("cautions")}>
                    {rest} more {rest === 1 ? "caution" : "cautions"}
                </button>
            ) : null}
            {missing.length === 0 ? null : (
                <button type="button" class="amber" onClick={() => unfold("packet")}>
                    Not asked yet: {missing.join(", ").toLowerCase()}
                </button>
            )}
        </>
    );
}

function OnIt({ incident, sent }: { incident: Incident; sent: Assignment }) {
    const [isAsking, setAsking] = useState(false);
    const doing = useDoing();
    return (
        <div class="on-it">
            <Sent sent={sent} />
            {mayDispatch.value ? (
                <button type="button" class="quiet" aria-label={`Release ${sent.call_sign}`} aria-expanded={isAsking} onClick={() => setAsking(!isAsking)}>
                    Release
                </button>
            ) : null}
            {isAsking ? (
                <Reasons
                    ask={`Why release ${sent.call_sign}?`}
                    all={WHY_RELEASE}
                    say={(why) => void doing.go(() => release(incident.id, sent.unit, why)).then((isDone) => isDone && setAsking(false))}
                />
            ) : null}
            <Refusal says={doing.wrong} />
        </div>
    );
}
