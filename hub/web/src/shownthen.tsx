// What was shown when somebody was sent: the list as it was, who was chosen of it and why, and whether it comes out again.

import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api";
import { Refusal, useDoing } from "./parts";
import { Line } from "./ranking";
import { clock } from "./say";
import type { Incident, ShownList } from "./shapes";

export function ShownThen({ incident }: { incident: Incident }) {
    const doing = useDoing();
    const [lists, setLists] = useState<ShownList[] | null>(null);
    const here = useRef<HTMLDivElement>(null);
    useEffect(() => {
        if (lists !== null) {
            here.current?.scrollIntoView({ block: "start" });
        }
    }, [lists]);
    const look = async (): Promise<void> => {
        await doing.go(async () => setLists(await get<ShownList[]>(`/api/v1/incidents/${incident.id}/rankings`)));
    };
    return (
        <div class="shown-then" ref={here}>
            <Refusal says={doing.wrong} />
            <button type="button" class="link more" aria-expanded={lists !== null} onClick={() => (lists === null ? void look() : setLists(null))}>
                {lists === null ? "Show what was shown then" : "Hide what was shown then"}
            </button>
            {lists?.length === 0 ? <p class="hint">No list was kept with what it rested on.</p> : null}
            {lists?.map((one) => (
                <section key={one.ranking} aria-label={`List ${one.ranking}`}>
                    <h4>
                        {clock(one.ranked_ms, true)} · {one.engine === "straight line" ? "straight line, not by road" : `by ${one.engine}`}
                    </h4>
                    {one.choices.map((choice) => (
                        <p class="chosen" key={choice.at_ms}>
                            <b>{one.candidates.find((each) => each.unit === choice.unit)?.call_sign ?? choice.unit}</b> sent by {choice.by}
                            {choice.reason === null ? ", the first" : `: ${choice.reason}`}
                        </p>
                    ))}
                    <ol class="candidates unfit">
                        {one.candidates.map((candidate) => (
                            <li key={candidate.unit} data-chosen={one.choices.some((choice) => choice.unit === candidate.unit)}>
                                <Line candidate={candidate} then />
                            </li>
                        ))}
                    </ol>
                    <p class="hint">{one.again}</p>
                </section>
            ))}
        </div>
    );
}
