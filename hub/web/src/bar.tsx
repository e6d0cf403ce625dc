// The strip on top: who, whether the hub is there, whether the terminals are, and what was refused.

import { Alarms } from "./alarms";
import { switchTheme, theme } from "./look";
import { sound } from "./alarm";
import { clock } from "./say";
import { agency, health, link, me, units } from "./state";
import { second, silentMs } from "./time";

export function Bar() {
    return (
        <header class="bar">
            <h1 class="brand">Tandem</h1>
            <span class="agency">{agency}</span>
            <span class="spring" />
            <Alarms />
            <Health />
            <time class="clock" aria-label="Time">
                {clock(second.value, true)}
            </time>
            <button type="button" class="quiet" onClick={switchTheme} aria-label={theme.value === "day" ? "Switch to night" : "Switch to day"}>
                {theme.value === "day" ? "Night" : "Day"}
            </button>
            {me.value?.role === "supervisor" ? <a href="/devices">Devices</a> : null}
            <span class="who">{me.value?.name}</span>
            <SignOut />
        </header>
    );
}

function Health() {
    const terminals = units.value.filter((unit) => unit.device !== null);
    const linked = terminals.filter((unit) => unit.presence === "connected").length;
    const refused = Object.entries(health.value.quarantined);
    const sum = refused.reduce((so, [, count]) => so + count, 0);
    const isLive = link.value === "live";
    return (
        <ul class="health" aria-label="Health">
            <li class={isLive ? "good" : "bad"}>{isLive ? "Hub live" : link.value === "starting" ? "Connecting" : "Hub lost"}</li>
            {sound.value === "on" ? null : (
                <li class="warn" title="A click anywhere on this page lets it be heard">
                    Alarm sound off
                </li>
            )}
            <li class={linked === terminals.length ? "" : "warn"}>
                {linked} of {terminals.length} terminals linked
            </li>
            <li class={sum > 0 ? "warn" : ""} title={refused.map(([why, count]) => `${count} × ${why}`).join("\n")}>
                {sum === 0 ? "Nothing refused" : `${sum} refused`}
            </li>
        </ul>
    );
}

function SignOut() {
    const leave = async (): Promise<void> => {
        await fetch("/signout", { method: "POST", headers: { "X-CSRF-Token": me.value?.csrf ?? "" } }).catch(() => null);
        location.assign("/signin");
    };
    return (
        <button type="button" class="quiet" onClick={() => void leave()}>
            Sign out
        </button>
    );
}

/** What stands over everything while the page cannot be believed. */
export function Banner() {
    if (link.value === "signed out") {
        return (
            <p class="banner" role="alert">
                Signed out after 30 minutes without use. <a href="/signin">Sign in again</a>
            </p>
        );
    }
    if (link.value !== "lost") {
        return null;
    }
    void second.value; // ticks
    return (
        <p class="banner" role="alert">
            Connection to hub lost, showing {Math.round(silentMs() / 1000)} s old data
        </p>
    );
}
