// What changes, and who wants to know: components listen with useSource and are drawn again, at
// most once a frame and not faster than people read.
import { useEffect, useState } from "preact/hooks";

const MIN_MS = 50;

export class Source {
  #listeners = new Set();
  #isDue = false;
  #lastMs = 0;
  version = 0;      // how often it told

  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell() {
    this.version++;
    for (const listener of [...this.#listeners]) listener();
  }

  // For what changes with every token.
  tellSoon() {
    if (this.#isDue) return;
    this.#isDue = true;
    const wait = Math.max(0, this.#lastMs + MIN_MS - performance.now());
    setTimeout(() => {
      this.#isDue = false;
      this.#lastMs = performance.now();
      this.tell();
    }, wait);
  }
}

export function useSource(source) {
  const [, set] = useState(0);
  const seen = source.version;
  useEffect(() => {
    const draw = () => set((n) => n + 1);
    if (source.version !== seen) draw();      // told between drawing and listening
    return source.subscribe(draw);
  }, [source]);
}
