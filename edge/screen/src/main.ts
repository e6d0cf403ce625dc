// Keeps a page of the terminal fresh and quick. Every page works without it: what it does is save a reload.

const POLL_MS = 700; // a new assignment shows within a second
const LOOK_MS_MAX = 3000;
const PAUSE_MS = 900; // a pause in the writing
const UNSAVED_MS_MAX = 3000; // nothing typed is older than this and not saved
const RETRY_MS = 2000;
const SETTLE_MS = 600; // the second tap of a thumb falls into this
const FLASH_MS = 7000;

const body = document.body;
const trouble = byId("trouble");
let isPressing = false;

function byId(id: string): HTMLElement | null {
    return document.getElementById(id);
}

function complain(sentence: string | null): void {
    if (trouble !== null) {
        trouble.hidden = sentence === null;
        trouble.textContent = sentence ?? "";
    }
}

// ---- live regions: the server draws, we put in what has changed

const drawn = new Map<string, string>();
for (const region of document.querySelectorAll("[data-live]")) {
    drawn.set(region.id, region.outerHTML);
}

let isLooking = false;
let missed = 0;

async function look(): Promise<void> {
    const url = body.dataset["liveUrl"];
    if (url === undefined || isLooking) {
        return;
    }
    isLooking = true;
    try {
        const answer = await fetch(url, {
            cache: "no-store",
            headers: { Accept: "text/html" },
            signal: AbortSignal.timeout(LOOK_MS_MAX), // an answer that never comes must not end the looking
        });
        if (!answer.ok) {
            throw new Error(String(answer.status));
        }
        put(new DOMParser().parseFromString(await answer.text(), "text/html"));
        if (missed >= 3) {
            complain(null);
        }
        missed = 0;
    } catch {
        missed += 1;
        if (missed === 3) {
            complain("The terminal program does not answer. What you see may be old: use the radio.");
        }
    } finally {
        isLooking = false;
    }
}

function put(fresh: Document): void {
    if (isPressing) {
        return; // a button that is replaced under a finger does not hear it
    }
    for (const region of fresh.querySelectorAll<HTMLElement>("[data-live]")) {
        const old = byId(region.id);
        if (old !== null && drawn.get(region.id) !== region.outerHTML) {
            drawn.set(region.id, region.outerHTML);
            old.replaceWith(document.importNode(region, true));
        }
    }
    if (fresh.title !== "" && fresh.querySelector("main.glance, main.desk") !== null) {
        document.title = fresh.title;
    }
    const zone = byId("zone");
    const csrf = zone?.dataset["csrf"];
    if (csrf !== undefined && fresh.getElementById("zone") !== null) {
        for (const field of document.querySelectorAll<HTMLInputElement>('input[name="csrf"]')) {
            field.value = csrf;
        }
    }
    if (zone !== null) {
        relock(zone);
        followHeadlights(zone);
        if (zone.dataset["power"] === "failing") {
            writing?.save();
        }
    }
}

let headlights = byId("zone")?.dataset["lineTheme"] ?? "";

/** Day and night as the vehicle's headlights say, where nobody has tapped one. Only a change counts: a tap is on its way. */
function followHeadlights(zone: HTMLElement): void {
    const theme = zone.dataset["lineTheme"] ?? "";
    if (theme !== headlights) {
        headlights = theme;
        if (theme !== "") {
            document.documentElement.dataset["theme"] = theme;
        }
    }
}

/** The clinical zone has locked: nothing of it stays on the glass. */
function relock(zone: HTMLElement): void {
    if (body.dataset["deskNote"] !== undefined && zone.dataset["deskOpen"] === "no") {
        location.replace("/");
    }
    if (body.dataset["clinical"] !== undefined && zone.dataset["open"] === "no" && !(writing?.isDirty() ?? false)) {
        location.replace(`/unlock?then=${encodeURIComponent(location.pathname)}`);
    }
}

document.addEventListener("pointerdown", () => (isPressing = true));
for (const event of ["pointerup", "pointercancel", "blur"]) {
    window.addEventListener(event, () => setTimeout(() => (isPressing = false), 0));
}

// ---- forms that need no new page

async function send(form: HTMLFormElement, button: HTMLElement | null): Promise<Response> {
    const fields = new FormData(form, button);
    const csrf = String(fields.get("csrf") ?? "");
    return fetch(form.action, {
        method: "POST",
        body: fields,
        headers: { "X-CSRF-Token": csrf, Accept: "text/html" },
        redirect: "manual", // the answer is "go to the first page", where we are
    });
}

async function said(answer: Response): Promise<string> {
    try {
        const { message } = (await answer.json()) as { message?: string };
        return message ?? "That did not work. Try again.";
    } catch {
        return "That did not work. Try again.";
    }
}

document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement)) {
        return;
    }
    if (form.dataset["quick"] !== undefined) {
        event.preventDefault();
        void quick(form, event.submitter);
    } else if (form.dataset["themeForm"] !== undefined) {
        event.preventDefault();
        const theme = event.submitter instanceof HTMLButtonElement ? event.submitter.value : "";
        document.documentElement.dataset["theme"] = theme;
        void send(form, event.submitter);
    }
});

async function quick(form: HTMLFormElement, button: HTMLElement | null): Promise<void> {
    if (form.classList.contains("is-busy")) {
        return;
    }
    form.classList.add("is-busy");
    button?.classList.add("is-pressed");
    try {
        const answer = await send(form, button);
        const isDone = answer.type === "opaqueredirect" || answer.ok;
        complain(isDone ? null : await said(answer));
    } catch {
        complain("Not done: the terminal program does not answer. Use the radio.");
    }
    await look();
    const now = byId(form.id === "" ? "below" : form.id);
    now?.classList.add("is-busy");
    setTimeout(() => {
        now?.classList.remove("is-busy");
        form.classList.remove("is-busy");
        button?.classList.remove("is-pressed");
    }, SETTLE_MS);
}

for (const flash of document.querySelectorAll<HTMLElement>("[data-passing]")) {
    setTimeout(() => flash.remove(), FLASH_MS);
}

// ---- the PIN pad

for (const form of document.querySelectorAll<HTMLFormElement>("[data-pad]")) {
    pad(form);
}

function pad(form: HTMLFormElement): void {
    const field = form.querySelector<HTMLInputElement>('input[name="pin"]');
    const keys = form.querySelector<HTMLElement>("[data-keys]");
    if (field === null || keys === null) {
        return;
    }
    keys.hidden = false;
    form.querySelector("[data-plain]")?.remove();
    field.inputMode = "none"; // the pad is the keyboard
    const typed = (): void => {
        if (field.value.length === field.maxLength) {
            form.requestSubmit();
        }
    };
    keys.addEventListener("click", (event) => {
        const key = (event.target as Element).closest<HTMLElement>("[data-key]")?.dataset["key"];
        if (key === "erase") {
            field.value = field.value.slice(0, -1);
        } else if (key !== undefined && field.value.length < field.maxLength) {
            field.value += key;
            typed();
        }
    });
    field.addEventListener("input", typed);
    form.addEventListener("submit", (event) => {
        const dialog = form.closest("dialog");
        if (dialog !== null) {
            event.preventDefault();
            void send(form, null).then(async (answer) => {
                field.value = "";
                if (answer.type === "opaqueredirect") {
                    dialog.close();
                    complain(null);
                    writing?.again();
                } else {
                    complain(await said(answer));
                }
            });
        }
    });
    if (form.closest("dialog") === null) {
        field.focus();
    }
}

// ---- writing: saved sealed at every pause

interface Writing {
    isDirty(): boolean;
    again(): void;
    save(): void;
}

const noteForm = document.querySelector<HTMLFormElement>("form[data-autosave]");
const writing: Writing | null = noteForm === null ? null : autosave(noteForm);

function autosave(form: HTMLFormElement): Writing {
    const shown = byId("saved");
    const relockDialog = byId("relock") as HTMLDialogElement | null;
    const url = form.dataset["autosave"] ?? "";
    let version = 0;
    let savedVersion = 0;
    let firstUnsaved = 0;
    let timer = 0;
    let isSaving = false;
    form.querySelector("[data-plain]")?.remove();

    const show = (mood: string, words: string): void => {
        if (shown !== null) {
            shown.className = `saved ${mood}`;
            const span = shown.querySelector("span");
            if (span !== null) {
                span.textContent = words;
            }
        }
    };

    const save = async (): Promise<void> => {
        window.clearTimeout(timer);
        if (isSaving || version === savedVersion) {
            return;
        }
        isSaving = true;
        const sent = version;
        firstUnsaved = 0;
        try {
            const fields = new FormData(form);
            const answer = await fetch(url, {
                method: "POST",
                body: fields,
                headers: { "X-CSRF-Token": String(fields.get("csrf") ?? "") },
                keepalive: true,
            });
            if (answer.status === 204) {
                savedVersion = sent;
                if (version === sent) {
                    show("good", `Saved sealed ${answer.headers.get("X-Saved-At") ?? ""}`);
                }
            } else {
                failed(answer.status, await said(answer));
            }
        } catch {
            failed(0, "the terminal program does not answer.");
        }
        isSaving = false;
        if (version !== savedVersion) {
            timer = window.setTimeout(() => void save(), RETRY_MS);
        }
    };

    const failed = (status: number, why: string): void => {
        show("bad", `Not saved: ${why.replace(/^Not saved: /, "")}`);
        if (status === 401 && relockDialog !== null && !relockDialog.open) {
            relockDialog.showModal();
        }
    };

    form.addEventListener("input", () => {
        version += 1;
        firstUnsaved ||= Date.now();
        if (shown?.classList.contains("bad") !== true) {
            show("wait", "Not saved yet");
        }
        window.clearTimeout(timer);
        const left = Math.max(0, firstUnsaved + UNSAVED_MS_MAX - Date.now() - 400);
        timer = window.setTimeout(() => void save(), Math.min(PAUSE_MS, left));
    });
    window.addEventListener("pagehide", () => void save());
    document.addEventListener("visibilitychange", () => void save());
    const text = form.querySelector("textarea");
    if (text !== null) {
        text.setSelectionRange(text.value.length, text.value.length);
        text.focus();
    }
    return { isDirty: () => version !== savedVersion, again: () => void look().then(save), save: () => void save() };
}

// ---- an emergency: a tap opens the panel, a second one raises it; a long hold of the corner raises it at once

const HOLD_MS = 1500;

const duressDialog = byId("duress-dialog") as HTMLDialogElement | null;
let holding = 0;
let wasHeld = false;

function corner(event: Event): HTMLElement | null {
    return event.target instanceof Element ? event.target.closest<HTMLElement>("[data-duress]") : null;
}

function letGo(): void {
    window.clearTimeout(holding);
    byId("duress")?.classList.remove("is-holding");
}

document.addEventListener("pointerdown", (event) => {
    const held = corner(event);
    wasHeld = false;
    if (held !== null) {
        held.classList.add("is-holding");
        holding = window.setTimeout(() => {
            wasHeld = true;
            letGo();
            const form = document.querySelector<HTMLFormElement>("[data-duress-form]");
            if (form !== null) {
                void duress(form, null);
            }
        }, HOLD_MS);
    }
});
for (const event of ["pointerup", "pointercancel", "blur"]) {
    window.addEventListener(event, letGo);
}
document.addEventListener("contextmenu", (event) => {
    if (corner(event) !== null) {
        event.preventDefault(); // what a browser does with a long hold
    }
});
document.addEventListener("click", (event) => {
    const isClose = event.target instanceof Element && event.target.closest("[data-duress-close]") !== null;
    if (duressDialog !== null && (corner(event) !== null || isClose)) {
        event.preventDefault();
        if (isClose) {
            duressDialog.close();
        } else if (!wasHeld) {
            duressDialog.showModal();
        }
    }
});
document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form instanceof HTMLFormElement && form.dataset["duressForm"] !== undefined) {
        event.preventDefault();
        void duress(form, event.submitter);
    }
});

async function duress(form: HTMLFormElement, button: HTMLElement | null, isSecondTry = false): Promise<void> {
    const fields = new FormData(form);
    const pressed = button instanceof HTMLButtonElement ? button : null; // at the second try no longer of this form
    if (pressed !== null && pressed.name !== "") {
        fields.set(pressed.name, pressed.value);
    }
    const url = pressed?.hasAttribute("formaction") ? pressed.formAction : form.action;
    try {
        const answer = await fetch(url, {
            method: "POST",
            body: fields,
            headers: { "X-CSRF-Token": String(fields.get("csrf") ?? ""), Accept: "text/html" },
            redirect: "manual",
        });
        const isDone = answer.type === "opaqueredirect" || answer.ok;
        await lookAtEmergency();
        const again = byId(form.closest("[id]")?.id ?? "")?.querySelector<HTMLFormElement>("form") ?? null;
        if (!isDone && !isSecondTry && again !== null) {
            return await duress(again, button, true); // the program was started again under this page
        }
        complain(isDone ? null : await said(answer));
    } catch {
        complain("Not raised: the terminal program does not answer. Use the button in the vehicle, or the radio.");
    }
}

/** From memory: this is answered while a disk hangs and the rest of the page is not. */
async function lookAtEmergency(): Promise<void> {
    try {
        const answer = await fetch("/live/emergency", {
            cache: "no-store",
            headers: { Accept: "text/html" },
            signal: AbortSignal.timeout(LOOK_MS_MAX),
        });
        put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
        return; // the next look says what is wrong
    }
}

setInterval(() => void look(), POLL_MS);
setInterval(() => {
    if (missed > 0) {
        void lookAtEmergency();
    }
}, POLL_MS);
