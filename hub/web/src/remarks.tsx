// What dispatch wants remembered. Never edited, also written on a closed incident, and each with who may see it.

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { addRemark } from "./acts";
import { Refusal, useDoing } from "./parts";
import { age, clock } from "./say";
import type { Remark } from "./shapes";
import { words } from "./state";
import { second } from "./time";

export const LABELS: Record<string, string> = { open: "Everyone on it", safety: "Safety", care: "Clinicians only", cji: "Police records" };

/** Words typed for a new incident that turned out to be this one: they wait in its remark field. */
export const carried = signal<{ incident: string; text: string } | null>(null);

export function remarksSay(remarks: readonly Remark[]): string {
    const newest = remarks.at(-1);
    return newest === undefined ? "none" : `${remarks.length}, newest ${age((second.value - newest.at_ms) / 1000)} ago`;
}

export function Remarks({ incident, remarks, again }: { incident: string; remarks: readonly Remark[]; again: () => void }) {
    const doing = useDoing();
    const [text, setText] = useState(() => (carried.value?.incident === incident ? carried.value.text : ""));
    const [label, setLabel] = useState("open");
    const may = words.value?.labels ?? [];
    const add = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (await doing.go(() => addRemark(incident, text, label))) {
            setText("");
            carried.value = null;
            again();
        }
    };
    return (
        <div class="remarks">
            <ul>
                {remarks.map((one) => (
                    <li key={one.id}>
                        <p>{one.text}</p>
                        <small>
                            {one.by}, {clock(one.at_ms)}
                            {one.label === "open" ? "" : ` · ${LABELS[one.label] ?? one.label}`}
                        </small>
                    </li>
                ))}
            </ul>
            <form onSubmit={(event) => void add(event)} aria-label="New remark">
                <textarea
                    aria-label="Remark"
                    value={text}
                    rows={2}
                    maxLength={1000}
                    required
                    placeholder="What the next person must know"
                    onInput={(event) => setText(event.currentTarget.value)}
                    onKeyDown={(event) => {
                        if (event.key === "Enter" && !event.shiftKey) {
                            event.preventDefault();
                            event.currentTarget.form?.requestSubmit();
                        }
                    }}
                />
                <div class="pair">
                    {may.length > 1 ? (
                        <select aria-label="Who may see it" value={label} onChange={(event) => setLabel(event.currentTarget.value)}>
                            {may.map((one) => (
                                <option value={one} key={one}>
                                    {LABELS[one] ?? one}
                                </option>
                            ))}
                        </select>
                    ) : null}
                    <button type="submit" disabled={doing.isBusy || text.trim() === ""}>
                        Add remark
                    </button>
                </div>
            </form>
            <Refusal says={doing.wrong} />
        </div>
    );
}
