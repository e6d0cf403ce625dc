// Bundles the pages: hub/web/src → hub/web/static/dist, edge/screen/src → edge/screen/static/dist.
//
// One bundle a page and no code splitting: MapLibre looks for its worker beside the bundle that holds it.

import { build } from "esbuild";
import { copyFile, mkdir, rm } from "node:fs/promises";
import { existsSync } from "node:fs";

const MAP = "node_modules/maplibre-gl/dist";
const PAGES = [
    {
        entries: ["hub/web/src/console.tsx", "hub/web/src/wallpage.tsx", "hub/web/src/console.css", "hub/web/src/theme.ts"],
        into: "hub/web/static/dist",
        beside: [`${MAP}/maplibre-gl-worker.mjs`, `${MAP}/maplibre-gl-shared.mjs`],
    },
    {
        entries: ["edge/screen/src/main.ts", "edge/screen/src/screen.css"],
        into: "edge/screen/static/dist",
        beside: [],
    },
];

for (const { entries, into, beside } of PAGES) {
    const present = entries.filter((entry) => existsSync(entry));
    if (present.length === 0) {
        continue;
    }
    await rm(into, { recursive: true, force: true });
    await mkdir(into, { recursive: true });
    await build({
        entryPoints: present,
        outdir: into,
        bundle: true,
        format: "esm",
        target: "es2022",
        minify: true,
        loader: { ".woff2": "file" },
        assetNames: "[name]",
        legalComments: "none",
        jsx: "automatic",
        jsxImportSource: "preact",
        logLevel: "warning",
    });
    for (const file of beside) {
        await copyFile(file, `${into}/${file.split("/").at(-1)}`);
    }
    console.log(`built ${into}`);
}
