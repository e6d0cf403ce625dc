// One incident with all that this person may see of it: what the board does not carry.

import { useEffect, useState } from "preact/hooks";
import { openIncident } from "./acts";
import { get, sentence } from "./api";
import { longAge } from "./say";
import type { Dossier, Earlier, Incident } from "./shapes";
import { incidents, words } from "./state";
import { second } from "./time";

const AGAIN_MS = 4_000;

export interface Read {
    dossier: Dossier | null;
    wrong: string | null;
    /** Ask anew: something was written that the board does not show. */
    again: () => void;
}

export function useDossier(id: string, revision: number): Read {
    const [dossier, setDossier] = useState<Dossier | null>(null);
    const [wrong, setWrong] = useState<string | null>(null);
    const [round, setRound] = useState(0);
    const again = (): void => setRound((before) => before + 1);
    useEffect(() => {
        let isWanted = true;
        get<Dossier>(`/api/v1/incidents/${id}/dossier`).then(
            (found) => {
                if (isWanted) {
                    setDossier(found);
                    setWrong(null);
                }
            },
            (no: unknown) => isWanted && setWrong(sentence(no)),
        );
        return () => {
            isWanted = false;
        };
    }, [id, revision, round]);
    useAgainWhileMissing(wrong !== null, again);
    return { dossier: dossier?.id === id ? dossier : null, wrong, again };
}

/** What the hub did not answer is asked again while it is missing: nobody has to close the card for it. The stream does not
 * say when: it may have gone on all the while. */
export function useAgainWhileMissing(isMissing: boolean, again: () => void): void {
    useEffect(() => {
        if (!isMissing) {
            return;
        }
        const asking = setInterval(again, AGAIN_MS);
        return () => clearInterval(asking);
    }, [isMissing]);
}

/** The incident from the board, or asked for when it is not open any more. */
export function useIncident(id: string): { incident: Incident | null; wrong: string | null } {
    const open = incidents.value.find((one) => one.id === id) ?? null;
    const [closed, setClosed] = useState<Incident | null>(null);
    const [wrong, setWrong] = useState<string | null>(null);
    useEffect(() => {
        if (open !== null) {
            setClosed(null);
            setWrong(null);
            return;
        }
        let isWanted = true;
        get<Incident>(`/api/v1/incidents/${id}`).then(
            (found) => isWanted && setClosed(found),
            (no: unknown) => isWanted && setWrong(sentence(no)),
        );
        return () => {
            isWanted = false;
        };
    }, [id, open === null]);
    return { incident: open ?? (closed?.id === id ? closed : null), wrong };
}

export function earlierSays(all: readonly Earlier[]): string {
    const newest = all[0];
    return newest === undefined ? "nobody in a year" : `${all.length}, last ${longAge(second.value - newest.closed_ms)} ago`;
}

/** Who was at this place before, and how it ended. */
export function EarlierHere({ all }: { all: readonly Earlier[] }) {
    return all.length === 0 ? (
        <p class="hint">No closed incident at this place in the last year.</p>
    ) : (
        <ul class="earlier">
            {all.map((one) => (
                <li key={one.incident}>
                    <button type="button" class="link" onClick={() => openIncident(one.incident)}>
                        #{one.number}
                    </button>
                    <span>
                        {one.type_label}
                        <small>
                            {longAge(second.value - one.opened_ms)} ago · {one.disposition === null ? "no outcome kept" : (words.value?.dispositions[one.disposition] ?? one.disposition)}
                        </small>
                    </span>
                </li>
            ))}
        </ul>
    );
}
