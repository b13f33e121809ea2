// What is sent with every message of a session: system prompt, sampling, thoughts, tools.
import { useEffect, useState } from "preact/hooks";
import { requestJson } from "./api.js";
import { Dialog } from "./dialog.jsx";
import { NUMBERS } from "./session.js";
import { open, setSettings, settingsProblem } from "./store.js";

const EXAMPLE = `[{"type": "function", "function": {"name": "…", "parameters": {…}}}]`;

// The server's own values, told in the empty fields.
function useDefaults() {
  const [defaults, set] = useState({});
  useEffect(() => {
    requestJson("props").then((p) => set(p.default_generation_settings.params), () => {});
  }, []);
  return defaults;
}

function shown(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : "server's default";
}

function Choice({ label, value, options, onChange }) {
  return <label>{label}
    <select value={value} onChange={(e) => onChange(e.target.value)}>
      {options.map(([key, text]) => <option key={key} value={key}>{text}</option>)}
    </select>
  </label>;
}

export function Settings({ onClose }) {
  const [now, set] = useState(open.session.settings);
  const [problem, setProblem] = useState(null);
  const defaults = useDefaults();
  const change = (more) => set({ ...now, ...more });
  const save = (event) => {
    event.preventDefault();
    const wrong = settingsProblem(now);
    setProblem(wrong);
    if (wrong) return;
    setSettings(now);
    onClose();
  };
  return <Dialog title="Settings of this chat" onClose={onClose}>
    <form class="settings" onSubmit={save} noValidate={false}>
      <label>System prompt
        <textarea rows="4" value={now.system} onInput={(e) => change({ system: e.target.value })} />
      </label>
      <fieldset class="grid"><legend>Sampling</legend>
        {NUMBERS.map(({ name, label, ...bounds }) => <label key={name}>{label}
          <input type="number" inputmode="decimal" {...bounds} value={now.numbers[name] ?? ""}
            step={bounds.step === 1 ? 1 : "any"} placeholder={shown(defaults[name])}
            onInput={(e) => change({ numbers: { ...now.numbers, [name]: e.target.value } })} />
        </label>)}
      </fieldset>
      <fieldset class="grid"><legend>Thinking, where the model can</legend>
        <Choice label="Thinks first" value={now.thinking} onChange={(v) => change({ thinking: v })}
          options={[["", "server's default"], ["on", "yes"], ["off", "no"]]} />
        <Choice label="Effort" value={now.effort} onChange={(v) => change({ effort: v })}
          options={[["", "server's default"], ["low", "low"], ["medium", "medium"],
            ["high", "high"]]} />
      </fieldset>
      <label>Tools
        <textarea class="code-text" rows="3" spellcheck={false} value={now.tools}
          placeholder={EXAMPLE} onInput={(e) => change({ tools: e.target.value })} />
      </label>
      <label>More parameters
        <textarea class="code-text" rows="2" spellcheck={false} value={now.more}
          placeholder='{"stop": ["\n\n"]}' onInput={(e) => change({ more: e.target.value })} />
      </label>
      {problem && <p class="error" role="alert">{problem}</p>}
      <div class="actions">
        <button type="submit" class="first">Save</button>
        <button type="button" onClick={onClose}>Cancel</button>
      </div>
    </form>
  </Dialog>;
}
