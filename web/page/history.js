// Sessions in the browser's own database: heads for the list, bodies whole. Where there is none (a
// private window may refuse), they live as long as the page.
const NAME = "paceline", VERSION = 1;

const inMemory = new Map();

const opening = new Promise((resolve) => {
  try {
    const open = indexedDB.open(NAME, VERSION);
    open.onupgradeneeded = () => {
      open.result.createObjectStore("heads", { keyPath: "id" });
      open.result.createObjectStore("bodies", { keyPath: "id" });
    };
    open.onsuccess = () => resolve(open.result);
    open.onerror = () => resolve(null);
  } catch {
    resolve(null);
  }
});

// What `work` returns of the stores, once it is written.
async function inStores(mode, work) {
  const db = await opening;
  return new Promise((resolve, reject) => {
    const transaction = db.transaction(["heads", "bodies"], mode);
    const asked = work(transaction.objectStore("heads"), transaction.objectStore("bodies"));
    transaction.oncomplete = () => resolve(asked?.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

export async function isKept() {
  return (await opening) !== null;
}

const headOf = ({ id, title, updated }) => ({ id, title, updated });

// The newest first.
export async function list() {
  const heads = (await isKept()) ? await inStores("readonly", (h) => h.getAll())
    : [...inMemory.values()].map(headOf);
  return heads.sort((a, b) => b.updated - a.updated);
}

export async function load(id) {
  return (await isKept()) ? inStores("readonly", (_, b) => b.get(id)) : inMemory.get(id);
}

export async function save(session) {
  if (!(await isKept())) {
    inMemory.set(session.id, session);
    return;
  }
  await inStores("readwrite", (heads, bodies) => {
    heads.put(headOf(session));
    bodies.put(session);
  });
}

export async function remove(id) {
  inMemory.delete(id);
  if (await isKept()) await inStores("readwrite", (heads, bodies) => {
    heads.delete(id);
    bodies.delete(id);
  });
}
