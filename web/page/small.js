// Small things that the browser keeps, of this tab or of all of them; one that keeps nothing forgets
// them with the page.
function keeper(nameOfStore) {
  const inMemory = new Map();
  let store = null;
  try {
    store = globalThis[nameOfStore];
  } catch {
    // cookies and all that is like them are switched off
  }
  return {
    get: (name) => (store ? store.getItem(name) : inMemory.get(name) ?? null),
    set: (name, value) => { store ? store.setItem(name, value) : inMemory.set(name, value); },
  };
}

export const ofBrowser = keeper("localStorage");
export const ofTab = keeper("sessionStorage");
