// Text that ages while nothing arrives. Only what somebody sees ticks each second; the rest now and then.

import { type ReadonlySignal, type Signal, useSignal } from "@preact/signals";
import { type RefObject } from "preact";
import { useEffect } from "preact/hooks";
import { timer } from "./say";
import { nowAndThen, second } from "./time";

const told = new WeakMap<Element, Signal<boolean>>();
let watching: IntersectionObserver | null = null;

function watch(): IntersectionObserver {
    watching ??= new IntersectionObserver((seen) => {
        for (const one of seen) {
            const about = told.get(one.target);
            if (about !== undefined) {
                about.value = one.isIntersecting;
            }
        }
    });
    return watching;
}

/** Whether the element is in sight. */
export function useSeen(of: RefObject<Element | null>): ReadonlySignal<boolean> {
    const isSeen = useSignal(false);
    useEffect(() => {
        const element = of.current;
        if (element === null) {
            return;
        }
        told.set(element, isSeen);
        watch().observe(element);
        return () => watch().unobserve(element);
    }, []);
    return isSeen;
}

/** The clock for something that is in sight or not. */
export function clockFor(isSeen: ReadonlySignal<boolean>): number {
    return isSeen.value ? second.value : nowAndThen.value;
}

/** "4:10" since `ms`, ticking. */
export function Since({ ms, isSeen, title }: { ms: number; isSeen?: ReadonlySignal<boolean>; title?: string }) {
    const now = isSeen === undefined ? second.value : clockFor(isSeen);
    return (
        <span class="since" title={title}>
            {ms > 0 ? timer((now - ms) / 1000) : ""}
        </span>
    );
}
