// Day or night while the page is open.

import { effect, signal } from "@preact/signals";

export type Theme = "day" | "night";

const KEPT = "tandem-theme"; // read by theme.ts before anything is painted

export const theme = signal<Theme>(document.documentElement.dataset.theme === "night" ? "night" : "day");

effect(() => {
    document.documentElement.dataset.theme = theme.value;
});

export function switchTheme(): void {
    theme.value = theme.value === "day" ? "night" : "day";
    localStorage.setItem(KEPT, theme.value);
}
