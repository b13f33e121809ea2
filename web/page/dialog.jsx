// A modal dialog: the browser keeps the focus in it and gives it back.
import { useEffect, useId, useRef } from "preact/hooks";

export function Dialog({ title, onClose, children }) {
  const id = useId(), element = useRef(null);
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  return <dialog ref={element} aria-labelledby={id}
    onCancel={(e) => { e.preventDefault(); onClose(); }}>
    <h2 id={id}>{title}</h2>
    {children}
  </dialog>;
}
