// A modal dialog: the browser keeps the focus in it; who had it before gets it back.
import { useId, useLayoutEffect, useRef } from "preact/hooks";

export function Dialog({ title, onClose, children }) {
  const id = useId(), element = useRef(null);
  useLayoutEffect(() => {
    const dialog = element.current, before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      before?.focus();
    };
  }, []);
  return <dialog ref={element} aria-labelledby={id}
    onCancel={(e) => { e.preventDefault(); onClose(); }}>
    <h2 id={id}>{title}</h2>
    {children}
  </dialog>;
}
