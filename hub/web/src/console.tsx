// The dispatcher's page: the board and the map side by side, the command line at their foot, a wall instead of them.

import { render } from "preact";
import { useEffect } from "preact/hooks";
import { prepareSound } from "./alarm";
import { Banner, Bar } from "./bar";
import { beginAtCenter, lookAtUnit, openNow, turnTrail } from "./boardacts";
import { registerCommands } from "./boardcommands";
import { registerKeys } from "./boardkeys";
import { Foot } from "./commandline";
import { Emergencies, watchEmergencies } from "./emergencies";
import { Incidents } from "./incidents";
import { KeyHelp } from "./keyhelp";
import { watchKeys } from "./keys";
import { MapPane } from "./mappane";
import { Notes } from "./notes";
import { Rounds } from "./rounds";
import type { Me, Streets, Words } from "./shapes";
import { card, chosenIncident, incidents, me, sheet, streets, trouble, wall, words } from "./state";
import { get, sentence } from "./api";
import { effect } from "@preact/signals";
import { listen, reportTouches } from "./stream";
import { startTicking } from "./time";
import { Units } from "./units";
import { watchIncidents } from "./view";
import { Wall, watchWall } from "./wall";

const UNITS = { look: lookAtUnit, trail: turnTrail };

function Page() {
    const isWall = wall.value;
    useEffect(() => {
        document.body.dataset.wall = isWall ? "1" : "";
        return isWall ? watchWall() : undefined;
    }, [isWall]);
    return (
        <>
            {isWall ? <Wall /> : null}
            <div class="desk" inert={isWall}>
                <Bar />
                <Banner />
                <Emergencies />
                <div class="columns">
                    <div class="board-pane">
                        <Incidents look={(incident) => openNow(incident.id)} begin={beginAtCenter} />
                        <Units asks={UNITS} />
                        <Notes />
                    </div>
                    <div class="map-side">
                        <MapPane />
                        {sheet.value === "rounds" ? <Rounds /> : null}
                    </div>
                    {sheet.value === "keys" ? <KeyHelp /> : null}
                </div>
                <Foot />
            </div>
        </>
    );
}

/** The cursor is where the open card is, however it was opened, and nowhere once its incident has left the board. */
function followCard(): void {
    effect(() => {
        if (card.value.kind === "incident") {
            chosenIncident.value = card.value.id;
        }
    });
    effect(() => {
        const chosen = chosenIncident.value;
        if (chosen !== null && !incidents.value.some((one) => one.id === chosen)) {
            chosenIncident.value = null;
        }
    });
}

async function start(): Promise<void> {
    const root = document.getElementById("console");
    if (root === null) {
        return;
    }
    startTicking();
    prepareSound();
    watchEmergencies();
    registerKeys();
    registerCommands();
    watchKeys();
    followCard();
    watchIncidents();
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
