// Sealed notes by their envelopes. There is no text here to hide: this page and this hub cannot open them.

import { LockIcon } from "./parts";
import { clock, kilobytes } from "./say";
import { notes, words } from "./state";

export function Notes() {
    const all = notes.value;
    const labels = words.value?.dispositions ?? {};
    return (
        <section aria-label="Notes" class="notes-part">
            <details class="part notes">
                <summary>
                    <h2>Notes</h2>
                    <span class="count">{all.length === 0 ? "none" : `${all.length} sealed`}</span>
                </summary>
            {all.length === 0 ? (
                <p class="empty">None yet.</p>
            ) : (
                <>
                    <p class="sealed">
                        <LockIcon /> sealed — can be opened at a clinician's desk
                    </p>
                    <ul class="rows" tabIndex={0} aria-label="Sealed notes">
                        {all.map((note) => (
                            <li class="note" key={note.id}>
                                <strong>{note.number === null ? "no incident" : `#${note.number}`}</strong>
                                <span>{note.call_sign ?? "unknown unit"}</span>
                                <span class="author">{note.author ?? "unsigned"}</span>
                                <time>{clock(note.held_ms)}</time>
                                <span class="outcome">
                                    {[
                                        note.kind === "final" ? null : note.kind,
                                        note.disposition === null ? "no disposition" : (labels[note.disposition] ?? note.disposition),
                                        kilobytes(note.size_bytes),
                                    ]
                                        .filter(Boolean)
                                        .join(" · ")}
                                </span>
                            </li>
                        ))}
                    </ul>
                </>
            )}
            </details>
        </section>
    );
}
