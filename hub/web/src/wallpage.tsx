// The wall as a page of its own, for an account that may see nothing else: whoever finds its keyboard finds nothing to do.

import { render } from "preact";
import { startTicking } from "./time";
import { Wall, watchWall } from "./wall";

const root = document.getElementById("wall");
if (root !== null) {
    startTicking();
    watchWall(true);
    render(<Wall />, root);
}
