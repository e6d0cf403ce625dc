// The sheet of keys and commands: read from the tables that act, so it cannot say something else than they do.

import { useLayoutEffect, useRef } from "preact/hooks";
import { all } from "./commands";
import { areKeysOn, listed, turnKeys } from "./keys";
import { sheet } from "./state";

export function KeyHelp() {
    const close = useRef<HTMLButtonElement>(null);
    useLayoutEffect(() => close.current?.focus(), []);
    return (
        <div class="sheet-over keyhelp" role="dialog" aria-label="Keys and commands">
            <div class="head">
                <h2>Keys and commands</h2>
                <label class="turn">
                    <input type="checkbox" checked={areKeysOn.value} onChange={(event) => turnKeys(event.currentTarget.checked)} /> Single keys act
                </label>
                <span class="spring" />
                <button type="button" class="quiet" ref={close} onClick={() => (sheet.value = "none")}>
                    Close <kbd>Esc</kbd>
                </button>
            </div>
            <div class="columns-of-keys" tabIndex={0} role="region" aria-label="The keys">
                <div class="single">
                {listed().map(({ group, keys }) => (
                    <div key={group}>
                        <h3>{group}</h3>
                        <dl>
                            {keys.map(({ shows, says }) => (
                                <div key={shows}>
                                    <dt>
                                        {shows.split(" ").map((one) => (
                                            <kbd key={one}>{one}</kbd>
                                        ))}
                                    </dt>
                                    <dd>{says}</dd>
                                </div>
                            ))}
                        </dl>
                    </div>
                ))}
                <div>
                    <h3>Always, also while typing</h3>
                    <dl>
                        <div>
                            <dt>
                                <kbd>Alt</kbd>
                                <kbd>E</kbd>
                            </dt>
                            <dd>to the first emergency</dd>
                        </div>
                        <div>
                            <dt>
                                <kbd>Esc</kbd>
                            </dt>
                            <dd>closes what is on top</dd>
                        </div>
                    </dl>
                </div>
                </div>
                <div class="commands">
                    <h3>After /</h3>
                    <dl>
                        {all().map((command) => (
                            <div key={command.name}>
                                <dt>{command.usage}</dt>
                                <dd>{command.says}</dd>
                            </div>
                        ))}
                    </dl>
                </div>
            </div>
        </div>
    );
}
