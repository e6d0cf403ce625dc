// A section comes whole each time anything in it changed. What did not change stays the very same value here, so that of
// hundreds of rows only those are drawn again that say something else.

const written = new WeakMap<object, string>();

function text(of: object): string {
    const known = written.get(of);
    if (known !== undefined) {
        return known;
    }
    const now = JSON.stringify(of);
    written.set(of, now);
    return now;
}

export function kept<T extends object>(before: readonly T[], now: readonly T[], nameOf: (one: T) => string): T[] {
    const old = new Map(before.map((one) => [nameOf(one), one]));
    return now.map((one) => {
        const was = old.get(nameOf(one));
        return was !== undefined && text(was) === text(one) ? was : one;
    });
}
