// Asking the hub, and telling it.

import { link, me } from "./state";

/** The hub said no; its sentence is for the person. */
export class No extends Error {
    constructor(
        readonly code: string,
        sentence: string,
    ) {
        super(sentence);
    }
}

export async function get<T>(path: string): Promise<T> {
    return answer<T>(await fetch(path, { headers: { Accept: "application/json" } }));
}

export async function post<T>(path: string, body: unknown): Promise<T> {
    return answer<T>(
        await fetch(path, {
            method: "POST",
            headers: { "Content-Type": "application/json", "X-CSRF-Token": me.value?.csrf ?? "" },
            body: JSON.stringify(body),
        }),
    );
}

export function sentence(wrong: unknown): string {
    return wrong instanceof No ? wrong.message : "The hub did not answer. Try again.";
}

async function answer<T>(response: Response): Promise<T> {
    if (response.ok) {
        return (await response.json()) as T;
    }
    if (response.status === 401) {
        link.value = "signed out";
    }
    const said = (await response.json().catch(() => null)) as { code?: string; message?: string } | null;
    throw new No(said?.code ?? "failed", said?.message ?? "The hub could not do that. Try again.");
}
