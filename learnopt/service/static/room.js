// Keeps the parts of a page that change up to date: the server says that something has changed, the part is fetched anew.
(() => {
  const line = document.getElementById("line");
  const parts = [...document.querySelectorAll("[data-live]")];
  if (!line || !parts.length) { if (line) line.textContent = ""; return; }
  const busy = part => part.contains(document.activeElement) && document.activeElement.tagName === "INPUT" && document.activeElement.value
    || part.querySelector(".zoomed");
  const draw = part => {
    if (!part.querySelector(".sheets")) return;
    const script = document.createElement("script");
    script.src = "/drawing/sheet.js";
    part.append(script);
  };
  const refresh = async part => {
    if (part.waiting) { part.again = true; return; }
    if (busy(part)) { setTimeout(() => refresh(part), 1000); return; }
    part.waiting = true;
    try {
      const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" } });
      if (answer.redirected) { location.assign("/login"); return; }
      if (answer.ok) {
        const text = await answer.text();
        if (text !== part.shown && !busy(part)) {
          const focused = part.contains(document.activeElement) ? document.activeElement.closest("form")?.getAttribute("action") : null;
          part.innerHTML = part.shown = text;
          if (focused) part.querySelector(`form[action="${focused}"] button`)?.focus();
          draw(part);
        }
      }
    } catch { /* the stream tells when the server is back */ }
    part.waiting = false;
    if (part.again) { part.again = false; refresh(part); }
  };
  const news = new EventSource("/events");
  news.onopen = () => { line.textContent = "Live."; parts.forEach(refresh); };
  news.onerror = () => { line.textContent = "The server does not answer: what is shown is the last known state."; };
  news.onmessage = event => parts.filter(p => ["*", event.data].includes(p.dataset.feeder)).forEach(refresh);
})();
