// Which incidents belong together: linked ones, those merged into one, and those that may be the same call.

import { useEffect, useState } from "preact/hooks";
import { hintsFor, linkTo, mergeInto, openIncident, unlink } from "./acts";
import { Refusal, useDoing } from "./parts";
import type { Hint, Incident, LinkView } from "./shapes";
import { incidents } from "./state";

const KINDS: Record<string, string> = {
    related: "belongs with it",
    parent: "this is a part of it",
    child: "is a part of this",
    merged: "merged into this one",
    into: "goes on for this one",
};
const CHOICES = ["related", "parent", "child"] as const;

export function linksSay(links: readonly LinkView[], hints: readonly Hint[]): string {
    if (hints.length > 0) {
        return `may be ${hints.map((one) => `#${one.number}`).join(", ")}`;
    }
    return links.length === 0 ? "none" : links.map((one) => `#${one.number}`).join(", ");
}

/** Others that may be the same call, asked anew when what is compared changes. */
export function useHints(incident: Incident, links: readonly LinkView[], isAsked: boolean): Hint[] {
    const [hints, setHints] = useState<Hint[]>([]);
    useEffect(() => {
        if (isAsked) {
            const { type, lat, lon, place } = incident;
            hintsFor({ type, lat, lon, place }).then(setHints, () => setHints([]));
        }
    }, [incident.id, incident.revision, incidents.value.length, isAsked]);
    const known = new Set([incident.id, ...links.map((one) => one.incident)]);
    return hints.filter((one) => !known.has(one.incident));
}

export function Linking({ incident, links, hints, mayDispatch, again }: { incident: Incident; links: readonly LinkView[]; hints: readonly Hint[]; mayDispatch: boolean; again: () => void }) {
    const doing = useDoing();
    const [other, setOther] = useState("");
    const [kind, setKind] = useState("related");
    const others = incidents.value.filter((one) => one.id !== incident.id);
    const isOpen = incident.state === "open";
    const act = async (what: () => Promise<unknown>): Promise<void> => {
        if (await doing.go(what)) {
            setOther("");
            again();
        }
    };
    return (
        <div class="linking">
            <Refusal says={doing.wrong} />
            <ul>
                {links.map((one) => (
                    <li key={one.incident}>
                        <button type="button" class="link" onClick={() => openIncident(one.incident)}>
                            #{one.number}
                        </button>
                        <span>{KINDS[one.kind] ?? one.kind}</span>
                        {mayDispatch && one.kind !== "merged" && one.kind !== "into" ? (
                            <button type="button" class="quiet" aria-label={`Unlink #${one.number}`} onClick={() => void act(() => unlink(incident.id, one.incident))}>
                                Unlink
                            </button>
                        ) : null}
                    </li>
                ))}
                {hints.map((one) => (
                    <li key={one.incident}>
                        <button type="button" class="link" onClick={() => openIncident(one.incident)}>
                            #{one.number}
                        </button>
                        <span>{one.reasons.join(", ")}</span>
                        {mayDispatch ? (
                            <>
                                <button type="button" class="quiet" aria-label={`Link with #${one.number}`} onClick={() => void act(() => linkTo(incident.id, one.incident))}>
                                    Link
                                </button>
                                {isOpen && others.some((each) => each.id === one.incident) ? (
                                    <button type="button" class="quiet" aria-label={`Merge into #${one.number}`} onClick={() => void act(() => mergeInto(incident.id, one.incident))}>
                                        Same: merge
                                    </button>
                                ) : null}
                            </>
                        ) : null}
                    </li>
                ))}
            </ul>
            {mayDispatch && others.length > 0 ? (
                <form
                    aria-label="Another incident"
                    onSubmit={(event) => {
                        event.preventDefault();
                        void act(() => linkTo(incident.id, other, kind));
                    }}
                >
                    <select aria-label="Other incident" value={other} required onChange={(event) => setOther(event.currentTarget.value)}>
                        <option value="">Another incident</option>
                        {others.map((one) => (
                            <option value={one.id} key={one.id}>
                                #{one.number} {one.place}
                            </option>
                        ))}
                    </select>
                    <div class="pair">
                        <select aria-label="What the other is" value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
                            {CHOICES.map((one) => (
                                <option value={one} key={one}>
                                    {KINDS[one]}
                                </option>
                            ))}
                        </select>
                        <button type="submit" disabled={other === "" || doing.isBusy}>
                            Link
                        </button>
                    </div>
                    {isOpen ? (
                        <button type="button" class="wide" disabled={other === "" || doing.isBusy} onClick={() => void act(() => mergeInto(incident.id, other))}>
                            It is the same call: merge this into it
                        </button>
                    ) : null}
                </form>
            ) : null}
        </div>
    );
}
