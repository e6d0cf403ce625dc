// The foot of the page: the command line, what the last key or command did, and the one question before another unit than
// the first is sent. It is always there, so that a person learns it exists and knows where to look.

import { signal, useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { sentence } from "./api";
import { sendBecause } from "./boardacts";
import { type Suggestion, Unclear, remember, run, said as history, suggest } from "./commands";
import { areKeysOn } from "./keys";
import { refuse, said } from "./state";
import { second } from "./time";
import { WHY_ANOTHER } from "./ranking";
import { asked } from "./why";

const FIELD = "command-line";
const SAID_MS = 15_000; // longer than a glance away, shorter than until it could be taken for news

let before: HTMLElement | null = null;

/** `/`: the line takes the keys, and gives them back to what had them. Half a line that was left for something else is
 * still there, and gone with the first letter. */
export function openLine(): void {
    const field = document.getElementById(FIELD) as HTMLInputElement | null;
    const active = document.activeElement;
    before = active instanceof HTMLElement && active !== field ? active : null;
    field?.focus();
    field?.select();
}

const line = signal("");
const offered = signal<Suggestion[]>([]);
const taken = signal(-1);
/** What is offered belongs to an older line: it stays, so that the list does not flicker, and cannot be taken. */
const isBehind = signal(false);
let asking = 0;

function typed(text: string): void {
    line.value = text;
    taken.value = -1;
    isBehind.value = true;
    const mine = ++asking;
    const take = (found: Suggestion[]): void => {
        if (mine === asking) {
            offered.value = found;
            isBehind.value = false;
        }
    };
    suggest(text, () => mine === asking).then(take, () => take([]));
}

function leave(): void {
    clear();
    const field = document.getElementById(FIELD);
    if (document.activeElement === field) {
        field?.blur();
        if (before?.isConnected) {
            before.focus({ preventScroll: true });
        }
    }
    before = null;
}

function clear(): void {
    asking++;
    line.value = "";
    offered.value = [];
    taken.value = -1;
}

async function say(text: string): Promise<void> {
    if (text.trim() === "") {
        leave();
        return;
    }
    remember(text.trim());
    offered.value = [];
    try {
        await run(text);
        leave();
    } catch (no) {
        refuse(no instanceof Unclear ? no.message : sentence(no));
        typed(text);
    }
}

export function Foot() {
    return (
        <footer class="foot" aria-label="Commands">
            {asked.value === null ? null : <Why />}
            <Line />
            <Told />
            <p class="hints">
                {areKeysOn.value ? (
                    <>
                        <kbd>j</kbd> <kbd>k</kbd> incidents <kbd>u</kbd> units <kbd>n</kbd> new <kbd>1</kbd> send first <kbd>?</kbd> all keys
                    </>
                ) : (
                    "Single keys are off"
                )}
            </p>
        </footer>
    );
}

function Line() {
    const back = useSignal(0); // so many lines back in what was said
    const isIn = useSignal(false);
    const all = isIn.value ? offered.value : [];

    const recall = (by: number): void => {
        const lines = history.value;
        back.value = Math.max(0, Math.min(lines.length, back.value + by));
        typed(back.value === 0 ? "" : (lines[lines.length - back.value] ?? ""));
    };
    const take = (one: Suggestion): void => {
        if (one.isWhole) {
            line.value = one.line;
            void say(one.line);
        } else {
            typed(one.line);
        }
    };
    const pressed = (event: KeyboardEvent): void => {
        const ready = isBehind.value ? [] : all;
        const chosen = ready[taken.value];
        const isVertical = event.key === "ArrowDown" || event.key === "ArrowUp";
        if (event.isComposing) {
            return;
        }
        if (event.key === "Escape") {
            leave();
        } else if (event.key === "Enter" && !event.repeat) {
            back.value = 0;
            chosen === undefined ? void say(line.value) : take(chosen);
        } else if (event.key === "Tab" && !event.shiftKey && ready.length > 0 && line.value !== "") {
            typed((chosen ?? ready[0])?.line ?? line.value);
        } else if (isVertical && (line.value === "" || back.value > 0)) {
            recall(event.key === "ArrowUp" ? 1 : -1);
        } else if (isVertical && ready.length > 0) {
            const by = event.key === "ArrowDown" ? 1 : -1;
            taken.value = ((taken.value + 1 + by + ready.length + 1) % (ready.length + 1)) - 1;
        } else {
            back.value = isVertical ? back.value : 0;
            return;
        }
        event.preventDefault();
    };
    return (
        <div class="line">
            <span class="prompt" aria-hidden="true">
                /
            </span>
            <input
                id={FIELD}
                role="combobox"
                aria-label="Command"
                aria-expanded={all.length > 0}
                aria-controls="offered"
                aria-autocomplete="list"
                aria-activedescendant={taken.value >= 0 ? `offered-${taken.value}` : undefined}
                value={line.value}
                placeholder={isIn.value ? "new 401 S High St · send 12 · find CARE-2" : "Type / for a command"}
                autocomplete="off"
                spellcheck={false}
                maxLength={600}
                onInput={(event) => typed(event.currentTarget.value.replace(/^[\s/]+/, ""))}
                onKeyDown={pressed}
                onFocus={() => {
                    isIn.value = true;
                    typed(line.value);
                }}
                onBlur={() => (isIn.value = false)}
            />
            <ul id="offered" class="offered" role="listbox" aria-label="What may come next" data-behind={isBehind.value} hidden={all.length === 0}>
                {all.map((one, at) => (
                    <li
                        role="option"
                        id={`offered-${at}`}
                        aria-selected={taken.value === at}
                        key={one.line}
                        onMouseDown={(event) => {
                            event.preventDefault(); // the line keeps the focus
                            take(one);
                        }}
                    >
                        <b>{one.shows}</b>
                        {one.about === undefined || one.about === "" ? null : <span>{one.about}</span>}
                    </li>
                ))}
            </ul>
        </div>
    );
}

function Told() {
    void second.value; // ticks
    const last = said.value;
    const isNew = last !== null && performance.now() - last.atMs < SAID_MS;
    return (
        <p class="told" role="status" data-wrong={isNew && last.isWrong}>
            {isNew ? last.text : ""}
        </p>
    );
}

function Why() {
    const about = asked.value;
    const first = useRef<HTMLButtonElement>(null);
    useLayoutEffect(() => first.current?.focus(), [about?.unit]);
    const move = (event: KeyboardEvent): void => {
        const by = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 0;
        const all = [...(event.currentTarget as HTMLElement).querySelectorAll("button")];
        const at = all.indexOf(document.activeElement as HTMLButtonElement);
        if (by !== 0 && at !== -1) {
            event.preventDefault();
            all[(at + by + all.length) % all.length]?.focus();
        }
    };
    if (about === null) {
        return null;
    }
    return (
        <div class="why-another" role="group" aria-label={`Why ${about.callSign}?`} data-arrows onKeyDown={move}>
            <p>
                Why <b>{about.callSign}</b> to #{about.number} and not {about.first}?
            </p>
            {WHY_ANOTHER.map((reason, at) => (
                <button type="button" class="chip" {...(at === 0 ? { ref: first } : {})} onClick={() => void sendBecause(reason)} key={reason}>
                    {reason}
                </button>
            ))}
            <button type="button" class="chip not" onClick={() => (asked.value = null)}>
                Send nobody <kbd aria-hidden="true">Esc</kbd>
            </button>
        </div>
    );
}
