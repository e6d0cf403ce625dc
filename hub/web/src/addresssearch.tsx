// The place field: words for people, and the addresses of the imported map under it. Type, arrows, Enter; Escape keeps
// the words as they are.

import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type Hit, type Point, findAddress } from "./acts";
import { sentence } from "./api";

const TYPING_MS = 160; // nobody asks for each letter
const LETTERS_MIN = 2;

export function AddressSearch(props: {
    words: string;
    near: Point;
    isFirst: boolean;
    say: (words: string) => void;
    pick: (hit: Hit) => void;
}) {
    const id = useId();
    const [hits, setHits] = useState<Hit[]>([]);
    const [active, setActive] = useState(0);
    const [isTyped, setTyped] = useState(false);
    const [none, setNone] = useState<string | null>(null);
    const field = useRef<HTMLInputElement>(null);
    const list = useRef<HTMLUListElement>(null);
    useEffect(() => {
        if (props.isFirst) {
            field.current?.focus({ preventScroll: true });
            field.current?.select();
        }
    }, []);
    useEffect(() => {
        const text = props.words.trim();
        if (!isTyped || text.length < LETTERS_MIN) {
            setHits([]);
            setNone(null);
            return;
        }
        let isWanted = true;
        const soon = setTimeout(() => {
            findAddress(text, props.near).then(
                (found) => {
                    if (isWanted) {
                        setHits(found);
                        setActive(0);
                        setNone(found.length === 0 ? "No such address on the map. The words are kept; the pin stays where it is." : null);
                    }
                },
                (no: unknown) => {
                    if (isWanted) {
                        setHits([]);
                        setNone(sentence(no));
                    }
                },
            );
        }, TYPING_MS);
        return () => {
            isWanted = false;
            clearTimeout(soon);
        };
    }, [props.words, isTyped]);
    useEffect(() => list.current?.children[active]?.scrollIntoView({ block: "nearest" }), [active, hits]);

    const isOpen = hits.length > 0;
    const shut = (): void => {
        setHits([]);
        setTyped(false);
    };
    const pick = (hit: Hit): void => {
        shut();
        setNone(null);
        props.pick(hit);
    };
    const onKey = (event: KeyboardEvent): void => {
        const hit = hits[active];
        if (!isOpen || hit === undefined) {
            return;
        }
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            const step = event.key === "ArrowDown" ? 1 : hits.length - 1;
            setActive((active + step) % hits.length);
        } else if (event.key === "Enter") {
            pick(hit);
        } else if (event.key === "Escape") {
            event.stopPropagation(); // the card stays
            shut();
        } else {
            return;
        }
        event.preventDefault();
    };
    return (
        <div class="address">
            <label>
                Place
                <input
                    ref={field}
                    value={props.words}
                    onInput={(event) => {
                        setTyped(true);
                        props.say(event.currentTarget.value);
                    }}
                    onKeyDown={onKey}
                    onBlur={shut}
                    maxLength={200}
                    required
                    autocomplete="off"
                    placeholder="Address, crossing or name"
                    role="combobox"
                    aria-expanded={isOpen}
                    aria-controls={`${id}list`}
                    aria-autocomplete="list"
                    {...(isOpen ? { "aria-activedescendant": `${id}${active}` } : {})}
                />
            </label>
            <ul id={`${id}list`} role="listbox" aria-label="Addresses" ref={list} hidden={!isOpen}>
                {hits.map((hit, at) => (
                    // pointerdown, for the field closes the list when it loses the focus
                    <li
                        id={`${id}${at}`}
                        role="option"
                        aria-selected={at === active}
                        onPointerDown={(event) => {
                            event.preventDefault();
                            pick(hit);
                        }}
                        key={at}
                    >
                        <b>{hit.label}</b>
                        <small>
                            {[hit.kind === "address" ? "" : hit.kind, hit.around].filter(Boolean).join(" · ")}
                            {hit.note === null ? null : <em>{hit.note}</em>}
                        </small>
                    </li>
                ))}
            </ul>
            {none === null || isOpen ? null : (
                <p class="hint" role="status">
                    {none}
                </p>
            )}
        </div>
    );
}
