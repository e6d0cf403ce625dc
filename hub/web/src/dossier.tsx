// One incident with all that this person may see of it: what the board does not carry.

import { useEffect, useState } from "preact/hooks";
import { get, sentence } from "./api";
import type { Dossier, Incident } from "./shapes";
import { incidents } from "./state";

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
    return { dossier: dossier?.id === id ? dossier : null, wrong, again: () => setRound(round + 1) };
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
