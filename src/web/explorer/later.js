// What the first rows do not need: it is loaded once they are painted (see main.js).

import { Changes } from "./changes.js";
import { Facets } from "./facets.js";
import { Histogram } from "./histogram.js";
import { Record } from "./record.js";

export { Changes, Facets, Histogram, Record };
