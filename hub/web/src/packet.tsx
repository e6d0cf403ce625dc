// What is asked before a crew arrives. What nobody has asked is said so, and what was asked in vain too: neither is a no.

import { useState } from "preact/hooks";
import { tell } from "./acts";
import { Choice, type Doing, Refusal, useDoing } from "./parts";
import { age } from "./say";
import type { Answer, Incident, PacketAnswer, Question } from "./shapes";
import { words } from "./state";
import { second } from "./time";

export const ANSWERS: Record<string, string> = {
    yes: "Yes",
    no: "No",
    unknown: "Unknown",
    with: "With us",
    near: "Near",
    not_asked: "Not asked",
};
const GROUPS: [string, string][] = [
    ["safety", "Safety"],
    ["open", "Getting there"],
    ["care", "Care"],
    ["cji", "Police records"],
];
const NOT_ASKED = "not_asked";
const HIDDEN: Record<string, string> = { care: "care", cji: "police records" };

/** How the packet stands, in a few words. */
export function packetSays(incident: Incident): string {
    const missing = incident.amber.length;
    const told = incident.packet.filter((one) => one.answer !== NOT_ASKED).length;
    return missing > 0 ? `${missing} not asked` : told === 0 ? "nothing told" : `${told} told`;
}

export function Packet({ incident, known, mayTell }: { incident: Incident; known: PacketAnswer[]; mayTell: boolean }) {
    const doing = useDoing();
    const [source, setSource] = useState("Caller");
    const asked = words.value?.packet ?? [];
    const mine = words.value?.labels ?? [];
    const hidden = Object.keys(HIDDEN).filter((label) => !mine.includes(label));
    const keep = (answer: Answer): void => {
        const said = answer.answer === NOT_ASKED ? answer : { ...answer, source };
        void doing.inTurn(() => tell(incident.id, incident.revision, [said]));
    };
    return (
        <div class="packet">
            {mayTell ? (
                <label class="beside">
                    Who says so
                    <input value={source} maxLength={60} onInput={(event) => setSource(event.currentTarget.value)} />
                </label>
            ) : null}
            <Refusal says={doing.wrong} />
            {GROUPS.filter(([label]) => asked.some((one) => one.label === label)).map(([label, title]) => (
                <fieldset data-label={label} key={label}>
                    <legend>{title}</legend>
                    {asked
                        .filter((one) => one.label === label)
                        .map((one) => (
                            <Row
                                question={one}
                                is={known.find((told) => told.question === one.code)}
                                mayTell={mayTell}
                                doing={doing}
                                keep={keep}
                                key={one.code}
                            />
                        ))}
                </fieldset>
            ))}
            {hidden.length === 0 ? null : <p class="hint">Not shown to your role: {hidden.map((label) => HIDDEN[label]).join(", ")}.</p>}
        </div>
    );
}

function Row(props: { question: Question; is: PacketAnswer | undefined; mayTell: boolean; doing: Doing; keep: (answer: Answer) => void }) {
    const { question, is } = props;
    const answer = is?.answer ?? NOT_ASKED;
    const [text, setText] = useState<string | null>(null);
    const isOpenEnded = question.is_told || answer === "yes";
    const typed = text ?? is?.words ?? "";
    const choices = question.answers
        .filter((one) => one !== NOT_ASKED && !(question.is_told && one === "yes"))
        .map((one): [string, string] => [one, question.is_told && one === "no" ? "None" : (ANSWERS[one] ?? one)]);
    const keepWords = (): void => {
        if (text !== null && text.trim() !== (is?.words ?? "")) {
            props.keep({ question: question.code, answer: text.trim() === "" && question.is_told ? NOT_ASKED : "yes", words: text.trim() });
        }
        setText(null);
    };
    return (
        <div class="asked" data-answer={answer} data-urgent={question.is_urgent && answer === NOT_ASKED} data-open-ended={question.is_told}>
            <span class="question">{question.text}</span>
            {props.mayTell ? (
                <Choice
                    label={question.text}
                    all={choices}
                    on={answer}
                    isTight
                    turn={(one) => props.keep({ question: question.code, answer: one === answer ? NOT_ASKED : one, words: "" })}
                />
            ) : (
                <b>{ANSWERS[answer] ?? answer}</b>
            )}
            {isOpenEnded && props.mayTell ? (
                <input
                    aria-label={`${question.text}: what was said`}
                    placeholder={question.is_told ? "Not asked" : "What exactly"}
                    value={typed}
                    maxLength={200}
                    onInput={(event) => setText(event.currentTarget.value)}
                    onBlur={keepWords}
                    onKeyDown={(event) => event.key === "Enter" && keepWords()}
                />
            ) : is !== undefined && is.words !== "" ? (
                <span class="said">{is.words}</span>
            ) : null}
            {is === undefined || answer === NOT_ASKED ? null : (
                <small class="by">
                    {is.source}, {age((second.value - is.at_ms) / 1000)} ago
                </small>
            )}
        </div>
    );
}

/** The questions that matter before a unit drives off, for a form in which nothing is kept yet. */
export function Urgent({ on, turn }: { on: Record<string, string>; turn: (on: Record<string, string>) => void }) {
    const asked = (words.value?.packet ?? []).filter((one) => one.is_urgent);
    return (
        <div class="packet">
            {asked.map((one) => (
                <div class="asked" data-answer={on[one.code] ?? NOT_ASKED} key={one.code}>
                    <span class="question">{one.text}</span>
                    <Choice
                        label={one.text}
                        all={one.answers.filter((code) => code !== NOT_ASKED).map((code): [string, string] => [code, ANSWERS[code] ?? code])}
                        on={on[one.code] ?? null}
                        isTight
                        turn={(code) => {
                            const { [one.code]: was, ...others } = on;
                            turn(was === code ? others : { ...on, [one.code]: code });
                        }}
                    />
                </div>
            ))}
        </div>
    );
}
