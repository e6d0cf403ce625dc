// What can be said on the command line. A command is a word with arguments; what it cannot do it says in one sentence.

import { signal } from "@preact/signals";

/** Something that may stand next on the line. `line`: the whole line once it is taken. */
export interface Suggestion {
    line: string;
    shows: string;
    about?: string;
    /** Taking it says all there is to say: Enter runs the line. */
    isWhole?: boolean;
}

export interface Command {
    name: string;
    usage: string;
    says: string;
    run(args: string[]): Promise<void> | void;
    /** What may come next, `args` being what was typed so far, the last of them perhaps half a word or "". */
    suggest?(args: string[], isWanted: IsWanted): Suggestion[] | Promise<Suggestion[]>;
}

/** Whether the line is still what it was when somebody began to look something up for it. */
export type IsWanted = () => boolean;

/** The person can act on this; it is shown as it is. */
export class Unclear extends Error {}

const known = new Map<string, Command>();

export function register(command: Command): void {
    if (known.has(command.name)) {
        throw new Error(`there already is a command ${command.name}`);
    }
    known.set(command.name, command);
}

export function all(): Command[] {
    return [...known.values()];
}

/** The words of a line: the first is the command. Ends with "" when a new word was begun by a space. */
export function split(line: string): string[] {
    return line.replace(/^[\s/]+/, "").split(/\s+/);
}

/** The command of that name, or the only one that begins so. */
export function named(word: string): Command | null {
    const said = word.toLowerCase();
    const exact = known.get(said);
    if (exact !== undefined || said === "") {
        return exact ?? null;
    }
    const begun = all().filter((one) => one.name.startsWith(said));
    return begun.length === 1 ? (begun[0] ?? null) : null;
}

export async function run(line: string): Promise<void> {
    const [word = "", ...args] = split(line.trim());
    const command = named(word);
    if (command === null) {
        const begun = all().filter((one) => word !== "" && one.name.startsWith(word.toLowerCase()));
        throw new Unclear(begun.length > 1 ? `"${word}" may be ${begun.map((one) => one.name).join(" or ")}.` : `There is no command "${word}". Type ? for the list.`);
    }
    await command.run(args);
}

export async function suggest(line: string, isWanted: IsWanted): Promise<Suggestion[]> {
    const [word = "", ...args] = split(line);
    if (args.length === 0) {
        return all()
            .filter((one) => one.name.startsWith(word.toLowerCase()))
            .map((one) => ({ line: `${one.name} `, shows: one.usage, about: one.says }));
    }
    return (await named(word)?.suggest?.(args, isWanted)) ?? [];
}

/** The lines said on this page, the newest last. In memory only: they hold addresses and words about people. */
export const said = signal<string[]>([]);
const SAID_MAX = 50;

export function remember(line: string): void {
    said.value = [...said.value.filter((one) => one !== line), line].slice(-SAID_MAX);
}
