// In the console's page, before anything of it: when each numbered position had been painted.
//
// A position counts as painted when its unit's marker was put elsewhere on the map after the event came, and the browser
// has drawn the next picture: a message that is posted in an animation frame is handled after that picture. Where the
// map has no markers of its own (drawn by the graphics card), the next picture after the event counts.
(() => {
    const FIRST = -83;
    const STEP = 1e-6;
    const waiting = new Map(); // by unit: the newest number
    const painted = [];
    window.benchPainted = painted;
    window.benchMarkers = false;

    const afterPicture = (numbers) => {
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => {
                const at = performance.timeOrigin + performance.now();
                for (const number of numbers) {
                    painted.push([number, at]);
                }
                port1.close();
            };
            port2.postMessage(0);
        });
    };

    const observer = new MutationObserver((changes) => {
        const numbers = [];
        for (const { target } of changes) {
            const number = waiting.get(target.dataset?.unit);
            if (number !== undefined) {
                waiting.delete(target.dataset.unit);
                numbers.push(number);
            }
        }
        if (numbers.length > 0) {
            afterPicture(numbers);
        }
    });
    observer.observe(document, { attributes: true, attributeFilter: ["style"], subtree: true });

    const Native = window.EventSource;
    window.EventSource = class extends Native {
        constructor(...args) {
            super(...args);
            this.addEventListener("positions", (event) => {
                const numbers = [];
                window.benchMarkers = document.querySelector(".unit-marker[data-unit]") !== null;
                for (const { unit, lon } of JSON.parse(event.data).positions) {
                    const number = Math.round((lon - FIRST) / STEP);
                    if (window.benchMarkers) {
                        waiting.set(unit, number);
                    } else {
                        numbers.push(number);
                    }
                }
                if (numbers.length > 0) {
                    afterPicture(numbers);
                }
            });
        }
    };
})();
