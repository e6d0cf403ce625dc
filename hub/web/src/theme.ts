// Day or night, before anything is painted: what the person chose last, else what the computer is set to.

const KEPT = "tandem-theme";

const kept = localStorage.getItem(KEPT);
const isNight = kept === null ? matchMedia("(prefers-color-scheme: dark)").matches : kept === "night";
document.documentElement.dataset.theme = isNight ? "night" : "day";
