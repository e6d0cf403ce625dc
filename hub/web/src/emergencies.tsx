// Crews in danger, over everything else, until a person has spoken with them. The map moves only when somebody asks.

import { effect } from "@preact/signals";
import { useState } from "preact/hooks";
import { allowSound, ringing, sound } from "./alarm";
import { post, sentence } from "./api";
import { shown } from "./mappane";
import { ageS } from "./reckon";
import { age, clock, timer } from "./say";
import type { Emergency } from "./shapes";
import { agency, chosenUnit, emergencies, positions } from "./state";
import { second } from "./time";

const SOURCES: Record<string, string> = { button: "button", screen: "touchscreen", welfare: "missed check-in" };

export function Emergencies() {
    if (emergencies.value.length === 0) {
        return null;
    }
    return (
        <section class="emergencies" aria-label="Emergencies" aria-keyshortcuts="Alt+E">
            {ringing.value !== null && sound.value !== "on" ? (
                <button type="button" class="unheard" onClick={allowSound}>
                    {sound.value === "blocked" ? "This browser keeps the alarm silent: click here to hear it" : "This browser has no sound"}
                </button>
            ) : null}
            {emergencies.value.map((one) => (
                <One emergency={one} key={one.id} />
            ))}
        </section>
    );
}

function One({ emergency }: { emergency: Emergency }) {
    const [isClearing, setClearing] = useState(false);
    const [wrong, setWrong] = useState<string | null>(null);
    const isTaken = emergency.acknowledged_ms !== null;
    const what = emergency.is_drill ? "TEST" : "EMERGENCY";
    const since = emergency.pressed_ms ?? emergency.received_ms;

    const act = async (deed: string, body: unknown): Promise<void> => {
        try {
            emergencies.value = await post<Emergency[]>(`/api/v1/emergencies/${emergency.id}/${deed}`, body);
            setWrong(null);
        } catch (no) {
            setWrong(sentence(no));
        }
    };
    return (
        <article class="emergency" data-emergency={emergency.id} data-taken={isTaken} data-drill={emergency.is_drill}>
            <div class="call">
                <p class="alarm" role="alert">
                    <b>{what}</b> <strong>{emergency.call_sign}</strong>
                </p>
                <p class="since">
                    <b>{timer((second.value - since) / 1000)}</b>
                    <small>
                        {clock(since, true)} by {SOURCES[emergency.source] ?? emergency.source}
                    </small>
                </p>
                <p class="aboard">
                    <b>{emergency.crew.map((who) => who.name).join(", ") || "Nobody signed on"}</b>
                    <small>{told(emergency)}</small>
                </p>
                <Place emergency={emergency} />
                <span class="spring" />
                {isTaken ? (
                    <>
                        <p class="taken">
                            Acknowledged {clock(emergency.acknowledged_ms ?? 0)}
                            <small>{emergency.acknowledged_by}</small>
                        </p>
                        {emergency.is_drill ? (
                            <button type="button" class="act" onClick={() => void act("clear", { presses: emergency.presses })}>
                                Clear test
                            </button>
                        ) : (
                            <button type="button" class="act" aria-expanded={isClearing} onClick={() => setClearing(!isClearing)}>
                                Clear…
                            </button>
                        )}
                    </>
                ) : (
                    <button type="button" class="act take" onClick={() => void act("acknowledge", {})}>
                        Acknowledge
                    </button>
                )}
            </div>
            {isClearing && isTaken ? <Clear emergency={emergency} clear={(said) => act("clear", said)} close={() => setClearing(false)} /> : null}
            {wrong === null ? null : (
                <p class="refused" role="alert">
                    {wrong}
                </p>
            )}
        </article>
    );
}

/** What changed since the first press, the most pressing first. */
function told(emergency: Emergency): string {
    const late = emergency.pressed_ms === null ? 0 : emergency.received_ms - emergency.pressed_ms;
    return [
        emergency.presses > 1 ? `pressed ${emergency.presses} times, last ${clock(emergency.newest_ms, true)}` : null,
        emergency.asked_ms === null ? null : `crew asks to clear ${clock(emergency.asked_ms)}`,
        emergency.number === null ? null : `on #${emergency.number} ${emergency.place ?? ""}`,
        late > 10_000 ? `heard ${age(late / 1000)} late` : null,
    ]
        .filter(Boolean)
        .join(" · ");
}

function Place({ emergency }: { emergency: Emergency }) {
    const live = positions.value.get(emergency.unit);
    const now = second.value;
    const isLive = live !== undefined && live.lat !== null && live.lon !== null;
    const lat = isLive ? live.lat : emergency.lat;
    const lon = isLive ? live.lon : emergency.lon;
    if (lat === null || lon === null) {
        return (
            <p class="place">
                <b>No position</b>
                <small>not since it was switched on</small>
            </p>
        );
    }
    const oldS = isLive ? ageS(live, now) : (now - emergency.newest_ms + (emergency.fix_age_ms ?? 0)) / 1000;
    const near = shown.map?.near({ lat, lon }) ?? "";
    const look = (): void => {
        chosenUnit.value = emergency.unit;
        if (shown.map?.goToUnit(emergency.unit) !== true) {
            shown.map?.goTo({ lat, lon });
        }
    };
    return (
        <button type="button" class="place" onClick={look} title="Show it on the map">
            <b>{near === "" ? `${lat.toFixed(5)}, ${lon.toFixed(5)}` : near}</b>
            <small>
                position {age(oldS)} old{live !== undefined && !live.has_fix ? ", no fix now" : ""} · show
            </small>
        </button>
    );
}

function Clear({ emergency, clear, close }: { emergency: Emergency; clear: (said: unknown) => Promise<void>; close: () => void }) {
    const [contact, setContact] = useState("");
    const [words, setWords] = useState("");
    const [seen] = useState(emergency.presses);
    const submit = (event: Event): void => {
        event.preventDefault();
        void clear({ contact, words, presses: seen });
    };
    return (
        <form class="clear" aria-label={`Clear the emergency of ${emergency.call_sign}`} onSubmit={submit}>
            <label>
                Voice contact with
                <input value={contact} list={`crew-${emergency.id}`} maxLength={100} required autocomplete="off" onInput={(event) => setContact(event.currentTarget.value)} />
                <datalist id={`crew-${emergency.id}`}>
                    {emergency.crew.map((who) => (
                        <option value={who.name} key={who.id} />
                    ))}
                </datalist>
            </label>
            <label class="said">
                What they said
                <input value={words} maxLength={500} required autocomplete="off" onInput={(event) => setWords(event.currentTarget.value)} />
            </label>
            <button type="submit" class="act" disabled={contact.trim() === "" || words.trim() === ""}>
                Clear emergency
            </button>
            <button type="button" onClick={close}>
                Not yet
            </button>
        </form>
    );
}

/** Alt+E leads to the first thing to do, from wherever somebody is typing; nothing takes the keys away by itself. */
export function watchEmergencies(): void {
    addEventListener("keydown", (event) => {
        if (event.altKey && event.code === "KeyE") {
            event.preventDefault();
            document.querySelector<HTMLButtonElement>(".emergency button.act")?.focus();
        }
    });
    effect(() => {
        const first = emergencies.value[0];
        const what = first === undefined ? "Board" : `${first.is_drill ? "TEST" : "EMERGENCY"} ${first.call_sign}`;
        document.title = `${what} · ${agency.value}`;
    });
}
