// Small things that several parts of the page show.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { sentence } from "./api";
import { type Tone, tone } from "./say";
import { PATHS } from "./symbol";

export function Shape({ of }: { of: Tone }) {
    return (
        <svg class="shape" data-tone={of} viewBox="0 0 16 16" aria-hidden="true">
            <path d={PATHS[of]} fill-rule="evenodd" />
        </svg>
    );
}

export function StatusWord({ status, label }: { status: string; label: string }) {
    return (
        <span class="status" data-tone={tone(status)}>
            <Shape of={tone(status)} />
            {label}
        </span>
    );
}

export function Priority({ of }: { of: number }) {
    return (
        <span class="priority" data-priority={of} title={`Priority ${of}`}>
            P{of}
        </span>
    );
}

/** Choices of which any may be on. */
export function Chips(props: { label: string; all: Record<string, string>; on: string[]; turn: (on: string[]) => void }) {
    const flip = (code: string): void =>
        props.turn(props.on.includes(code) ? props.on.filter((one) => one !== code) : [...props.on, code]);
    return (
        <div class="chips" role="group" aria-label={props.label}>
            {Object.entries(props.all).map(([code, label]) => (
                <button type="button" class="chip" aria-pressed={props.on.includes(code)} onClick={() => flip(code)} key={code}>
                    {label}
                </button>
            ))}
        </div>
    );
}

/** One tap answers why. */
export function Reasons({ say, all, ask }: { say: (reason: string) => void; all: readonly string[]; ask: string }) {
    return (
        <div class="reasons" role="group" aria-label={ask}>
            <p>{ask}</p>
            <div class="chips">
                {all.map((reason) => (
                    <button type="button" class="chip" onClick={() => say(reason)} key={reason}>
                        {reason}
                    </button>
                ))}
            </div>
        </div>
    );
}

/** Choices of which one is on. Pressing it again takes it back, where there is something to go back to. */
export function Choice(props: { label: string; all: readonly [string, string][]; on: string | null; turn: (on: string) => void; isTight?: boolean }) {
    return (
        <div class={props.isTight ? "choice tight" : "choice"} role="group" aria-label={props.label}>
            {props.all.map(([code, label]) => (
                <button type="button" aria-pressed={props.on === code} data-answer={code} onClick={() => props.turn(code)} key={code}>
                    {label}
                </button>
            ))}
        </div>
    );
}

/** What is not pressing: one line that says how it stands, and the rest behind it. Of one card only one is unfolded. */
export function Fold(props: { title: string; says: string; isPressing?: boolean; isOpen: boolean; turn: (isOpen: boolean) => void; children: ComponentChildren }) {
    const here = useRef<HTMLElement>(null);
    useEffect(() => {
        if (props.isOpen) {
            here.current?.scrollIntoView({ block: "nearest" });
        }
    }, [props.isOpen]);
    return (
        <section class="fold" data-open={props.isOpen} ref={here}>
            <h3>
                <button type="button" aria-expanded={props.isOpen} onClick={() => props.turn(!props.isOpen)}>
                    <span>{props.title}</span>
                    <small class={props.isPressing ? "pressing" : ""}>{props.says}</small>
                </button>
            </h3>
            {props.isOpen ? <div class="folded">{props.children}</div> : null}
        </section>
    );
}

/** Why something was not done, read out at once. */
export function Refusal({ says }: { says: string | null }) {
    return says === null ? null : (
        <p class="refused" role="alert">
            {says}
        </p>
    );
}

/** Something that a press does: once at a time, and with the hub's sentence when it says no. */
export interface Doing {
    wrong: string | null;
    isBusy: boolean;
    /** Whether it was done. */
    go: (act: () => Promise<unknown>) => Promise<boolean>;
    /** For answers that are tapped quickly one after the other: none is dropped because another is under way. */
    inTurn: (act: () => Promise<unknown>) => Promise<boolean>;
    say: (wrong: string | null) => void;
}

export function useDoing(): Doing {
    const [wrong, say] = useState<string | null>(null);
    const [isBusy, setBusy] = useState(false);
    const isGoing = useRef(false);
    const before = useRef<Promise<unknown>>(Promise.resolve());
    const go = async (act: () => Promise<unknown>): Promise<boolean> => {
        if (isGoing.current) {
            return false;
        }
        isGoing.current = true;
        setBusy(true);
        say(null);
        try {
            await act();
            return true;
        } catch (no) {
            say(sentence(no));
            return false;
        } finally {
            isGoing.current = false;
            setBusy(false);
        }
    };
    const inTurn = (act: () => Promise<unknown>): Promise<boolean> => {
        const mine = before.current.then(() => go(act));
        before.current = mine;
        return mine;
    };
    return { wrong, isBusy, go, inTurn, say };
}

export function TerminalIcon() {
    return (
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
            <path d="M1.5 3h13v8h-13zM5 13.5h6M8 11v2.5" fill="none" stroke="currentColor" stroke-width="1.6" />
        </svg>
    );
}

export function PersonIcon() {
    return (
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
            <circle cx="8" cy="4.6" r="2.8" fill="none" stroke="currentColor" stroke-width="1.6" />
            <path d="M2.5 14.5c.4-3.6 2.6-5.2 5.5-5.2s5.1 1.6 5.5 5.2" fill="none" stroke="currentColor" stroke-width="1.6" />
        </svg>
    );
}

export function LockIcon() {
    return (
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
            <path d="M3 7h10v7H3zM5 7V4.8a3 3 0 0 1 6 0V7" fill="none" stroke="currentColor" stroke-width="1.6" />
        </svg>
    );
}

export function Section({ title, count, children, extra }: { title: string; count?: string; children: ComponentChildren; extra?: ComponentChildren }) {
    return (
        <section class={`part ${title.toLowerCase()}`} aria-label={title}>
            <header>
                <h2>{title}</h2>
                {count === undefined ? null : <span class="count">{count}</span>}
                <span class="spring" />
                {extra}
            </header>
            {children}
        </section>
    );
}
