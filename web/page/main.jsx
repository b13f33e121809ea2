import { render } from "preact";
import { App } from "./app.jsx";
import { watchHealth } from "./health.js";
import "./page.css";
import { start } from "./store.js";
import { startTheme } from "./theme.js";

startTheme();
start();
watchHealth();
render(<App />, document.getElementById("root"));
