// One unit on one incident. "On the terminal" is what a machine says, "acknowledged" what a person did: two lamps, two
// words, never one.

import { Eta } from "./eta";
import { PersonIcon, StatusWord, TerminalIcon } from "./parts";
import { age, timer } from "./say";
import type { Assignment, Unit } from "./shapes";
import { units } from "./state";
import { second } from "./time";

const RADIO_AFTER_S = 10;
const CALL_AFTER_S = 60;
const ALARM_AFTER_S = 120;
const SEEN = new Set(["assigned", "acknowledged"]);

export function Sent({ sent }: { sent: Assignment }) {
    const now = second.value;
    const unit = units.value.find((one) => one.unit === sent.unit);
    const story = tell(sent, unit, now);
    return (
        <div class="sent" data-urgency={story.urgency}>
            <strong class="sign">{sent.call_sign}</strong>
            <span class="lamp" data-on={sent.received_ms !== null} title={sent.received_ms === null ? "Not on the terminal yet" : "On the terminal"}>
                <TerminalIcon />
            </span>
            <span class="lamp" data-on={sent.acknowledged_ms !== null} title={sent.acknowledged_ms === null ? "Not acknowledged yet" : "Acknowledged by a person"}>
                <PersonIcon />
            </span>
            <span class="told">
                {story.status && unit ? <StatusWord status={unit.status} label={unit.status_label} /> : null}
                {story.words}
            </span>
            {sent.released_ms === null && unit?.status !== "staged" ? <Eta unit={sent.unit} assignment={sent.id} /> : null}
        </div>
    );
}

interface Story {
    words: string;
    urgency: "none" | "wait" | "call" | "radio";
    status?: boolean;
}

function tell(sent: Assignment, unit: Unit | undefined, now: number): Story {
    const since = (at: number): number => Math.max(0, (now - at) / 1000);
    const waited = since(sent.offered_ms);
    if (sent.released_ms !== null) {
        return { words: "released", urgency: "none" };
    }
    if (sent.acknowledged_ms !== null) {
        const isUnderway = unit !== undefined && unit.assignment === sent.id && !SEEN.has(unit.status);
        if (isUnderway) {
            return { words: ` ${timer(since(unit.status_ms))}`, urgency: "none", status: true };
        }
        return { words: `acknowledged ${age(since(sent.acknowledged_ms))} ago`, urgency: "none" };
    }
    if (sent.received_ms === null) {
        return waited < RADIO_AFTER_S
            ? { words: `sent ${age(waited)} ago`, urgency: "wait" }
            : { words: `not on the terminal after ${age(waited)}: use radio`, urgency: "radio" };
    }
    if (waited < CALL_AFTER_S) {
        return { words: `on the terminal, no answer yet, ${age(waited)}`, urgency: "wait" };
    }
    return {
        words: `on the terminal, no answer for ${age(waited)}: use radio`,
        urgency: waited < ALARM_AFTER_S ? "call" : "radio",
    };
}
