// What somebody must know about the hub's own health, until a supervisor has seen it.

import { get, post, sentence } from "./api";
import { clock } from "./say";
import type { Alarm, Health } from "./shapes";
import { health, me, trouble } from "./state";
import { hubNowMs } from "./time";
import { signal } from "@preact/signals";

const DAY_MS = 86_400_000;
const dropped = signal<Record<string, number>>({});

export function Alarms() {
    const raised = health.value.alarms;
    if (raised.length === 0) {
        return null;
    }
    return (
        <details class="alarms" onToggle={(event) => event.currentTarget.open && void count()}>
            <summary>{raised.length === 1 ? "1 alarm" : `${raised.length} alarms`}</summary>
            <div class="alarm-sheet">
                <ul aria-label="Alarms">{raised.map(One)}</ul>
                <Dropped />
                {me.value?.role === "supervisor" ? (
                    <button type="button" onClick={() => void seen(raised)}>
                        I have seen these
                    </button>
                ) : (
                    <p class="soft">They stand here until a supervisor has seen them.</p>
                )}
            </div>
        </details>
    );
}

function One(alarm: Alarm) {
    const isOld = hubNowMs() - alarm.at_ms > DAY_MS;
    const day = new Date(alarm.at_ms).toLocaleDateString("en-US", { month: "short", day: "numeric" });
    return (
        <li key={`${alarm.kind} ${alarm.at_ms} ${alarm.text}`}>
            <strong>
                {alarm.text}, {isOld ? `${day} ` : ""}
                {clock(alarm.at_ms)}
            </strong>
            <span>{alarm.what_to_do}</span>
        </li>
    );
}

function Dropped() {
    const counted = Object.entries(dropped.value);
    return counted.length === 0 ? null : (
        <p class="soft">Passed over since the hub started, harmless: {counted.map(([why, n]) => `${n} ${why}`).join(", ")}.</p>
    );
}

async function count(): Promise<void> {
    try {
        dropped.value = (await get<Health>("/api/v1/health")).dropped ?? {};
    } catch (no) {
        trouble.value = sentence(no);
    }
}

async function seen(raised: Alarm[]): Promise<void> {
    try {
        health.value = await post<Health>("/api/v1/alarms/seen", { through_ms: Math.max(...raised.map((one) => one.at_ms)) });
    } catch (no) {
        trouble.value = sentence(no);
    }
}
