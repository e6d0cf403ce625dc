// The commands of the board: what can be typed after "/". Numbers are incidents, call signs are units, in any case.

import { type Hit, addRemark, beginAt, closeIncident, findAddress, linkTo, mergeInto, openIncident, release, sendFirst, sendUnit, settleByPhone } from "./acts";
import { post } from "./api";
import { freshList, listOf, lookAtUnit, openOne, beginAtCenter, spoken, turnCoverage, turnTrail } from "./boardacts";
import { type Command, type IsWanted, type Suggestion, Unclear, register } from "./commands";
import { ordered } from "./incidents";
import { theme, switchTheme } from "./look";
import { shown as onMap } from "./mappane";
import { openRounds } from "./rounds";
import type { Incident, Unit } from "./shapes";
import { chosenIncident, chosenUnit, incidents, mayDispatch, sheet, tell, units, wall, words } from "./state";
import { areKeysOn, turnKeys } from "./keys";
import { WHY_ANOTHER } from "./ranking";

const WHY_RELEASE = ["Enough units there", "Needed elsewhere", "Crew is done", "Sent by mistake"] as const;
const SUGGESTED_MAX = 8;
const NUMBER = /^#?(\d+)$/;

// --- words on the line -> what they mean -------------------------------------------------------------------------------

function isNumber(word: string | undefined): boolean {
    return word !== undefined && NUMBER.test(word);
}

/** The incident of that number; without one, the one that is open or under the cursor. */
function incidentOf(word: string | undefined): Incident {
    if (word === undefined || word === "") {
        const current = openOne() ?? incidents.value.find((one) => one.id === chosenIncident.value);
        if (current === undefined) {
            throw new Unclear("Say which incident, by its number.");
        }
        return current;
    }
    const number = Number(NUMBER.exec(word)?.[1] ?? NaN);
    const found = incidents.value.find((one) => one.number === number);
    if (found === undefined) {
        throw new Unclear(Number.isNaN(number) ? `"${word}" is no incident: say its number.` : `No incident #${number} is open.`);
    }
    return found;
}

function unitOf(word: string | undefined): Unit {
    if (word === undefined || word === "") {
        throw new Unclear("Say which unit, by its call sign.");
    }
    const asked = word.toLowerCase();
    const found = units.value.find((one) => one.call_sign.toLowerCase() === asked);
    if (found === undefined) {
        const like = units.value.filter((one) => one.call_sign.toLowerCase().startsWith(asked)).slice(0, 3);
        const hint = like.length === 0 ? "" : ` ${like.map((one) => one.call_sign).join(", ")}?`;
        throw new Unclear(`There is no unit ${word.toUpperCase()}.${hint}`);
    }
    return found;
}

/** The incident a unit is on. */
function whereIs(unit: Unit): Incident {
    const found = incidents.value.find((one) => one.assignments.some((sent) => sent.released_ms === null && sent.unit === unit.unit));
    if (found === undefined) {
        throw new Unclear(`${unit.call_sign} is on no incident.`);
    }
    return found;
}

function requireDispatcher(): void {
    if (!mayDispatch.value) {
        throw new Unclear("Your role watches. A dispatcher does this.");
    }
}

/** "send 12", "send 12 …", "send …": the incident if one is named, and what is left of the words. */
function maybeNumber(args: string[]): { incident: Incident; rest: string[] } {
    return isNumber(args[0]) ? { incident: incidentOf(args[0]), rest: args.slice(1) } : { incident: incidentOf(undefined), rest: args };
}

// --- what may come next ------------------------------------------------------------------------------------------------

function numbers(before: string, typed: string, are: (one: Incident) => boolean = () => true, isWhole = true): Suggestion[] {
    return ordered.value
        .filter((one) => are(one) && String(one.number).startsWith(typed.replace("#", "")))
        .slice(0, SUGGESTED_MAX)
        .map((one) => ({ line: `${before} ${one.number}${isWhole ? "" : " "}`, shows: `#${one.number} P${one.priority} ${one.type_label}`, about: one.place, isWhole }));
}

function callSigns(before: string, typed: string, are: (one: Unit) => boolean = () => true, isWhole = false): Suggestion[] {
    return units.value
        .filter((one) => are(one) && one.call_sign.toLowerCase().startsWith(typed.toLowerCase()))
        .slice(0, SUGGESTED_MAX)
        .map((one) => ({ line: `${before} ${one.call_sign}${isWhole ? "" : " "}`, shows: one.call_sign, about: one.status_label, isWhole }));
}

function sentences(before: string, typed: string, all: readonly string[]): Suggestion[] {
    return all
        .filter((one) => one.toLowerCase().startsWith(typed.toLowerCase()))
        .map((one) => ({ line: `${before} ${one}`, shows: one, isWhole: true }));
}

function isBusy(unit: Unit): boolean {
    return incidents.value.some((one) => one.assignments.some((sent) => sent.released_ms === null && sent.unit === unit.unit));
}

const found = new Map<string, Hit>(); // by what the line says of it
const FOUND_MAX = 200;
const TYPED_MIN = 3;
const REST_MS = 120; // of the hand: an address is asked for by words, not by letters

function saidAs(hit: Hit): string {
    return hit.around === "" ? hit.label : `${hit.label}, ${hit.around}`;
}

async function addresses(before: string, args: string[], isWanted: IsWanted): Promise<Suggestion[]> {
    const text = args.join(" ").trim();
    if (text.length < TYPED_MIN) {
        return [];
    }
    await new Promise((done) => setTimeout(done, REST_MS));
    if (!isWanted()) {
        return [];
    }
    const hits = await findAddress(text, onMap.map?.center().place).catch(() => []);
    return hits.map((hit) => {
        if (found.size > FOUND_MAX) {
            found.clear();
        }
        found.set(saidAs(hit).toLowerCase(), hit);
        return { line: `${before} ${saidAs(hit)}`, shows: hit.label, about: [hit.around, hit.note].filter(Boolean).join(" · "), isWhole: true };
    });
}

async function addressOf(text: string): Promise<{ hit: Hit; others: number }> {
    const known = found.get(text.toLowerCase());
    if (known !== undefined) {
        return { hit: known, others: 0 };
    }
    const hits = await findAddress(text, onMap.map?.center().place);
    const [first] = hits;
    if (first === undefined) {
        throw new Unclear(`The map has no place called "${text}". Press n and describe it.`);
    }
    return { hit: first, others: hits.length - 1 };
}

function dispositionOf(text: string): string {
    const all = Object.entries(words.value?.dispositions ?? {});
    const asked = text.toLowerCase();
    const exact = all.find(([code, label]) => code === asked || label.toLowerCase() === asked);
    const begun = all.filter(([code, label]) => code.startsWith(asked) || label.toLowerCase().startsWith(asked));
    const one = exact ?? (begun.length === 1 ? begun[0] : undefined);
    if (asked === "" || one === undefined) {
        throw new Unclear(asked === "" ? "Say how it ended." : `"${text}" is no way to end: take one of the list.`);
    }
    return one[0];
}

// --- the commands ------------------------------------------------------------------------------------------------------

const NEW: Command = {
    name: "new",
    usage: "new ADDRESS",
    says: "begin an incident there; without an address, at the middle of the map",
    run: async (args) => {
        requireDispatcher();
        const text = args.join(" ");
        if (text === "") {
            beginAtCenter();
            return;
        }
        const { hit, others } = await addressOf(text);
        onMap.map?.goTo(hit);
        beginAt(hit, hit.label);
        tell(`${saidAs(hit)}${others > 0 ? `, the likeliest of ${others + 1}` : ""}.${hit.note ? ` ${hit.note}` : ""}`);
    },
    suggest: (args, isWanted) => addresses("new", args, isWanted),
};

const SEND: Command = {
    name: "send",
    usage: "send 12 · send CARE-1 12 why",
    says: "the first of the list, or another with a reason",
    run: async (args) => {
        requireDispatcher();
        if (args.length === 0 || isNumber(args[0])) {
            await sendFirstTo(incidentOf(args[0]));
            return;
        }
        const unit = unitOf(args[0]);
        const { incident, rest } = maybeNumber(args.slice(1));
        await freshList(incident.id);
        await sendUnit(incident.id, unit.unit, rest.length === 0 ? undefined : rest.join(" "));
        openIncident(incident.id);
        tell(`${unit.call_sign} is sent to #${incident.number}.`);
    },
    suggest: (args) => {
        const [first = "", second, ...rest] = args;
        if (second === undefined) {
            return [...numbers("send", first), ...callSigns("send", first, (one) => one.kind !== "desk")].slice(0, SUGGESTED_MAX);
        }
        if (isNumber(first)) {
            return [];
        }
        if (rest.length === 0 && (second === "" || isNumber(second))) {
            return numbers(`send ${first}`, second, () => true, false);
        }
        return sentences(["send", ...args.slice(0, isNumber(second) ? 2 : 1)].join(" "), (isNumber(second) ? rest : args.slice(1)).join(" "), WHY_ANOTHER);
    },
};

/** Nobody is sent from a list that nobody saw: it is shown, and the second time it is meant. */
async function sendFirstTo(incident: Incident): Promise<void> {
    const isShown = openOne()?.id === incident.id;
    openIncident(incident.id);
    const list = (isShown ? await freshList(incident.id) : null) ?? (await listOf(incident.id)) ?? (await freshList(incident.id));
    const first = list.ranked.candidates.find((one) => one.fit);
    if (!isShown && first !== undefined) {
        tell(`#${incident.number}: first is ${spoken(first)}. Press 1, or say it again, to send.`);
        return;
    }
    await sendFirst(incident.id);
    tell(`${first?.call_sign ?? "The first"} is sent to #${incident.number}.`);
}

const FIND: Command = {
    name: "find",
    usage: "find CARE-2 · find 12 · find ADDRESS",
    says: "show it on the map",
    run: async (args) => {
        const text = args.join(" ");
        const unit = units.value.find((one) => one.call_sign.toLowerCase() === text.toLowerCase());
        if (text === "") {
            throw new Unclear("Say what to find: a call sign, a number or an address.");
        }
        if (unit !== undefined) {
            lookAtUnit(unit.unit);
            document.querySelector(`.unit-row[data-unit="${CSS.escape(unit.unit)}"]`)?.scrollIntoView({ block: "nearest" });
            tell(`${unit.call_sign}: ${unit.status_label.toLowerCase()}.`);
        } else if (args.length === 1 && isNumber(args[0])) {
            const incident = incidentOf(args[0]);
            openIncident(incident.id);
            onMap.map?.goTo(incident);
        } else {
            const { hit } = await addressOf(text);
            onMap.map?.goTo(hit);
            tell(saidAs(hit));
        }
    },
    suggest: async (args, isWanted) => {
        const [first = ""] = args;
        const here = args.length === 1 ? [...callSigns("find", first, () => true, true), ...(isNumber(first) ? numbers("find", first) : [])] : [];
        return [...here, ...(await addresses("find", args, isWanted))].slice(0, SUGGESTED_MAX);
    },
};

const OPEN: Command = {
    name: "open",
    usage: "open 12",
    says: "its card",
    run: (args) => openIncident(incidentOf(args[0]).id),
    suggest: (args) => (args.length === 1 ? numbers("open", args[0] ?? "") : []),
};

const CLOSE: Command = {
    name: "close",
    usage: "close 12 HOW",
    says: "end it",
    run: async (args) => {
        requireDispatcher();
        const { incident, rest } = maybeNumber(args);
        await closeIncident(incident.id, dispositionOf(rest.join(" ")));
        tell(`#${incident.number} is closed.`);
    },
    suggest: (args) => {
        const [first = "", ...rest] = args;
        if (rest.length === 0 && (first === "" || isNumber(first))) {
            return numbers("close", first, (one) => one.assignments.every((sent) => sent.released_ms !== null), false);
        }
        const said = (isNumber(first) ? rest : args).join(" ");
        return sentences(`close${isNumber(first) ? ` ${first}` : ""}`, said, Object.values(words.value?.dispositions ?? {}));
    },
};

const SETTLE: Command = {
    name: "settle",
    usage: "settle 12",
    says: "settled by phone, no unit sent",
    run: async (args) => {
        requireDispatcher();
        const incident = incidentOf(args[0]);
        await settleByPhone(incident.id);
        tell(`#${incident.number} is settled by phone.`);
    },
    suggest: (args) => (args.length === 1 ? numbers("settle", args[0] ?? "", (one) => one.assignments.length === 0) : []),
};

const NOTE: Command = {
    name: "note",
    usage: "note 12 TEXT",
    says: "a remark that everybody at dispatch reads",
    run: async (args) => {
        const { incident, rest } = maybeNumber(args);
        if (rest.length === 0) {
            throw new Unclear("Say what to note.");
        }
        await addRemark(incident.id, rest.join(" "));
        tell(`Noted at #${incident.number}.`);
    },
    suggest: (args) => (args.length === 1 ? numbers("note", args[0] ?? "", () => true, false) : []),
};

const RELEASE: Command = {
    name: "release",
    usage: "release CARE-1 why",
    says: "take a unit off its incident",
    run: async (args) => {
        requireDispatcher();
        const unit = unitOf(args[0]);
        const incident = whereIs(unit);
        const why = args.slice(isNumber(args[1]) ? 2 : 1).join(" ");
        if (why === "") {
            throw new Unclear(`Say why ${unit.call_sign} is released.`);
        }
        await release(incident.id, unit.unit, why);
        tell(`${unit.call_sign} is off #${incident.number}.`);
    },
    suggest: (args) => {
        const [first = "", ...rest] = args;
        return rest.length === 0 ? callSigns("release", first, isBusy) : sentences(`release ${first}`, rest.join(" "), WHY_RELEASE);
    },
};

const REST: Command = {
    name: "rest",
    usage: "rest CARE-1 end why",
    says: "end a crew's rest; a supervisor's decision",
    run: async (args) => {
        const unit = unitOf(args[0]);
        if (args[1]?.toLowerCase() !== "end") {
            throw new Unclear(`Say: rest ${unit.call_sign} end, and why.`);
        }
        const reason = args.slice(2).join(" ");
        if (reason === "") {
            throw new Unclear(`Say why the rest of ${unit.call_sign} ends.`);
        }
        await post(`/api/v1/units/${encodeURIComponent(unit.unit)}/rest/end`, { reason });
        tell(`The rest of ${unit.call_sign} has ended.`);
    },
    suggest: (args) => {
        const [first = "", ...rest] = args;
        return rest.length === 0 ? callSigns("rest", first) : rest.length === 1 ? [{ line: `rest ${first} end `, shows: "end", about: "and why" }] : [];
    },
};

const LINK: Command = {
    name: "link",
    usage: "link 12 13",
    says: "two incidents that belong together",
    run: async (args) => {
        requireDispatcher();
        const [one, other] = [incidentOf(args[0]), incidentOf(args[1])];
        await linkTo(one.id, other.id);
        tell(`#${one.number} and #${other.number} are linked.`);
    },
    suggest: (args) => (args.length === 1 ? numbers("link", args[0] ?? "", () => true, false) : args.length === 2 ? numbers(`link ${args[0]}`, args[1] ?? "") : []),
};

const MERGE: Command = {
    name: "merge",
    usage: "merge 12 13",
    says: "12 was the same call as 13, which goes on",
    run: async (args) => {
        requireDispatcher();
        if (args.length < 2) {
            throw new Unclear("Say both numbers: the second goes on for both.");
        }
        const [one, into] = [incidentOf(args[0]), incidentOf(args[1])];
        await mergeInto(one.id, into.id);
        tell(`#${one.number} goes on as #${into.number}.`);
    },
    suggest: (args) => (args.length === 1 ? numbers("merge", args[0] ?? "", () => true, false) : args.length === 2 ? numbers(`merge ${args[0]}`, args[1] ?? "") : []),
};

const TRAIL: Command = {
    name: "trail",
    usage: "trail CARE-1",
    says: "its way so far, on and off",
    run: (args) => {
        const unit = args[0] === undefined ? chosenUnit.value : unitOf(args[0]).unit;
        if (unit !== null) {
            chosenUnit.value = unit;
        }
        turnTrail(unit);
    },
    suggest: (args) => (args.length === 1 ? callSigns("trail", args[0] ?? "", (one) => one.kind !== "desk", true) : []),
};

const PLAIN: [string, string, () => void][] = [
    ["rounds", "all waiting incidents solved together", openRounds],
    ["coverage", "how far the free units come, on and off", turnCoverage],
    ["all", "the whole fleet on the map", () => onMap.map?.showAll(true)],
    ["wall", "the screen that nobody touches", () => (wall.value = true)],
    ["night", "dark colors", () => (theme.value === "day" ? switchTheme() : undefined)],
    ["day", "light colors", () => (theme.value === "night" ? switchTheme() : undefined)],
    ["keys", "the sheet of keys", () => (sheet.value = "keys")],
    [
        "quiet",
        "single keys off, or on again",
        () => {
            turnKeys(!areKeysOn.value);
            tell(areKeysOn.value ? "Single keys act again." : "Single keys are off; the line and Tab still do everything.");
        },
    ],
];

export function registerCommands(): void {
    [NEW, SEND, FIND, OPEN, CLOSE, SETTLE, NOTE, RELEASE, REST, LINK, MERGE, TRAIL].forEach(register);
    for (const [name, says, run] of PLAIN) {
        register({ name, usage: name, says, run: () => run() });
    }
}

