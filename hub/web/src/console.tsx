// The dispatcher's page: the board and the map side by side.

import { render } from "preact";
import { beginAt } from "./acts";
import { prepareSound } from "./alarm";
import { Banner, Bar } from "./bar";
import { Emergencies, watchEmergencies } from "./emergencies";
import { Incidents } from "./incidents";
import { MapPane, awayFrom, shown } from "./mappane";
import { Notes } from "./notes";
import type { Incident, Me, Streets, Words } from "./shapes";
import { card, chosenUnit, me, streets, trouble, words } from "./state";
import { get, sentence } from "./api";
import { listen, reportTouches } from "./stream";
import { startTicking } from "./time";
import { Units } from "./units";

function lookAtUnit(unit: string): void {
    chosenUnit.value = unit;
    shown.map?.goToUnit(unit);
}

function lookAtIncident(incident: Incident): void {
    const where = shown.map?.across(incident);
    card.value = { kind: "incident", id: incident.id, side: where ? awayFrom(where.x, where.width) : "right" };
}

function beginAtCenter(): void {
    const at = shown.map?.center();
    if (at) {
        beginAt(at.place, at.near, true);
    }
}

function Page() {
    return (
        <>
            <Bar />
            <Banner />
            <Emergencies />
            <div class="columns">
                <div class="board-pane">
                    <Incidents look={lookAtIncident} begin={beginAtCenter} />
                    <Units look={lookAtUnit} />
                    <Notes />
                </div>
                <MapPane />
            </div>
        </>
    );
}

async function start(): Promise<void> {
    const root = document.getElementById("console");
    if (root === null) {
        return;
    }
    startTicking();
    prepareSound();
    watchEmergencies();
    render(<Page />, root);
    try {
        [me.value, words.value, streets.value] = await Promise.all([
            get<Me>("/api/v1/me"),
            get<Words>("/api/v1/words"),
            get<Streets>("/map/info.json"),
        ]);
    } catch (no) {
        trouble.value = sentence(no);
    }
    listen();
    reportTouches();
}

void start();
