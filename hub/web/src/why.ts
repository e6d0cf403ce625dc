// The one question before another unit than the first is sent: why. Asked at the foot of the page, answered in one tap.

import { signal } from "@preact/signals";

export interface AskedWhy {
    incident: string;
    number: number;
    unit: string;
    callSign: string;
    first: string;
}

export const asked = signal<AskedWhy | null>(null);
